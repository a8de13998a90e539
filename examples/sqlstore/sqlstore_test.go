package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/examples/sqlstore"
	"github.com/sessfs/sessions/storetest"
)

func TestMain(m *testing.M) {
	if path, id := os.Getenv("SQLSTORE_PATH"), os.Getenv("SQLSTORE_ID"); path != "" {
		if err := count(context.Background(), path, id); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestStoreKeepsEveryRule(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o storetest.Options) sessions.SessionStore {
		store, err := sqlstore.Open(filepath.Join(t.TempDir(), "sessions.db"), o.IdleTimeout)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	})
}

const (
	processes = 8
	updates   = 50
	counter   = sessions.Key[int64]("n")
)

// count is one of the processes.
func count(ctx context.Context, path, id string) error {
	store, err := sqlstore.Open(path, 0)
	if err != nil {
		return err
	}
	defer store.Close()
	for range updates {
		s, err := store.Get(ctx, id)
		if err != nil {
			return err
		}
		err = store.Update(ctx, s, func(s *sessions.Session) error {
			counter.Set(s, counter.Get(s)+1)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func TestUpdatesOfEightProcessesAddUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a session's ?.db")
	store, err := sqlstore.Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := store.New()
	counter.Set(s, 0)
	if err := store.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	var running []*exec.Cmd
	for range processes {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(cmd.Environ(), "SQLSTORE_PATH="+path, "SQLSTORE_ID="+s.ID())
		out := new(strings.Builder)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, cmd.Stdout)
		}
	}
	got, err := store.Get(t.Context(), s.ID())
	if err != nil || counter.Get(got) != processes*updates {
		t.Errorf("counted to %d of %d, %v", counter.Get(got), processes*updates, err)
	}
}

func TestLoginEndsARowThatIsNoSession(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "sessions.db")
	store, err := sqlstore.Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := store.New()
	if err := store.Save(ctx, s); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "UPDATE sessions SET attributes = x'7b'"); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Get(ctx, s.ID()); err != nil || !s.New() {
		t.Fatalf("got %v, %v; want a new session", s, err)
	}
	s.Login("ann")
	if err := store.Save(ctx, s); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sessions").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("got %d rows, %v; want that of the login alone", rows, err)
	}
}
