package dirfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions/internal/dirfs"
)

func wantRemoved(t *testing.T, d *dirfs.Dir, want bool) {
	t.Helper()
	if got, err := d.Removed(); got != want || err != nil {
		t.Errorf("Removed = %v, %v; want %v", got, err, want)
	}
}

func TestRemovedTellsADirectoryThatWasRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	put(t, d, "a", "a")
	wantRemoved(t, d, false)
	if err := os.Rename(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	wantRemoved(t, d, false)
	if err := os.RemoveAll(path + "2"); err != nil {
		t.Fatal(err)
	}
	wantRemoved(t, d, true)
	for range d.Entries() {
		t.Error("a removed directory has entries")
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
	if err := d.Abandon(); err != nil {
		t.Fatal(err)
	}
	wantRemoved(t, d, true)
	for range d.Entries() {
		t.Error("an abandoned directory has entries")
	}
	_, openErr := d.OpenRead("a")
	_, createErr := d.Create("a", 0o600)
	_, lstatErr := d.Lstat("a")
	for _, err := range []error{openErr, createErr, lstatErr, d.Remove("a"), d.Rename("a", "b"), d.RenameNew("a", "b"), d.Close()} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an operation on an abandoned directory = %v, want fs.ErrNotExist", err)
		}
	}
	if err := d.Sync(); err != nil {
		t.Errorf("Sync of an abandoned directory = %v", err)
	}
}

func TestRemovedOfAClosedDirectoryIsAnError(t *testing.T) {
	d := open(t, t.TempDir())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if removed, err := d.Removed(); removed || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Removed = %v, %v; want fs.ErrClosed", removed, err)
	}
}

// On overlayfs, which containers have, a directory of the image has one link
// before and after it is removed. Create finds it out.
func TestRemovedTellsADirectoryOfAnOverlayAfterAFailedCreate(t *testing.T) {
	base := t.TempDir()
	for _, dir := range []string{"lower/dir", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(base, "merged")
	err := unix.Mount("overlay", merged, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%[2]s/upper,workdir=%[2]s/work", filepath.Join(base, "lower"), base))
	if err != nil {
		t.Skip("skipped: an overlay cannot be mounted: ", err)
	}
	defer unix.Unmount(merged, unix.MNT_DETACH)
	d, err := dirfs.Open(filepath.Join(merged, "dir"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	put(t, d, "a", "a")
	if err := os.RemoveAll(filepath.Join(merged, "dir")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create("a", 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create = %v, want fs.ErrNotExist", err)
	}
	wantRemoved(t, d, true)
}
