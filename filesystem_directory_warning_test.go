package sessions_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
)

// openingLog returns the log of a store that is opened.
func openingLog(t *testing.T, o sessions.FilesystemOptions) string {
	t.Helper()
	var log strings.Builder
	o.Logger = textLogger(&log)
	store, err := sessions.NewFilesystemSessionStore(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	return log.String()
}

// openToOthers makes a directory into which all users can look, and reports
// whether they can.
func openToOthers(t *testing.T) (dir string, ok bool) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for above := filepath.Dir(dir); above != filepath.Dir(above); above = filepath.Dir(above) {
		if info, err := os.Stat(above); err != nil || info.Mode().Perm()&0o011 == 0 {
			return dir, false
		}
	}
	return dir, true
}

func TestDirectoryThatOthersMayListIsWarnedOf(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permission bits say nothing here")
	}
	for _, row := range []struct {
		parent, mode fs.FileMode
		hashed       bool
		want         int  // warnings
		foreign      bool // the parent is another user's
	}{
		{0o755, 0o755, false, 1, false},
		{0o755, 0o755, true, 0, false},
		{0o755, 0o750, false, 1, false},
		{0o755, 0o711, false, 1, false},
		{0o755, 0o700, false, 0, false},
		{0o700, 0o755, false, 0, false}, // as t.TempDir makes one
		{0o744, 0o755, false, 0, false}, // its names, but nothing behind them
		{0o750, 0o755, false, 1, false}, // a group may go through both
		{0o701, 0o755, false, 1, false},
		{0o700, 0o755, false, 1, true},
	} {
		for _, deep := range []string{"dir", "a/b/dir"} {
			t.Run(fmt.Sprintf("%s, mode %o in %o, HashNames %v, of another user %v", deep, row.mode, row.parent, row.hashed, row.foreign), func(t *testing.T) {
				base, open := openToOthers(t)
				if !open && row.want > 0 {
					t.Skip("skipped: the directory of temporary directories is a private one")
				}
				parent := filepath.Join(base, "parent")
				path := filepath.Join(parent, deep)
				t.Cleanup(func() { os.Chmod(parent, 0o700) })
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), mkdir(path, row.mode), os.Chmod(base, 0o755), os.Chmod(parent, row.parent)); err != nil {
					t.Fatal(err)
				}
				if row.foreign {
					if err := os.Chown(parent, 12345, -1); err != nil {
						t.Skip("skipped: ", err)
					}
				}
				log := openingLog(t, sessions.FilesystemOptions{Path: path, HashNames: row.hashed})
				if got := strings.Count(log, "others can list"); got != row.want || strings.Count(log, "\n") != row.want {
					t.Errorf("logged: %q; want %d warnings", log, row.want)
				}
			})
		}
	}
}

// Every test of an application opens a store in such a directory.
func TestDirectoryOfATestIsNotWarnedOf(t *testing.T) {
	if log := openingLog(t, sessions.FilesystemOptions{Path: t.TempDir()}); log != "" && runtime.GOOS != "windows" {
		t.Errorf("logged: %q", log)
	}
	if log := openingLog(t, sessions.FilesystemOptions{Path: filepath.Join(t.TempDir(), "made", "by", "the", "store")}); log != "" {
		t.Errorf("logged of a directory that the store made: %q", log)
	}
}
