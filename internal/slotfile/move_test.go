package slotfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessfs/sessions/internal/slotfile"
)

func size(t *testing.T, path, name string) int64 {
	t.Helper()
	fi, err := os.Stat(filepath.Join(path, name))
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

func TestWriteMovesARecordThatBecameMuchSmaller(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	for _, row := range []struct{ before, after, want int }{
		{1 << 20, 10, 3584},
		{1 << 20, 5000, 15872},
		{20_000, 1400, 3584},
		{1 << 20, 300_000, 1<<20 - 512}, // a quarter
		{1 << 20, 600_000, 1<<22 - 512}, // not much smaller
		{3000, 10, 8192 - 512},          // the next smaller file would do, and that is not a quarter
		{1000, 10, 3584},
	} {
		for _, saves := range []int{1, 2, 3} { // so that either slot is the newest
			create(t, files, "a", strings.Repeat("x", row.before))
			for i := range saves {
				if err := write(files, "a", strings.Repeat("y", row.after+i)); err != nil {
					t.Fatal(err)
				}
				wantRecord(t, files, "a", strings.Repeat("y", row.after+i))
			}
			if got := size(t, path, "a"); got != int64(row.want) {
				t.Errorf("%d bytes, then %d: a file of %d, want %d", row.before, row.after, got, row.want)
			}
			wantNames(t, path, "a")
			if _, err := remove(files, "a"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Whatever the size, one that varies by less than a factor of two stays in the
// file that holds it.
func TestWriteLeavesARecordInItsFileThatVariesByHalf(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	for most := 1000; most < 300_000; most += most / 5 {
		create(t, files, "a", strings.Repeat("x", most))
		var first os.FileInfo
		for i := range 10 {
			if err := write(files, "a", strings.Repeat("y", most-(i%2)*(most/2-most/16))); err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(filepath.Join(path, "a"))
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = fi
			}
			if !os.SameFile(first, fi) {
				t.Fatalf("a record of %d bytes at most moves from %d to %d bytes at save %d", most, first.Size(), fi.Size(), i)
			}
		}
		if _, err := remove(files, "a"); err != nil {
			t.Fatal(err)
		}
	}
}

// A reader that has opened the large file has the state that was current then.
func TestWriteIntoASmallerFileLeavesTheOldOneToItsReaders(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	large := strings.Repeat("x", 100_000)
	create(t, files, "a", large)
	old, err := os.Open(filepath.Join(path, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	before := make([]byte, size(t, path, "a"))
	if _, err := old.ReadAt(before, 0); err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{"one", "two", "three"} {
		if err := write(files, "a", payload); err != nil {
			t.Fatal(err)
		}
	}
	after := make([]byte, len(before))
	if _, err := old.ReadAt(after, 0); err != nil || string(after) != string(before) {
		t.Errorf("the old file was written to (%v)", err)
	}
	// The sequence goes on, or a reader could take an older slot for a newer one.
	if text, err := os.ReadFile(filepath.Join(path, "a")); err != nil || !strings.Contains(string(text), "slot 0000000000000004 ") {
		t.Errorf("the new file has no save of number 4 (%v)", err)
	}
}

// A backup, perhaps: the record moves, and the old file keeps one name, as if
// that were the record's.
func TestLockIsOfTheNewFileThoughTheOldOneHasAHardLink(t *testing.T) {
	path := t.TempDir()
	files, other := open(t, path), open(t, path)
	create(t, files, "a", "one")
	if err := os.Link(filepath.Join(path, "a"), filepath.Join(path, "backup")); err != nil {
		t.Skip(err)
	}
	var l slotfile.Lock
	if err := files.Lock(ctx, "a", &l); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- write(other, "a", "three") }()
	waitForWaiter(t, filepath.Join(path, "a"))
	if err := l.Write(ctx, meta, strings.Repeat("two", 5000), false); err != nil {
		t.Fatal(err)
	}
	l.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantRecord(t, files, "a", "three")
	wantRecord(t, files, "backup", "one")
}

// An operator's mv over a file that has a hard link sets no bit in its mode.
func TestLockIsOfTheFileThatHasTheNameAmongHardLinks(t *testing.T) {
	path := t.TempDir()
	files, other := open(t, path), open(t, path)
	create(t, files, "a", "old")
	create(t, files, "b", "restored")
	for _, link := range []string{"backup", "backup2"} {
		if err := os.Link(filepath.Join(path, "a"), filepath.Join(path, link)); err != nil {
			t.Skip(err)
		}
	}
	var l slotfile.Lock
	if err := files.Lock(ctx, "a", &l); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- write(other, "a", "new") }()
	waitForWaiter(t, filepath.Join(path, "a"))
	if err := os.Rename(filepath.Join(path, "b"), filepath.Join(path, "a")); err != nil {
		t.Fatal(err)
	}
	l.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantRecord(t, files, "a", "new")
	wantRecord(t, files, "backup", "old")
}

// A file that a pruner is about to judge moves, or goes, before it has the lock.
func TestCandidateHasNoLinksOnceItsNameLeadsElsewhere(t *testing.T) {
	for name, act := range map[string]func(files *slotfile.Files, path string) error{
		"removed": func(files *slotfile.Files, _ string) error { _, err := remove(files, "a"); return err },
		"moved":   func(files *slotfile.Files, _ string) error { return write(files, "a", strings.Repeat("x", 9000)) },
		"linked, and moved": func(files *slotfile.Files, path string) error {
			return errors.Join(os.Link(path, path+"2"), write(files, "a", strings.Repeat("x", 9000)))
		},
		"linked, and removed": func(files *slotfile.Files, path string) error {
			return errors.Join(os.Link(path, path+"2"), os.Link(path, path+"3"), os.Remove(path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			files := open(t, path)
			create(t, files, "a", "x")
			x, err := slotfile.NewCandidate(files.Dir(), "a")
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			if info, err := x.Info(); info.Links != 1 || err != nil {
				t.Fatalf("Info = %d links, %v; want one", info.Links, err)
			}
			if err := act(files, filepath.Join(path, "a")); err != nil {
				t.Fatal(err)
			}
			if ok, err := x.TryLock(); !ok || err != nil {
				t.Fatalf("TryLock = %v, %v", ok, err)
			}
			if info, err := x.Info(); info.Links != 0 || err != nil {
				t.Errorf("Info = %d links, %v; want none", info.Links, err)
			}
		})
	}
}

// Something else has the name by now, which unlink(2) refuses to remove.
func TestRemoveReportsThatTheNameCouldNotBeRemoved(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	swap := func() {
		t.Helper()
		if err := errors.Join(os.Remove(filepath.Join(path, "a")), os.Mkdir(filepath.Join(path, "a"), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	var pathErr *fs.PathError

	create(t, files, "a", "x")
	var l slotfile.Lock
	if err := files.Lock(ctx, "a", &l); err != nil {
		t.Fatal(err)
	}
	swap()
	gone, err := l.Remove()
	l.Unlock()
	if !gone || !errors.As(err, &pathErr) {
		t.Errorf("Lock.Remove = %v, %v; want the record gone, by its tombstone, and the error of unlink", gone, err)
	}

	if err := os.Remove(filepath.Join(path, "a")); err != nil {
		t.Fatal(err)
	}
	create(t, files, "a", "x")
	x, err := slotfile.NewCandidate(files.Dir(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	swap()
	if err := x.Remove(); !errors.As(err, &pathErr) {
		t.Errorf("Candidate.Remove = %v, want the error of unlink", err)
	}
}
