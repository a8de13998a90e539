package slotfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions/internal/slotfile"
)

// openIn returns the files of a directory that are open.
func openIn(path string) (files []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		file, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if name, ok := strings.CutPrefix(file, path+"/"); ok {
			files = append(files, name)
		}
	}
	return files
}

func wantOpen(t testing.TB, path string, want int, after string) {
	t.Helper()
	if got := len(openIn(path)); got != want {
		t.Errorf("after %s %d files are open, want %d", after, got, want)
	}
}

func TestFilesKeepAFileOpenFromItsSecondUse(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	create(t, files, "a", "one")
	wantRecord(t, files, "a", "one")
	wantOpen(t, path, 0, "a read")
	wantRecord(t, files, "a", "one")
	wantOpen(t, path, 1, "two reads")
	for _, payload := range []string{"two", "three", "four"} {
		if err := write(files, "a", payload); err != nil {
			t.Fatal(err)
		}
		wantRecord(t, files, "a", payload)
		wantOpen(t, path, 1, "a write")
	}
	if gone, err := remove(files, "a"); !gone || err != nil {
		t.Fatalf("Remove = %v, %v", gone, err)
	}
	wantOpen(t, path, 0, "its end")
	create(t, files, "a", "five")
	wantRecord(t, files, "a", "five")
	wantOpen(t, path, 1, "a read of a name that was in use before")
	if err := write(files, "a", strings.Repeat("large", 2000)); err != nil {
		t.Fatal(err)
	}
	wantRecord(t, files, "a", strings.Repeat("large", 2000))
	wantOpen(t, path, 0, "the move into a large file")
	create(t, files, "b", "one")
	wantRecord(t, files, "b", "one")
	wantRecord(t, files, "b", "one")
	wantOpen(t, path, 1, "two reads of another")
	files.Close()
	wantOpen(t, path, 0, "Close")
}

func TestFilesKeepABoundedNumberOfFilesOpen(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	for i := range 5000 {
		name := strconv.Itoa(i)
		create(t, files, name, name)
		for range 3 {
			wantRecord(t, files, name, name)
		}
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	most := int(min(limit.Cur/4, 2048))
	if got := len(openIn(path)); got < most/2 || got > most {
		t.Errorf("%d of 5000 files are open, want at most %d, and most of those", got, most)
	}
	files.Close()
	wantOpen(t, path, 0, "Close")
}

// keepFew is a child that may have 64 descriptors. It uses one file after the other and
// reports which it keeps open in the end.
func keepFew(path string) {
	limit := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		fmt.Println(err)
		return
	}
	files := openForChild(path, func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) })
	for i := range 400 {
		for range 50 {
			if _, err := files.Read(ctx, strconv.Itoa(i)); err != nil {
				fmt.Println(err)
				return
			}
		}
		os.Remove(filepath.Join(path, strconv.Itoa(i-200))) // as another process does
	}
	for _, name := range openIn(path) {
		fmt.Println(name)
	}
}

func TestFilesKeepFewFilesOpenWhereDescriptorsAreScarce(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	for i := range 400 {
		create(t, files, strconv.Itoa(i), "x")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), stressChild+"=few:"+path)
	out, err := cmd.Output()
	kept := strings.Fields(string(out))
	if len(kept) != 16 || slices.Contains(kept, "(deleted)") || err != nil {
		t.Errorf("of 64 descriptors, kept files have %q (%v), want sixteen of the last in use", kept, err)
	}
}

// Whatever is done to a file that is kept, Read and Lock have the results of a process
// that comes anew.
func TestKeptFileIsUsedLikeAnyOther(t *testing.T) {
	in := func(path string) string { return filepath.Join(path, "a") }
	acts := map[string]func(path string, other *slotfile.Files) error{
		"nothing":       func(string, *slotfile.Files) error { return nil },
		"a write":       func(_ string, other *slotfile.Files) error { return write(other, "a", "by another") },
		"a large write": func(_ string, other *slotfile.Files) error { return write(other, "a", strings.Repeat("large", 2000)) },
		"an end": func(_ string, other *slotfile.Files) error {
			_, err := remove(other, "a")
			return err
		},
		"rm":      func(path string, _ *slotfile.Files) error { return os.Remove(in(path)) },
		"mv away": func(path string, _ *slotfile.Files) error { return os.Rename(in(path), in(path)+".away") },
		"mv away and back": func(path string, _ *slotfile.Files) error {
			return errors.Join(os.Rename(in(path), in(path)+".away"), os.Rename(in(path)+".away", in(path)))
		},
		"mv over it": func(path string, other *slotfile.Files) error {
			return errors.Join(other.Create(ctx, "b", meta, "another record", false), os.Rename(filepath.Join(path, "b"), in(path)))
		},
		"ln and rm": func(path string, _ *slotfile.Files) error {
			return errors.Join(os.Link(in(path), in(path)+".second"), os.Remove(in(path)))
		},
		"ln, rm and a new one": func(path string, other *slotfile.Files) error {
			return errors.Join(os.Link(in(path), in(path)+".second"), os.Remove(in(path)), other.Create(ctx, "a", meta, "new", false))
		},
		"a symbolic link to it": func(path string, _ *slotfile.Files) error {
			return errors.Join(os.Rename(in(path), in(path)+".away"), os.Symlink("a.away", in(path)))
		},
		"a directory": func(path string, _ *slotfile.Files) error {
			return errors.Join(os.Remove(in(path)), os.Mkdir(in(path), 0o700))
		},
		"a fifo": func(path string, _ *slotfile.Files) error {
			return errors.Join(os.Remove(in(path)), unix.Mkfifo(in(path), 0o600))
		},
		"truncation":    func(path string, _ *slotfile.Files) error { return os.Truncate(in(path), 0) },
		"half the file": func(path string, _ *slotfile.Files) error { return os.Truncate(in(path), 700) },
		"other bytes":   func(path string, _ *slotfile.Files) error { return os.WriteFile(in(path), make([]byte, 3584), 0o600) },
		"a bit of each slot": func(path string, _ *slotfile.Files) error {
			b, err := os.ReadFile(in(path))
			for _, at := range []int{slotfile.HeaderSize + slotfile.SlotHead, slotfile.HeaderSize + slotfile.SlotSizeFor(10) + slotfile.SlotHead} {
				b[at] ^= 1
			}
			return errors.Join(err, os.WriteFile(in(path), b, 0o600))
		},
		"a save that is broken off": func(path string, _ *slotfile.Files) error {
			b, err := os.ReadFile(in(path))
			copy(b[slotfile.HeaderSize:], "slot f")
			return errors.Join(err, os.WriteFile(in(path), b, 0o600))
		},
		"a header of another text": func(path string, _ *slotfile.Files) error {
			b, err := os.ReadFile(in(path))
			b[0] ^= 1
			return errors.Join(err, os.WriteFile(in(path), b, 0o600))
		},
	}
	acts["no line break behind the header"] = func(path string, _ *slotfile.Files) error {
		b, err := os.ReadFile(in(path))
		b[bytes.IndexByte(b, '\n')] = ' '
		return errors.Join(err, os.WriteFile(in(path), b, 0o600))
	}
	result := func(files *slotfile.Files) string {
		rec, err := files.Read(ctx, "a")
		text := fmt.Sprintf("Read = %.20q, meta %q, time %v, %v", rec.Payload, rec.Meta, rec.ModTime.UnixNano(), err)
		var l slotfile.Lock
		if err := files.Lock(ctx, "a", &l); err != nil {
			return fmt.Sprint(text, "; Lock = ", err)
		}
		defer l.Unlock()
		if err := l.Err(); err != nil {
			return fmt.Sprint(text, "; locked, Err = ", err)
		}
		return fmt.Sprintf("%s; locked, %.20q, meta %q, time %v", text, l.Payload(), l.Meta(), l.ModTime().UnixNano())
	}
	for name, act := range acts {
		for _, use := range []string{"reads", "writes"} {
			for _, strict := range []bool{false, true} {
				t.Run(fmt.Sprint(name, " after ", use, ", strict ", strict), func(t *testing.T) {
					t.Parallel()
					path := t.TempDir()
					files, other, anew := open(t, path), open(t, path), open(t, path)
					for _, f := range []*slotfile.Files{files, other, anew} {
						f.Strict, f.Times = strict, true
					}
					create(t, files, "a", "first")
					for n := range 3 {
						if use == "writes" {
							if err := write(files, "a", strconv.Itoa(n)); err != nil {
								t.Fatal(err)
							}
						}
						if _, err := files.Read(ctx, "a"); err != nil {
							t.Fatal(err)
						}
					}
					wantOpen(t, path, 1, use)
					if err := act(path, other); err != nil {
						t.Fatal(err)
					}
					// Two processes that come anew: a Read does not change the next one.
					if got, want := result(files), result(anew); got != want {
						t.Errorf("of a kept file: %s\n\tof any other: %s", got, want)
					}
				})
			}
		}
	}
}

func TestKeptFileHasWhatWasDerivedOfItsRecord(t *testing.T) {
	path := t.TempDir()
	files, other := open(t, path), open(t, path)
	create(t, files, "a", "one")
	derived := func(when string, want any) {
		t.Helper()
		rec, err := files.Read(ctx, "a")
		if err != nil || rec.Derived == nil || rec.Derived.Load() != want || rec.Text() != rec.Meta+rec.Payload {
			t.Errorf("%s: got %v of %+v, %v, want %v", when, rec.Derived, rec, err, want)
		}
	}
	// Each write in place finds the one before.
	save := func(payload string, want, next any, text string) {
		t.Helper()
		var l slotfile.Lock
		if err := files.Lock(ctx, "a", &l); err != nil {
			t.Fatal(err)
		}
		defer l.Unlock()
		if got := l.Derived(); got != want {
			t.Errorf("the lock before %.20q has %v, want %v", payload, got, want)
		}
		if err := l.Write(ctx, meta, payload, false); err != nil {
			t.Fatal(err)
		}
		l.SetDerived(next, text)
	}
	files.Read(ctx, "a")
	for range 3 { // kept for writing from the third
		save("two", nil, nil, "")
	}
	derived("of nothing", nil)
	save("three", nil, "of three", string(meta)+"three")
	derived("of the next", "of three")
	var failing slotfile.Lock
	if err := files.Lock(ctx, "a", &failing); err != nil {
		t.Fatal(err)
	}
	if err := failing.Write(ctx, bytes.Repeat([]byte("x"), slotfile.MaxMeta+1), "none", false); err == nil {
		t.Error("a header that is too long is no error")
	}
	failing.Unlock()
	derived("of the one before a write that failed", "of three")
	save("four", "of three", "of four", "")
	derived("of the one after it", "of four")
	save("five", "of four", nil, "")
	derived("of one without", nil)
	save("six", nil, "of six", "")
	for _, payload := range []string{"seven", "six", "six"} { // the same text is not the same record
		if err := write(other, "a", payload); err != nil {
			t.Fatal(err)
		}
	}
	derived("of another's", nil)
	save("eight", nil, "of eight", "")
	save(strings.Repeat("nine", 1000), "of eight", "of nine", "") // into a larger file
	if rec, err := files.Read(ctx, "a"); err != nil || rec.Derived != nil || len(rec.Payload) != 4000 {
		t.Errorf("after the move: %v, %v", rec.Derived, err)
	}
}

func TestLockOfAKeptFileExcludesOthers(t *testing.T) {
	path := t.TempDir()
	files, other := open(t, path), open(t, path)
	create(t, files, "a", "0")
	for n := range 4 {
		var mine, others slotfile.Lock
		if err := files.Lock(ctx, "a", &mine); err != nil {
			t.Fatal(err)
		}
		for _, f := range []*slotfile.Files{files, other} {
			if ok, err := f.TryLock("a", &others); ok || err != nil {
				t.Fatalf("TryLock beside lock %d = %v, %v", n, ok, err)
			}
		}
		mine.Unlock()
		if ok, err := other.TryLock("a", &others); !ok || err != nil {
			t.Fatalf("TryLock after lock %d = %v, %v", n, ok, err)
		}
		others.Unlock()
	}
}

// Goroutines use more files than are kept. No write is lost, and none goes to a file
// of another name.
func TestKeptFilesAreUsedByManyGoroutines(t *testing.T) {
	path := t.TempDir()
	files := open(t, path)
	const records, goroutines, turns = 3000, 8, 3000
	for i := range records {
		create(t, files, strconv.Itoa(i), "")
	}
	var running sync.WaitGroup
	for range goroutines {
		running.Go(func() {
			for range turns {
				// Some are used often.
				name := strconv.Itoa(rand.IntN(rand.IntN(records) + 1))
				rec, err := files.Read(ctx, name)
				if err == nil && rec.Payload != "" && !strings.HasPrefix(rec.Payload, name+" ") {
					err = errors.New("the record of another name was read")
				}
				var l slotfile.Lock
				if err == nil {
					err = files.Lock(ctx, name, &l)
				}
				if err != nil {
					t.Error(err)
					return
				}
				n := 0
				fmt.Sscanf(string(l.Payload()), name+" %d", &n)
				err = l.Write(ctx, meta, fmt.Sprint(name, " ", n+1), false)
				l.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	total := 0
	for i := range records {
		rec, err := files.Read(ctx, strconv.Itoa(i))
		n := 0
		fmt.Sscanf(rec.Payload, strconv.Itoa(i)+" %d", &n)
		if total += n; err != nil {
			t.Error(err)
		}
	}
	if total != goroutines*turns {
		t.Errorf("%d writes are there, want %d", total, goroutines*turns)
	}
}

// A file that Files itself has removed is not kept, whichever way it was in use.
func TestFilesKeepNoFileThatTheyHaveRemoved(t *testing.T) {
	for name, act := range map[string]func(files *slotfile.Files, path string) error{
		"a removal of a file that was read only": func(files *slotfile.Files, _ string) error {
			_, err := remove(files, "a")
			return err
		},
		"a removal at once": func(files *slotfile.Files, _ string) error {
			_, err := files.RemoveNow(files.Opened, "a")
			return err
		},
		"a move of a file that was read only": func(files *slotfile.Files, _ string) error {
			return write(files, "a", strings.Repeat("large", 2000))
		},
		"a removal at once beside a lock": func(files *slotfile.Files, _ string) error {
			var l slotfile.Lock
			if err := files.Lock(ctx, "a", &l); err != nil {
				return err
			}
			defer l.Unlock()
			_, err := files.RemoveNow(files.Opened, "a")
			return err
		},
		"a removal while another process has the lock": func(files *slotfile.Files, path string) error {
			return errors.Join(write(files, "a", "1"), write(files, "a", "2"), removeBehind(files, open(t, path)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			files := open(t, path)
			create(t, files, "a", "one")
			wantRecord(t, files, "a", "one")
			wantRecord(t, files, "a", "one")
			wantOpen(t, path, 1, "two reads")
			if err := act(files, path); err != nil {
				t.Fatal(err)
			}
			wantOpen(t, path, 0, name)
		})
	}
}

// Where there are few sessions, no file takes the place of another. So the files that other
// processes have removed are looked for.
func TestFilesLetGoOfFilesThatWereRemovedElsewhere(t *testing.T) {
	path := t.TempDir()
	files, other := open(t, path), open(t, path)
	for i := range 1000 {
		name := strconv.Itoa(i)
		create(t, files, name, name)
		wantRecord(t, files, name, name)
		wantRecord(t, files, name, name)
		if i == 0 {
			continue // in use for ever
		}
		if gone, err := remove(other, name); !gone || err != nil {
			t.Fatalf("Remove = %v, %v", gone, err)
		}
	}
	if got := len(openIn(path)); got < 1 || got > 200 {
		t.Errorf("%d files are open, one of which has a name; want 200 at most", got)
	}
	wantRecord(t, files, "0", "0")
	files.Relieve()
	wantOpen(t, path, 0, "Relieve")
}

// removeBehind removes a record whose lock other Files have at first.
func removeBehind(files, other *slotfile.Files) error {
	var l slotfile.Lock
	if err := other.Lock(ctx, "a", &l); err != nil {
		return err
	}
	var running sync.WaitGroup
	var err error
	running.Go(func() { _, err = remove(files, "a") })
	for files.Semaphores() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond) // most often enough to wait for the lock
	l.Unlock()
	running.Wait()
	return err
}

// A number that is closed twice, or too early, is by then that of another file. Reads, writes,
// removals, Relieve and Close run beside goroutines that open files of their own.
func TestKeptFilesAreClosedOnceAfterTheirLastUse(t *testing.T) {
	path, foreign := t.TempDir(), t.TempDir()
	const records, users = 40, 4
	for i := range records {
		create(t, open(t, path), strconv.Itoa(i), "")
	}
	var running, others sync.WaitGroup
	stop := make(chan bool)
	for i := range 2 {
		others.Go(func() {
			name := filepath.Join(foreign, strconv.Itoa(i))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := useAsOwn(name, fmt.Sprint("own file ", i, " ", n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 10 {
		files := openForChild(path, t.Fatalf)
		for range users {
			running.Go(func() {
				for range 150 {
					name := strconv.Itoa(rand.IntN(records))
					if err := useAny(files, name); err != nil && !errors.Is(err, fs.ErrClosed) {
						t.Error(err)
						return
					}
				}
			})
		}
		running.Go(func() {
			for range 50 {
				files.Relieve()
				time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
			}
			if rand.IntN(2) == 0 {
				files.Close()
			}
		})
		running.Wait()
		files.Close()
		wantOpen(t, path, 0, "Close")
	}
	close(stop)
	others.Wait()
}

// useAsOwn writes a file, and finds that it has what was written.
func useAsOwn(name, text string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	b := make([]byte, 100)
	_, err = f.WriteAt([]byte(text), 0)
	n, readErr := f.ReadAt(b, 0)
	if readErr == io.EOF {
		readErr = nil
	}
	if err = errors.Join(err, readErr, f.Close()); err == nil && string(b[:n]) != text {
		err = fmt.Errorf("a file of another's has %q, want %q", b[:n], text)
	}
	return err
}

// useAny reads, writes or replaces a record. Its payload begins with its name.
func useAny(files *slotfile.Files, name string) error {
	rec, err := files.Read(ctx, name)
	if err == nil && rec.Payload != "" && !strings.HasPrefix(rec.Payload, name+" ") {
		return fmt.Errorf("the record %s is %.20q", name, rec.Payload)
	}
	switch rand.IntN(8) {
	case 0:
		_, err = remove(files, name)
	case 1:
		err = files.Create(ctx, name, meta, name+" created", false)
	case 2:
		_, err = files.RemoveNow(files.Dir(), name)
	case 3:
		err = write(files, name, name+strings.Repeat(" large", 1000))
	default:
		err = write(files, name, name+" written")
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
