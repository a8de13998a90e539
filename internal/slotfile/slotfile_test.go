package slotfile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/slotfile"
)

const tempSuffix = ".tmp"

var (
	ctx  = context.Background()
	meta = []byte("test 1 created=now")
)

// open opens a directory of records as one process would.
func open(t testing.TB, path string) *slotfile.Files {
	t.Helper()
	dir, err := dirfs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	files := &slotfile.Files{Opened: dir, Mode: 0o600, MaxPayload: 1 << 20, TempSuffix: tempSuffix, Kept: new(slotfile.Kept)}
	t.Cleanup(func() { files.Close() })
	return files
}

func create(t testing.TB, files *slotfile.Files, name, payload string) {
	t.Helper()
	if err := files.Create(ctx, name, meta, payload, false); err != nil {
		t.Fatal(err)
	}
}

// write saves like the store: lock, write, unlock.
func write(files *slotfile.Files, name, payload string) error {
	var l slotfile.Lock
	if err := files.Lock(ctx, name, &l); err != nil {
		return err
	}
	defer l.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	return l.Write(ctx, meta, payload, false)
}

func remove(files *slotfile.Files, name string) (bool, error) {
	var l slotfile.Lock
	if err := files.Lock(ctx, name, &l); err != nil {
		return false, err
	}
	defer l.Unlock()
	return l.Remove()
}

func wantRecord(t testing.TB, files *slotfile.Files, name, payload string) {
	t.Helper()
	rec, err := files.Read(ctx, name)
	if err != nil || rec.Payload != payload || rec.Meta != string(meta) {
		t.Fatalf("Read = %d bytes, meta %q, %v; want the %d bytes written, meta %q",
			len(rec.Payload), rec.Meta, err, len(payload), meta)
	}
}

func wantNames(t testing.TB, path string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(path)
	var got []string
	for _, e := range entries {
		if e.Name() != dirfs.LockName {
			got = append(got, e.Name())
		}
	}
	if err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("the directory has %q, %v; want %q", got, err, want)
	}
}

func TestReadReturnsWhatWasWritten(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	for name, size := range map[string]int{
		"empty": 0, "one byte": 1, "one slot": 1536 - slotfile.SlotHead - 1, "one byte more": 1536 - slotfile.SlotHead,
		"buffer": 4096, "large": 1 << 20,
	} {
		t.Run(name, func(t *testing.T) {
			create(t, files, name, strings.Repeat("a", size))
			wantRecord(t, files, name, strings.Repeat("a", size))
			for _, content := range []string{"b", "c"} { // one for each slot
				payload := strings.Repeat(content, size)
				if err := write(files, name, payload); err != nil {
					t.Fatal(err)
				}
				wantRecord(t, files, name, payload)
			}
		})
	}
}

func TestWriteOfTheSameSizeStaysInItsFile(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	create(t, files, "a", "one")
	before, _ := os.Stat(filepath.Join(path, "a"))
	for range 10 {
		if err := write(files, "a", strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	after, _ := os.Stat(filepath.Join(path, "a"))
	if !os.SameFile(before, after) || after.Size() != 3584 {
		t.Errorf("a file of %d bytes, the same: %v; want 3584 bytes in the same file", after.Size(), os.SameFile(before, after))
	}
	if err := write(files, "a", strings.Repeat("x", 3000)); err != nil { // outgrows its slot
		t.Fatal(err)
	}
	wantRecord(t, files, "a", strings.Repeat("x", 3000))
	wantNames(t, path, "a")
}

func TestWriteLeavesNothingOfADeletedValue(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	create(t, files, "a", "a long value with SECRET in it")
	for range 2 {
		if err := write(files, "a", "short"); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(path, "a")); err != nil || strings.Contains(string(b), "SECRET") {
		t.Errorf("the file still has what was overwritten twice (%v)", err)
	}
}

// A writer that was killed did not come to the spaces over the rest of the
// longer payload before.
func TestWriteRemovesWhatATornSaveLeft(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	torn := slotfile.Pad(live(2, "torn"), 600)
	torn[slotfile.SlotHead] = 'T'
	whole := fileOf(t, live(1, older), append(torn, "SECRET"...))
	if err := os.WriteFile(filepath.Join(path, "a"), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	wantRecord(t, files, "a", older)
	if err := write(files, "a", "new"); err != nil {
		t.Fatal(err)
	}
	wantRecord(t, files, "a", "new")
	if b, err := os.ReadFile(filepath.Join(path, "a")); err != nil || strings.Contains(string(b), "SECRET") {
		t.Errorf("the file still has what stood behind the torn save (%v)", err)
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	create(t, files, "a", "first")
	if err := files.Create(ctx, "a", meta, "second", false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create = %v, want fs.ErrExist", err)
	}
	wantRecord(t, files, "a", "first")
	wantNames(t, path, "a") // and no temporary file
}

func TestRemoveIsSeenByReadersAndWaitingWriters(t *testing.T) {
	path := t.TempDir()
	files, other := open(t, path), open(t, path)
	create(t, files, "a", "value")
	var l slotfile.Lock
	if err := files.Lock(ctx, "a", &l); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() { waiting <- write(other, "a", "too late") }()
	time.Sleep(20 * time.Millisecond) // so that it waits for the lock of the open file
	if gone, err := l.Remove(); !gone || err != nil {
		t.Errorf("Remove = %v, %v", gone, err)
	}
	l.Unlock()
	if err := <-waiting; !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a write that waited for a removal = %v, want fs.ErrNotExist", err)
	}
	if _, err := files.Read(ctx, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read = %v, want fs.ErrNotExist", err)
	}
	if _, err := remove(files, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a second removal = %v, want fs.ErrNotExist", err)
	}
	wantNames(t, path)
}

// A writer that is killed between the tombstone and the unlinking leaves both.
func TestTombstoneIsNoRecord(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	create(t, files, "a", "value")
	if err := os.Link(filepath.Join(path, "a"), filepath.Join(path, "b")); err != nil {
		t.Skip(err)
	}
	if _, err := remove(files, "a"); err != nil {
		t.Fatal(err)
	}
	if rec, err := files.Read(ctx, "b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read = %q, %v; want fs.ErrNotExist", rec.Payload, err)
	}
	if err := write(files, "b", "revived"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("write = %v, want fs.ErrNotExist", err)
	}
	if gone, err := remove(files, "b"); !gone || err != nil {
		t.Errorf("removal of the rest = %v, %v", gone, err)
	}
	wantNames(t, path)
}

// An operator's rm, mv and restored backup, during a wait for the lock.
func TestLockIsOfTheFileThatHasTheName(t *testing.T) {
	for name, act := range map[string]func(path string) error{
		"removed":  func(path string) error { return os.Remove(path) },
		"replaced": func(path string) error { return os.Rename(path+"2", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			files, other := open(t, path), open(t, path)
			create(t, files, "a", "old")
			create(t, files, "a2", "restored")
			var l slotfile.Lock
			if err := files.Lock(ctx, "a", &l); err != nil {
				t.Fatal(err)
			}
			waiting := make(chan error)
			go func() { waiting <- write(other, "a", "new") }()
			time.Sleep(20 * time.Millisecond)
			if err := act(filepath.Join(path, "a")); err != nil {
				t.Fatal(err)
			}
			l.Unlock()
			err := <-waiting
			if name == "removed" {
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("write = %v, want fs.ErrNotExist", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantRecord(t, files, "a", "new")
		})
	}
}

func TestWriteWorksOnAFileWithAHardLink(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	create(t, files, "a", "one")
	if err := os.Link(filepath.Join(path, "a"), filepath.Join(path, "backup")); err != nil {
		t.Skip(err)
	}
	if err := write(files, "a", "two"); err != nil {
		t.Fatal(err)
	}
	wantRecord(t, files, "a", "two")
}

// Two Files of one directory lock against each other by flock, as two
// processes do; within one Files the wait is in the process.
func TestLockObeysItsContextAndLeavesNothingHeld(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	for name, waiter := range map[string]*slotfile.Files{"same process": files, "other process": open(t, path)} {
		t.Run(name, func(t *testing.T) {
			create(t, files, name, "value")
			var held slotfile.Lock
			if err := files.Lock(ctx, name, &held); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
					defer cancel()
					start := time.Now()
					var l slotfile.Lock
					if err := waiter.Lock(short, name, &l); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Lock = %v, want context.DeadlineExceeded", err)
					}
					if waited := time.Since(start); waited > 5*time.Second {
						t.Errorf("waited %v", waited)
					}
				})
			}
			wg.Wait()
			held.Unlock()
			long, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			for _, f := range []*slotfile.Files{waiter, files} {
				var l slotfile.Lock
				if err := f.Lock(long, name, &l); err != nil {
					t.Fatalf("after all that, the lock is not free: %v", err)
				}
				l.Unlock()
			}
		})
	}
}

// An abandoned wait ends later, in the background: by then the variable may
// hold another lock.
func TestLockVariableMayBeUsedAgainAfterAnError(t *testing.T) {
	path := t.TempDir()
	files, other := open(t, path), open(t, path)
	create(t, files, "a", "a")
	create(t, files, "b", "b")
	var held, l slotfile.Lock
	if err := files.Lock(ctx, "a", &held); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := other.Lock(short, "a", &l); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Lock = %v, want context.DeadlineExceeded", err)
	}
	if err := other.Lock(ctx, "b", &l); err != nil {
		t.Fatal(err)
	}
	held.Unlock() // now the abandoned wait ends
	time.Sleep(50 * time.Millisecond)
	if err := l.Write(ctx, meta, "b2", false); err != nil {
		t.Fatal(err)
	}
	l.Unlock()
	wantRecord(t, files, "b", "b2")
	if err := write(other, "a", "a2"); err != nil {
		t.Fatal(err)
	}
}

func TestModTimeIsThatOfTheLastWriteOrAsSet(t *testing.T) {
	files := open(t, t.TempDir())
	files.Times = true
	wantTime := func(want time.Time) {
		t.Helper()
		if rec, err := files.Read(ctx, "a"); err != nil || rec.ModTime.Sub(want).Abs() > time.Minute {
			t.Errorf("ModTime = %v, %v; want %v", rec.ModTime, err, want)
		}
	}
	create(t, files, "a", "x")
	wantTime(time.Now())
	for _, payload := range []string{"y", strings.Repeat("y", 9000)} { // in place, and in a new file
		want := time.Now().Add(48 * time.Hour)
		var l slotfile.Lock
		if err := files.Lock(ctx, "a", &l); err != nil {
			t.Fatal(err)
		}
		err := l.SetModTime(want)
		l.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		wantTime(want)
		if err := write(files, "a", payload); err != nil {
			t.Fatal(err)
		}
		wantTime(time.Now())
	}
}

func TestCreateRefusesAHeaderThatDoesNotFit(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	for _, bad := range []string{strings.Repeat("m", slotfile.MaxMeta+1), "two\nlines"} {
		if err := files.Create(ctx, "a", []byte(bad), "x", false); err == nil {
			t.Errorf("a header of %d bytes was written", len(bad))
		}
	}
	if err := files.Create(ctx, "a", []byte(strings.Repeat("m", slotfile.MaxMeta)), "x", false); err != nil {
		t.Error(err)
	}
	if rec, err := files.Read(ctx, "a"); err != nil || len(rec.Meta) != slotfile.MaxMeta {
		t.Errorf("Read = %d bytes of header, %v", len(rec.Meta), err)
	}
	wantNames(t, path, "a")
}

func TestSizeOfKnowsTheFilesOfRecords(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	for n := 0; n < 70_000; n = n*3/2 + 700 {
		for marked, kind := range map[bool]slotfile.SizeKind{false: slotfile.UnmarkedSize, true: slotfile.MarkedSize} {
			if err := files.Create(ctx, "a", meta, strings.Repeat("x", n), marked); err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(filepath.Join(path, "a"))
			if err != nil {
				t.Fatal(err)
			}
			if got := slotfile.SizeOf(fi.Size()); got != kind {
				t.Errorf("SizeOf(%d) = %v with a payload of %d bytes, marked %v", fi.Size(), got, n, marked)
			}
			for _, off := range []int64{-1024, -1, 1, 1024} {
				if got := slotfile.SizeOf(fi.Size() + off); got != slotfile.OtherSize {
					t.Errorf("SizeOf(%d) = %v", fi.Size()+off, got)
				}
			}
			if err := files.Dir().Remove("a"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, size := range []int64{-4096, -512, -1, 0, 512, 1536, 1<<63 - 512, 1<<63 - 1} {
		if got := slotfile.SizeOf(size); got != slotfile.OtherSize {
			t.Errorf("SizeOf(%d) = %v", size, got)
		}
	}
}

// A mark is written with the file, and goes and comes with a new one.
func TestWriteMarksAFileThatItMakesAnew(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	create(t, files, "a", "x")
	for i, marked := range []bool{true, false, true} {
		for _, payload := range []string{"y", strings.Repeat("y", 9000*(i+1)), "z"} {
			var l slotfile.Lock
			if err := files.Lock(ctx, "a", &l); err != nil {
				t.Fatal(err)
			}
			err := l.Write(ctx, fmt.Appendf(nil, "marked=%v", marked), payload, marked)
			l.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			if rec, err := files.Read(ctx, "a"); err != nil || rec.Payload != payload {
				t.Errorf("Read = %d bytes, %v; want the %d bytes written", len(rec.Payload), err, len(payload))
			}
			fi, err := os.Stat(filepath.Join(path, "a"))
			if err != nil {
				t.Fatal(err)
			}
			if got := slotfile.SizeOf(fi.Size()) == slotfile.MarkedSize; got != marked {
				t.Errorf("%d bytes; want it marked: %v", fi.Size(), marked)
			}
		}
	}
}

// An application that tests its expiry with a clock of its own makes a store in
// each bubble.
func TestLockWorksInOneBubbleOfSynctestAfterTheOther(t *testing.T) {
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			files := open(t, t.TempDir())
			create(t, files, "a", "x")
			if err := write(files, "a", "y"); err != nil {
				t.Error(err)
			}
		})
	}
}

// waitForWaiter waits until the lock of a file is waited for. Where the
// system does not show that, it waits for long enough.
func waitForWaiter(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), dirfs.LockName)); err == nil {
		time.Sleep(50 * time.Millisecond) // the waiting is inside of the process
		return
	}
	inode := ":" + inodeOf(t, path) + " "
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			return
		}
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "-> FLOCK") && strings.Contains(line, inode) {
				return
			}
		}
	}
	t.Fatal("nobody waits for the lock")
}

func inodeOf(t *testing.T, path string) string {
	t.Helper()
	dir, err := dirfs.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	info, err := dir.Lstat(filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(info.Inode)
}

func TestTryLockDoesNotWait(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	for name, other := range map[string]*slotfile.Files{"here": files, "elsewhere": open(t, path)} {
		t.Run(name, func(t *testing.T) {
			create(t, files, name, "payload")
			var held, tried slotfile.Lock
			if err := other.Lock(ctx, name, &held); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if locked, err := files.TryLock(name, &tried); locked || err != nil {
					t.Errorf("while another one has it: got %v, %v", locked, err)
				}
			}
			held.Unlock()
			locked, err := files.TryLock(name, &tried)
			if !locked || err != nil {
				t.Fatalf("when it is free: got %v, %v", locked, err)
			}
			tried.Unlock()
			if err := files.Lock(ctx, name, &held); err != nil {
				t.Fatal(err)
			}
			held.Unlock()
		})
	}
	var l slotfile.Lock
	if locked, err := files.TryLock("none", &l); locked || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: got %v, %v", locked, err)
	}
}
