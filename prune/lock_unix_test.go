//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package prune_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

// The lock is taken by a path, and the walk is through an opened directory. When
// these are not the same, nothing is removed from either.
func TestPruneRefusesAPathThatLeadsElsewhereByNow(t *testing.T) {
	for name, row := range map[string]struct {
		replace func(dir, away string) error
		want    string
		is      error
	}{
		"moved away":               {func(string, string) error { return nil }, "", fs.ErrNotExist},
		"another directory":        {func(dir, _ string) error { return os.Mkdir(dir, 0o700) }, "leads to another", nil},
		"a link to the opened one": {func(dir, away string) error { return os.Symlink(away, dir) }, "", nil},
		"a file":                   {func(dir, _ string) error { return os.WriteFile(dir, nil, 0o600) }, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
			p.session(2*time.Hour, 0)
			root := openRoot(t, p.dir)
			away := p.dir + "-away"
			if err := errors.Join(os.Rename(p.dir, away), row.replace(p.dir, away)); err != nil {
				t.Fatal(err)
			}
			for who, do := range map[string]func() (prune.Report, error){
				"the store": func() (prune.Report, error) { return p.Prune(background, prune.Options{}) },
				"a root":    func() (prune.Report, error) { return prune.Run(background, root, prune.Options{}) },
			} {
				r, err := do()
				if err == nil || !strings.Contains(err.Error(), row.want) || row.is != nil && !errors.Is(err, row.is) || r.Entries != 0 {
					t.Errorf("%s: %+v, %v", who, r, err)
				}
			}
			if n := len(names(t, away)); n != 1 {
				t.Errorf("%d files are left in the opened directory", n)
			}
			if err := errors.Join(os.RemoveAll(p.dir), os.Rename(away, p.dir)); err != nil {
				t.Fatal(err)
			}
			if r := p.prune(prune.Options{}); r.Removed != 1 { // no lock was left behind
				t.Errorf("back in its place: %+v", r)
			}
		})
	}
}

// The current directory is pruned under the path ".", which always leads to it.
func TestPruneOfTheCurrentDirectoryNeedsNoPath(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	p.session(2*time.Hour, 0)
	t.Chdir(p.dir)
	root := openRoot(t, ".")
	if err := os.Rename(p.dir, p.dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if r, err := prune.Run(background, root, prune.Options{}); err != nil || r.Removed != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestPruneLeavesNoFileAndNoDescriptorBehind(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	root := openRoot(t, p.dir)
	before := len(names(t, "/proc/self/fd"))
	for range 20 {
		p.prune(prune.Options{})
		if _, err := prune.Run(background, root, prune.Options{}); err != nil {
			t.Error(err)
		}
		if _, err := prune.Run(background, root, prune.Options{Limit: -1}); err == nil {
			t.Error("a negative limit is no error")
		}
	}
	moved := filepath.Join(filepath.Dir(p.dir), "away")
	if err := os.Rename(p.dir, moved); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := prune.Run(background, root, prune.Options{}); err == nil {
			t.Error("a path that leads nowhere is no error")
		}
	}
	if after := len(names(t, "/proc/self/fd")); after != before {
		t.Errorf("%d descriptors are open, before %d", after, before)
	}
	if got := names(t, moved); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}
