package sessions_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// A faultyBackend is a map in which a key may be damaged, and whose changes of that
// key may fail.
type faultyBackend struct {
	mu      sync.Mutex
	records map[string]sessions.Record
	faulty  string
	faults  int // still to come
}

func (b *faultyBackend) Load(_ context.Context, key string) (sessions.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rec, ok := b.records[key]
	switch {
	case !ok:
		return rec, sessions.ErrNotStored
	case rec.Damaged:
		return rec, sessions.ErrCorrupt
	}
	return rec, nil
}

var errDisk = errors.New("the disk failed")

func (b *faultyBackend) Commit(_ context.Context, c *sessions.Change) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Key() == b.faulty && b.faults > 0 {
		b.faults--
		return errDisk
	}
	var stored *sessions.Record
	if rec, ok := b.records[c.Key()]; ok {
		stored = &rec
	}
	if err := c.Apply(stored); err != nil {
		return err
	}
	if key := c.NewKey(); key != "" {
		if _, taken := b.records[key]; taken && c.Fresh() {
			return sessions.ErrExists
		}
		rec := *c.Record()
		rec.Used = time.Now()
		b.records[key] = rec
	}
	delete(b.records, c.Ended())
	return nil
}

// A saver is the part of a store that endings need.
type saver interface {
	sessions.Updater
	Save(context.Context, *sessions.Session) error
	Delete(context.Context, *sessions.Session) error
}

// endings are the ways in which a session ends the unreadable one that it was
// made in place of, and whether it is stored itself.
var endings = []struct {
	name   string
	stored bool
	end    func(ctx context.Context, store saver, s *sessions.Session) error
}{
	{"login", true, func(ctx context.Context, store saver, s *sessions.Session) error {
		s.Login("ann")
		return store.Save(ctx, s)
	}},
	{"login in an Update", true, func(ctx context.Context, store saver, s *sessions.Session) error {
		return store.Update(ctx, s, func(s *sessions.Session) error {
			s.Login("ann")
			return nil
		})
	}},
	{"logout", false, func(ctx context.Context, store saver, s *sessions.Session) error {
		s.Destroy()
		return store.Save(ctx, s)
	}},
	{"delete", false, func(ctx context.Context, store saver, s *sessions.Session) error {
		return store.Delete(ctx, s)
	}},
}

func TestUnreadableSessionEndsBeforeTheLoginIsStored(t *testing.T) {
	for _, test := range endings {
		t.Run(test.name, func(t *testing.T) {
			b := &faultyBackend{records: make(map[string]sessions.Record)}
			base, err := sessions.NewBase(b, sessions.BaseOptions{Key: func(id string) string { return id }})
			if err != nil {
				t.Fatal(err)
			}
			id := base.GenerateKey()
			b.records[id], b.faulty, b.faults = sessions.Record{Damaged: true}, id, 1
			s, err := base.Get(t.Context(), id)
			if err != nil || !s.New() {
				t.Fatal(s, err)
			}
			s.Set("n", 1)
			err = test.end(t.Context(), base, s)
			if !errors.Is(err, errDisk) || strings.Count(err.Error(), "sessions: ") != 1 {
				t.Errorf("with a fault: got %v, want the fault under one prefix", err)
			}
			if got := slices.Collect(maps.Keys(b.records)); len(got) != 1 || got[0] != id || !s.New() {
				t.Errorf("after the fault: got %d records and %v, want the unreadable one alone, and a new session", len(got), s)
			}
			if err := test.end(t.Context(), base, s); err != nil {
				t.Errorf("again: %v", err)
			}
			_, found := b.records[id]
			if _, stored := b.records[s.ID()]; found || stored != test.stored || stored == s.New() {
				t.Errorf("afterwards: unreadable %v, stored %v (want %v), %v", found, stored, test.stored, s)
			}
		})
	}
}

func TestUnreadableSessionStaysWhenTheLoginCannotBeStored(t *testing.T) {
	b := &faultyBackend{records: make(map[string]sessions.Record)}
	base, err := sessions.NewBase(b, sessions.BaseOptions{Key: func(id string) string { return id }})
	if err != nil {
		t.Fatal(err)
	}
	id := base.GenerateKey()
	b.records[id] = sessions.Record{Damaged: true}
	s, err := base.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	s.Login("ann")
	s.Set("bad", make(chan int))
	var bad *sessions.ValueError
	if err := base.Save(t.Context(), s); !errors.As(err, &bad) || len(b.records) != 1 || !b.records[id].Damaged {
		t.Errorf("got %v and %d records, want a *ValueError, and the unreadable one", err, len(b.records))
	}
}

func TestUnreadableFileThatIsLockedDelaysTheLogin(t *testing.T) {
	for _, test := range endings {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			store := newStore(t, sessions.FilesystemOptions{Path: dir})
			was := saved(t, store, "user", "ann")
			path := fileOf(t, dir, was)
			if err := os.WriteFile(path, []byte("no session"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := get(t, store, was.ID())
			s.Set("n", 1)
			t.Run("locked", func(t *testing.T) {
				lockFile(t, path)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				err := test.end(ctx, store, s)
				if !errors.Is(err, context.DeadlineExceeded) || strings.Count(err.Error(), "sessions: ") != 1 {
					t.Errorf("got %v, want the end of the context under one prefix", err)
				}
				if got := sessionFiles(t, dir); len(got) != 1 || !s.New() {
					t.Errorf("got %d files and %v, want the unreadable one alone, and a new session", len(got), s)
				}
			})
			if err := test.end(t.Context(), store, s); err != nil {
				t.Errorf("again: %v", err)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || get(t, store, s.ID()).New() == test.stored {
				t.Errorf("afterwards: %v, and %v", err, s)
			}
		})
	}
}

// sessionFiles returns the paths of the session files in a directory.
func sessionFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.sess"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
