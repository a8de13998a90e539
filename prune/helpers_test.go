package prune_test

import (
	"cmp"
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

var background = context.Background()

// timeless are options without the timeouts that a test has not set.
func timeless(o sessions.FilesystemOptions) sessions.FilesystemOptions {
	o.IdleTimeout = cmp.Or(o.IdleTimeout, sessions.Never)
	o.Lifetime = cmp.Or(o.Lifetime, sessions.Never)
	return o
}

func save(t testing.TB, store sessions.SessionStore, s *sessions.Session) {
	t.Helper()
	if err := store.Save(background, s); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, store sessions.SessionStore, id string) *sessions.Session {
	t.Helper()
	s, err := store.Get(background, id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// names are the names in a store's directory, without those of its own files.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".owners.") && name != ".sessions.lock" {
			names = append(names, name)
		}
	}
	return names
}

// age sets a file's modification time that far into the past.
func age(t testing.TB, path string, d time.Duration) {
	t.Helper()
	then := time.Now().Add(-d)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

// runInBubble runs a subtest with a clock of its own.
func runInBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// openRoot opens a directory until the test ends.
func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// run prunes a directory without a store.
func run(t *testing.T, dir string, o prune.Options) prune.Report {
	t.Helper()
	report, err := prune.Run(background, openRoot(t, dir), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}
