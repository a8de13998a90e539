//go:build unix

package dirfs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions/internal/dirfs"
)

func TestDirNeverFollowsLinksNorWaitsForFIFOs(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("target"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Symlink(target, filepath.Join(path, "link")), os.Symlink("nowhere", filepath.Join(path, "dangling")),
		os.Mkdir(filepath.Join(path, "directory"), 0o700), unix.Mkfifo(filepath.Join(path, "fifo"), 0o600),
	} {
		if err != nil {
			t.Skip(err)
		}
	}
	for _, name := range []string{"link", "dangling", "directory", "fifo"} {
		f, err := d.OpenRead(name)
		if err == nil { // a directory and a FIFO can be opened, and not be read
			_, err = f.ReadAt(make([]byte, 1), 0)
			f.Close()
		}
		if !errors.Is(err, dirfs.ErrIrregular) || strings.Contains(err.Error(), name) {
			t.Errorf("reading a %s = %v, want ErrIrregular", name, err)
		}
		if f, err = d.OpenWrite(name); err == nil {
			info, statErr := f.Stat()
			if f.Close(); statErr != nil || info.Mode.IsRegular() {
				t.Errorf("a %s is a regular file, %v", name, statErr)
			}
		} else if !errors.Is(err, dirfs.ErrIrregular) {
			t.Errorf("opening a %s = %v, want ErrIrregular", name, err)
		}
		if info, err := d.Lstat(name); err != nil || info.Mode.IsRegular() {
			t.Errorf("Lstat of a %s = %v, %v", name, info.Mode, err)
		}
		if _, err := d.Create(name, 0o600); err == nil {
			t.Errorf("Create went through a %s", name)
		}
	}
	if b, err := os.ReadFile(target); string(b) != "target" {
		t.Errorf("the target of a link is %q, %v", b, err)
	}
	if err := d.Remove("directory"); err == nil {
		t.Error("Remove removed a directory")
	}
}

func TestRenameNewByLinkNeverReplaces(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	put(t, d, "a", "a")
	put(t, d, "b", "b")
	if err := d.RenameNewByLink("b", "a"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v, want fs.ErrExist", err)
	}
	if content(t, d, "a") != "a" || content(t, d, "b") != "b" {
		t.Error("one of them was changed")
	}
	if err := d.RenameNewByLink("c", "d"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v, want fs.ErrNotExist", err)
	}
	if err := d.RenameNewByLink("b", "c"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 2 || content(t, d, "c") != "b" {
		t.Errorf("the directory has %v, %v; want a and c", entries, err)
	}
	if info, err := d.Lstat("c"); err != nil || info.Links != 1 {
		t.Errorf("the renamed file has %d names, %v; want one", info.Links, err)
	}
}

func TestOpenRefusesADirectoryThatIsALink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), path); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{path, path + "/", path + "/."} {
		if d, err := dirfs.Open(path); err == nil {
			d.Close()
			t.Errorf("%q was opened", path[len(path)-6:])
		}
	}
}

// Operations stay in the directory that was opened, whatever its path leads to
// afterwards.
func TestDirStaysOpenWhenItIsMoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	if err := os.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, d, "a", "a")
	if _, err := os.Stat(filepath.Join(path+"2", "a")); err != nil {
		t.Error(err)
	}
}
