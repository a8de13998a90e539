package slotfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sessfs/sessions/internal/slotfile"
)

// A waiter for the lock of a record that is removed without it finds the
// record gone, also where a backup has made another name of the file.
func TestRemoveNowIsSeenByThoseWhoWaitForTheLock(t *testing.T) {
	for _, linked := range []bool{false, true} {
		path := t.TempDir()
		files, others := open(t, path), open(t, path)
		create(t, files, "a", "x")
		if linked {
			if err := os.Link(filepath.Join(path, "a"), filepath.Join(path, "backup")); err != nil {
				t.Skip("skipped: no hard links here:", err)
			}
		}
		var held, second slotfile.Lock
		if err := files.Lock(ctx, "a", &held); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- others.Lock(ctx, "a", &second) }()
		time.Sleep(20 * time.Millisecond) // it waits, with the file open
		if gone, err := files.RemoveNow(files.Dir(), "a"); !gone || err != nil {
			t.Errorf("RemoveNow = %v, %v", gone, err)
		}
		if err := held.Write(ctx, meta, "y", false); err != nil {
			t.Errorf("a save in place that began before: %v", err)
		}
		held.Unlock()
		if err := <-done; !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("linked %v: Lock = %v, want fs.ErrNotExist", linked, err)
			second.Unlock()
		}
		if gone, err := files.RemoveNow(files.Dir(), "a"); gone || err != nil {
			t.Errorf("RemoveNow of nothing = %v, %v", gone, err)
		}
	}
}

func TestRemoveNowLeavesATombstoneWhenTheLockIsFree(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	create(t, files, "a", "x")
	if err := os.Link(filepath.Join(path, "a"), filepath.Join(path, "backup")); err != nil {
		t.Skip("skipped: no hard links here:", err)
	}
	if gone, err := files.RemoveNow(files.Dir(), "a"); !gone || err != nil {
		t.Errorf("RemoveNow = %v, %v", gone, err)
	}
	if _, err := files.Read(ctx, "backup"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read of the other name = %v, want fs.ErrNotExist", err)
	}
}
