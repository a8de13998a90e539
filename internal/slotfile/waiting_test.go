package slotfile_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sessfs/sessions/internal/slotfile"
)

// within waits until count is at most want.
func within(t *testing.T, what string, want int, count func() int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); count() > want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: %d, want %d at most", what, count(), want)
		}
	}
}

func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd") // none where the system does not show them
	return len(entries)
}

// Another process has the lock for long, and many callers' contexts end. A wait for
// the system's lock cannot be called off, so a file must have one at most.
func TestReadAndLockOfALockedFileLeaveOneWaitBehindHoweverManyTheyAre(t *testing.T) {
	path := t.TempDir()
	files, other := open(t, path), open(t, path)
	create(t, files, "a", "value")
	damage := fileOf(t, live(1, older)[:100], live(2, newer)[:100])
	if err := os.WriteFile(filepath.Join(path, "damaged"), damage, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "damaged"} {
		var held slotfile.Lock
		if err := other.Lock(ctx, name, &held); err != nil {
			t.Fatal(err)
		}
		goroutines, descriptors := runtime.NumGoroutine(), openFiles()
		for i := range 60 {
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			var err error
			if name == "damaged" && i%2 == 0 {
				_, err = files.Read(short, name)
			} else {
				err = files.Lock(short, name, new(slotfile.Lock))
			}
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s: %v, want context.DeadlineExceeded", name, err)
			}
		}
		within(t, name+": goroutines", goroutines+1, runtime.NumGoroutine)
		within(t, name+": descriptors", descriptors+1, openFiles)
		held.Unlock()
		within(t, name+": goroutines afterwards", goroutines, runtime.NumGoroutine)
		within(t, name+": descriptors afterwards", descriptors-1, openFiles)
		within(t, name+": semaphores afterwards", 0, files.Semaphores)
	}
	for range 2 { // with the lock, which the first one releases
		long, cancel := context.WithTimeout(ctx, 20*time.Second)
		if _, err := files.Read(long, "damaged"); !errors.Is(err, slotfile.ErrCorrupt) {
			t.Errorf("Read = %v, want ErrCorrupt", err)
		}
		cancel()
		if got := files.Semaphores(); got != 0 {
			t.Errorf("%d semaphores after a Read, want none", got)
		}
	}
}

// A record that is locked for long, and not damaged, is read at once.
func TestReadOfAWholeRecordDoesNotWait(t *testing.T) {
	path := t.TempDir()
	files, other := open(t, path), open(t, path)
	create(t, files, "a", "value")
	for _, holder := range []*slotfile.Files{files, other} {
		var held slotfile.Lock
		if err := holder.Lock(ctx, "a", &held); err != nil {
			t.Fatal(err)
		}
		wantRecord(t, files, "a", "value")
		held.Unlock()
	}
}

// A semaphore that stays behind would be one for each session that ever was.
func TestLockLeavesNoSemaphoreBehind(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	create(t, files, "a", "value")
	var held slotfile.Lock
	if err := files.Lock(ctx, "a", &held); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		var l slotfile.Lock
		if err := files.Lock(short, "a", &l); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock = %v, want context.DeadlineExceeded", err)
		}
		cancel()
	}
	if got := files.Semaphores(); got != 1 {
		t.Errorf("%d semaphores while one lock is held, want 1", got)
	}
	held.Unlock()
	if got := files.Semaphores(); got != 0 {
		t.Errorf("%d semaphores when no lock is held, want none", got)
	}
	var l slotfile.Lock
	if err := files.Lock(ctx, "missing", &l); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lock = %v, want fs.ErrNotExist", err)
	}
	if got := files.Semaphores(); got != 0 {
		t.Errorf("%d semaphores after a Lock of nothing, want none", got)
	}
}
