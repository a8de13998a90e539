package sessions_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

// TestListAndDeleteGoOnAfterAnErrorOfOneFile has files that may not be opened.
func TestListAndDeleteGoOnAfterAnErrorOfOneFile(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*sessions.FilesystemSessionStore) (int, error)
	}{
		{"DeleteAll", func(st *sessions.FilesystemSessionStore) (int, error) { return st.DeleteAll(background) }},
		{"DeleteOwner", func(st *sessions.FilesystemSessionStore) (int, error) { return st.DeleteOwner(background, "ann") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			store := newStore(t, sessions.FilesystemOptions{Path: dir, Lifetime: time.Hour}) // so that List opens all files
			withoutRootsRights(t, dir)
			for i := range 5 {
				s := store.New()
				s.SetOwner("ann")
				save(t, store, s)
				if i%2 == 0 {
					if err := os.Chmod(fileOf(t, dir, s), 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			ids, errs := 0, 0
			for id, err := range store.List(background) {
				if err == nil {
					ids++
					continue
				}
				if errs++; id != "" || !errors.Is(err, fs.ErrPermission) || strings.Count(err.Error(), "sessions: ") != 1 {
					t.Errorf("List yields %q and %v; want no ID, and the error under one prefix", id, err)
				}
			}
			if ids != 2 || errs != 3 {
				t.Errorf("List yields %d IDs and %d errors, want 2 and 3", ids, errs)
			}
			n, err := test.end(store)
			if n != 2 || !errors.Is(err, fs.ErrPermission) {
				t.Fatalf("got %d, %v; want 2, and an error", n, err)
			}
			if text := err.Error(); strings.Count(text, "sessions: ") != 1 || strings.Count(text, "permission denied") != 3 {
				t.Errorf("got %q, want three errors under one prefix", text)
			}
		})
	}
}

// withoutRootsRights hands the directory to a user, as whom the test's goroutine
// works on files until it ends.
func withoutRootsRights(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const user = 65534
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o711), os.Chown(dir, user, -1)); err != nil {
		t.Skipf("skipped: cannot give a directory to a user: %v", err)
	}
	runtime.LockOSThread()
	if err := unix.Setfsuid(user); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if unix.Setfsuid(0) == nil {
			runtime.UnlockOSThread()
		}
	})
}
