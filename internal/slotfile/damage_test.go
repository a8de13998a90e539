package slotfile_test

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions/internal/slotfile"
)

// fileOf puts a file together from slots; nil is one that was never written.
func fileOf(t testing.TB, slots ...[]byte) []byte {
	t.Helper()
	size := slotfile.SlotSizeFor(1000)
	b, err := slotfile.AppendHeader(nil, meta, size)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range slots {
		b = slotfile.Pad(append(b, s...), slotfile.HeaderSize+(i+1)*size)
	}
	return b
}

func live(seq uint64, payload string) []byte { return slotfile.AppendSlot(nil, seq, false, payload) }
func dead(seq uint64) []byte                 { return slotfile.AppendSlot(nil, seq, true, "") }

var (
	older = strings.Repeat("older ", 150)
	newer = strings.Repeat("newer ", 160)
)

// files in the states that a record goes through, and all payloads ever saved in them.
var states = []struct {
	name  string
	slots [][]byte
	saved []string
	dead  bool // fs.ErrNotExist is a state as well
}{
	{"new", [][]byte{live(1, older), nil}, []string{older}, false},
	{"saved", [][]byte{live(1, older), live(2, newer)}, []string{older, newer}, false},
	{"saved again", [][]byte{live(7, newer), live(6, older)}, []string{older, newer}, false},
	{"removed", [][]byte{live(1, older), dead(2)}, []string{older}, true},
	{"empty payload", [][]byte{live(1, ""), live(2, older)}, []string{"", older}, false},
}

// wantSaved demands a state that was once saved, or ErrCorrupt.
func wantSaved(t *testing.T, files *slotfile.Files, saved []string, dead bool, what string, n int) {
	t.Helper()
	rec, err := files.Read(ctx, "a")
	ok := errors.Is(err, slotfile.ErrCorrupt) || dead && errors.Is(err, fs.ErrNotExist)
	for _, s := range saved {
		ok = ok || err == nil && rec.Payload == s && rec.Meta == string(meta)
	}
	if !ok {
		t.Fatalf("%s %d: Read = %.40q…, meta %q, %v; want a state that was saved, or ErrCorrupt", what, n, rec.Payload, rec.Meta, err)
	}
}

func TestReadOfATruncatedFileIsASavedStateOrErrCorrupt(t *testing.T) {
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			path := t.TempDir()
			files := open(t, path)
			whole := fileOf(t, state.slots...)
			for n := len(whole); n >= 0; n-- {
				if err := os.WriteFile(filepath.Join(path, "a"), whole, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(filepath.Join(path, "a"), int64(n)); err != nil {
					t.Fatal(err)
				}
				wantSaved(t, files, state.saved, state.dead, "cut at", n)
				if n%64 != 0 {
					continue
				}
				// The remains can be saved again, or be removed.
				switch err := write(files, "a", "again"); {
				case err == nil:
					wantRecord(t, files, "a", "again")
				case errors.Is(err, slotfile.ErrCorrupt), errors.Is(err, fs.ErrNotExist):
					if gone, err := remove(files, "a"); !gone || err != nil {
						t.Fatalf("cut at %d: Remove = %v, %v", n, gone, err)
					}
				default:
					t.Fatalf("cut at %d: write = %v", n, err)
				}
			}
		})
	}
}

func TestReadOfAFileWithOneBitFlippedIsASavedStateOrErrCorrupt(t *testing.T) {
	for _, state := range states[:4] {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			files := open(t, path)
			whole := fileOf(t, state.slots...)
			f, err := os.Create(filepath.Join(path, "a"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Write(whole); err != nil {
				t.Fatal(err)
			}
			for bit := range 8 * len(whole) {
				at := int64(bit / 8)
				f.WriteAt([]byte{whole[at] ^ 1<<(bit%8)}, at)
				wantSaved(t, files, state.saved, state.dead, "bit", bit)
				f.WriteAt(whole[at:at+1], at)
			}
			if rec, err := files.Read(ctx, "a"); state.dead == (err == nil) {
				t.Errorf("undamaged again: %.20q, %v", rec.Payload, err)
			}
		})
	}
}

// Other things in the place of a record are all refused, in
// bounded time and memory.
func TestReadOfAHostileFileIsErrCorrupt(t *testing.T) {
	announced := func(slotSize int) []byte {
		b, err := slotfile.AppendHeader(nil, meta, slotSize)
		if err != nil {
			t.Fatal(err)
		}
		return append(b, live(1, "x")...)
	}
	long := live(1, strings.Repeat("x", 100))
	copy(long[22:30], "40000000") // a length of a gigabyte, not covered by its sum
	for name, content := range map[string][]byte{
		"empty":                       nil,
		"zeros":                       make([]byte, 5000),
		"text":                        []byte(strings.Repeat("hello\n", 1000)),
		"spaces":                      []byte(strings.Repeat(" ", 4096)),
		"line breaks":                 []byte(strings.Repeat("\n", 4096)),
		"header alone":                fileOf(t),
		"no slot written":             fileOf(t, nil, nil),
		"slots of a gigabyte":         announced(1 << 30),
		"slots of all there is":       announced(math.MaxInt - 511),
		"slots of a negative size":    announced(-512),
		"slots of no size":            announced(0),
		"slots of 513 bytes":          announced(513),
		"a payload of a gigabyte":     fileOf(t, long, nil),
		"sequence number zero":        fileOf(t, live(0, "x"), nil),
		"a header of a slot only":     live(1, "x"),
		"a header without line break": []byte(strings.Repeat("x", 4096)),
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			files := open(t, path)
			if err := os.WriteFile(filepath.Join(path, "a"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			wantCorrupt(t, files)
			if gone, err := remove(files, "a"); !gone || err != nil {
				t.Errorf("Remove = %v, %v", gone, err)
			}
		})
	}
}

// wantCorrupt reads and locks "a" with a bound on time and memory.
func wantCorrupt(t *testing.T, files *slotfile.Files) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	if rec, err := files.Read(ctx, "a"); !errors.Is(err, slotfile.ErrCorrupt) {
		t.Errorf("Read = %d bytes, %v; want ErrCorrupt", len(rec.Payload), err)
	}
	var l slotfile.Lock
	err := files.Lock(ctx, "a", &l)
	if err == nil {
		err = l.Err()
		l.Unlock()
	}
	if !errors.Is(err, slotfile.ErrCorrupt) {
		t.Errorf("Lock = %v, want ErrCorrupt", err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 || time.Since(start) > 5*time.Second {
		t.Errorf("took %d bytes and %v", used, time.Since(start))
	}
}

func TestReadOfASparseFileOfTenGigabytesCostsNothing(t *testing.T) {
	for name, head := range map[string][]byte{"nothing in it": nil, "a record before it": fileOf(t, live(1, older), nil)} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			files := open(t, path)
			if err := os.WriteFile(filepath.Join(path, "a"), head, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(path, "a"), 10<<30); err != nil {
				t.Skip(err)
			}
			if head == nil {
				wantCorrupt(t, files)
				return
			}
			wantRecord(t, files, "a", older)
		})
	}
}

// FuzzFile: whatever a file holds, reading it neither panics nor grows, has the
// result of locking it, and a record saved over it is read back.
func FuzzFile(f *testing.F) {
	for _, state := range states {
		f.Add(fileOf(f, state.slots...))
	}
	whole := fileOf(f, live(1, older), live(2, newer))
	f.Add(whole[:700])
	f.Add([]byte{})
	f.Add(fileOf(f, live(1<<64-1, "x"), nil))
	f.Add(fileOf(f, live(5, "x"), live(5, "y")))
	path := f.TempDir()
	files := open(f, path)
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(filepath.Join(path, "a"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		rec, readErr := files.Read(ctx, "a")
		var l slotfile.Lock
		if err := files.Lock(ctx, "a", &l); err != nil {
			t.Fatal(err)
		}
		err := l.Err()
		if !errors.Is(err, readErr) || err == nil && string(l.Payload()) != rec.Payload {
			t.Errorf("Read = %q, %v, but Lock = %v", rec.Payload, readErr, err)
		}
		if err != nil {
			if _, err := l.Remove(); err != nil {
				t.Error(err)
			}
			l.Unlock()
			return
		}
		err = l.Write(ctx, l.Meta(), "saved over it", false)
		l.Unlock()
		if rec, readErr := files.Read(ctx, "a"); err != nil || readErr != nil || rec.Payload != "saved over it" {
			t.Errorf("Write = %v, then Read = %q, %v", err, rec.Payload, readErr)
		}
	})
}
