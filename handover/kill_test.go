package handover_test

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/handover"
	"github.com/sessfs/sessions/internal/processtest"
)

func TestMain(m *testing.M) {
	processtest.Main(m, map[string]func() error{"move": moveAll})
}

// moveAll moves all sessions of one directory to another.
func moveAll() error {
	from, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: os.Getenv("OLD")})
	if err != nil {
		return err
	}
	to, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: os.Getenv("NEW"), HashNames: true})
	if err != nil {
		return err
	}
	ctx := context.Background()
	for id, err := range from.List(ctx) {
		if err == nil {
			err = handover.Move(ctx, to, to.Key(id), from, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestMoveThatIsKilledLosesNoSession(t *testing.T) {
	const sessionsOfEach, rounds = 100, 20
	oldDir, newDir := t.TempDir(), t.TempDir()
	from := files(t, sessions.FilesystemOptions{Path: oldDir})
	to := files(t, sessions.FilesystemOptions{Path: newDir, HashNames: true})
	store := newStore(t, to, from)
	var ids []string
	for range rounds {
		for range sessionsOfEach {
			ids = append(ids, saved(t, from))
		}
		p := processtest.Start(t, processtest.Command("move", []string{"OLD=" + oldDir, "NEW=" + newDir}))
		time.Sleep(rand.N(20 * time.Millisecond))
		p.Process.Kill()
		p.Wait()
	}
	moved := 0
	for i, id := range ids {
		old := holds(t, from, id)
		if !old {
			moved++
		}
		s, err := store.Get(t.Context(), id)
		if err != nil || s.New() {
			t.Fatalf("session %d is lost: %v", i, err)
		}
		if err := store.Delete(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if holds(t, from, id) || holds(t, to, id) {
			t.Fatalf("session %d came back", i)
		}
	}
	t.Logf("%d of %d sessions were moved by processes that were killed", moved, len(ids))
}
