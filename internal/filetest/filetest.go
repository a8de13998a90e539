// Package filetest has helpers for tests of stores in files.
package filetest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessfs/sessions"
)

// Timeless returns o with [sessions.Never] for timeouts that are not set.
func Timeless(o sessions.FilesystemOptions) sessions.FilesystemOptions {
	o.IdleTimeout = cmp.Or(o.IdleTimeout, sessions.Never)
	o.Lifetime = cmp.Or(o.Lifetime, sessions.Never)
	return o
}

// NewStore returns a store with Timeless options, in a directory of its own if o has
// no Path, without a log if o has no Logger. It is closed when the test ends.
func NewStore(t testing.TB, o sessions.FilesystemOptions) *sessions.FilesystemSessionStore {
	t.Helper()
	if o.Path == "" {
		o.Path = t.TempDir()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.Chmod(o.Path, 0o700); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	store, err := sessions.NewFilesystemSessionStore(Timeless(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// Save saves a session, and ends the test on an error.
func Save(t testing.TB, store sessions.SessionStore, s *sessions.Session) {
	t.Helper()
	if err := store.Save(context.Background(), s); err != nil {
		t.Fatal(err)
	}
}

// Get loads a session, and ends the test on an error.
func Get(t testing.TB, store sessions.SessionStore, id string) *sessions.Session {
	t.Helper()
	s, err := store.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Names returns the names in a store's directory, without those of the store's own
// files.
func Names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); name != ".sessions.lock" && name != ".owners.lock" && name != ".owners.turn" && name != ".owners.key" && name != ".owners" {
			names = append(names, name)
		}
	}
	return names
}

// Exists reports whether there is a file.
func Exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// Age sets a file's modification time to d ago.
func Age(t testing.TB, file string, d time.Duration) {
	t.Helper()
	then := time.Now().Add(-d)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}
}

// RunInBubble runs a subtest in a bubble of testing/synctest, whose clock does not
// wait. The system's clock, which sets the times of files, is another one.
func RunInBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}
