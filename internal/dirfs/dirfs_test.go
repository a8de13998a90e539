package dirfs_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
)

func open(t testing.TB, path string) *dirfs.Dir {
	t.Helper()
	d, err := dirfs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func put(t testing.TB, d *dirfs.Dir, name, content string) {
	t.Helper()
	f, err := d.Create(name, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.WriteAt([]byte(content), 0), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, d *dirfs.Dir, name string) string {
	t.Helper()
	f, err := d.OpenRead(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1000)
	n, err := f.ReadAt(b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestFileIsReadAsItWasWritten(t *testing.T) {
	d := open(t, t.TempDir())
	put(t, d, "a", "hello")
	f, err := d.OpenWrite("a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.WriteAt([]byte("J"), 0); err != nil {
		t.Error(err)
	}
	if err := f.SyncData(); err != nil {
		t.Error(err)
	}
	if got := content(t, d, "a"); got != "Jello" {
		t.Errorf("content %q", got)
	}
	b := make([]byte, 10)
	if n, err := f.ReadAt(b, 5); n != 0 || err != nil {
		t.Errorf("ReadAt at the end = %d, %v; want no error", n, err)
	}
	if info, err := f.Stat(); err != nil || info.Size != 5 || info.Links != 1 || !info.Mode.IsRegular() {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	if err := d.Remove("a"); err != nil {
		t.Error(err)
	}
	if info, err := f.Stat(); err != nil || info.Links != 0 {
		t.Errorf("Stat of a removed file = %d links, %v; want none", info.Links, err)
	}
}

func TestCreateAndRenameNewNeverReplace(t *testing.T) {
	d := open(t, t.TempDir())
	put(t, d, "a", "a")
	put(t, d, "b", "b")
	if _, err := d.Create("a", 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create = %v, want fs.ErrExist", err)
	}
	if err := d.RenameNew("b", "a"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("RenameNew = %v, want fs.ErrExist", err)
	}
	if content(t, d, "a") != "a" || content(t, d, "b") != "b" {
		t.Error("one of them was changed")
	}
	if err := d.RenameNew("b", "c"); err != nil || content(t, d, "c") != "b" {
		t.Errorf("RenameNew = %v", err)
	}
	if err := d.Rename("c", "a"); err != nil || content(t, d, "a") != "b" {
		t.Errorf("Rename = %v", err)
	}
	if _, err := d.Lstat("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat of the old name = %v, want fs.ErrNotExist", err)
	}
}

func TestSetModTimeAndChmodAreExact(t *testing.T) {
	d := open(t, t.TempDir())
	f, err := d.Create("a", 0o660)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	want := time.Unix(1_700_000_000, 123_456_700)
	if err := d.SetModTime("a", want); err != nil {
		t.Fatal(err)
	}
	info, err := d.Lstat("a")
	if err != nil || !info.ModTime.Equal(want) || runtime.GOOS != "windows" && info.Mode != 0o660 {
		t.Errorf("Lstat = %v %v, %v; want %v, mode 0660", info.ModTime, info.Mode, err, want)
	}
}

func TestEntriesYieldsEveryNameWithItsType(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	var want []string
	for i := range 3000 { // more than are read at once
		name := strings.Repeat("x", i%100) + string(rune('a'+i%26)) + string(rune('0'+i%10)) + time.Duration(i).String()
		want = append(want, name)
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(path, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	for range 2 { // each list has a position of its own
		var got []string
		for e, err := range d.Entries() {
			if err != nil {
				t.Fatal(err)
			}
			if e.Name == "directory" {
				if !e.Type.IsDir() {
					t.Errorf("the directory has the type %v", e.Type)
				}
				continue
			}
			if !e.Type.IsRegular() {
				t.Errorf("a file has the type %v", e.Type)
			}
			got = append(got, e.Name)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%d names, want %d", len(got), len(want))
		}
	}
	for range d.Entries() {
		break
	}
}

func TestNextByInodeReturnsEveryNameOnceInTheOrderOfInodes(t *testing.T) {
	dirs := []string{t.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "dirfs"); err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		dirs = append(dirs, dir)
	}
	const files, most = 5000, 2000
	for _, path := range dirs {
		d := open(t, path)
		want := map[string]bool{}
		for i := range files {
			name := fmt.Sprintf("session_%064x.sess", i)
			put(t, d, name, "")
			want[name] = true
		}
		list, err := d.List()
		if err != nil {
			t.Fatal(err)
		}
		defer list.Close()
		gathered := 0
		for {
			entries, err := list.NextByInode(make([]dirfs.Entry, 1), most) // appended behind an entry
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			entries = entries[1:]
			gathered = max(gathered, len(entries))
			up := func(a, b dirfs.Entry) int { return cmp.Compare(a.Inode, b.Inode) }
			down := func(a, b dirfs.Entry) int { return up(b, a) }
			if !slices.IsSortedFunc(entries, up) && !slices.IsSortedFunc(entries, down) {
				t.Errorf("%d entries are not in order", len(entries))
			}
			for _, e := range entries {
				if !want[e.Name] {
					t.Fatal("a name comes twice")
				}
				delete(want, e.Name)
			}
		}
		if len(want) > 0 || gathered >= files {
			t.Errorf("%d names are missing; %d at most were gathered", len(want), gathered)
		}
	}
}

// Every operation on a file that is not there, in a directory that is closed:
// the error names the directory, never the file.
func TestErrorNeverNamesTheFile(t *testing.T) {
	path := t.TempDir()
	missing, closed := open(t, path), open(t, path)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	const secret = "secretname"
	long := strings.Repeat(secret, 100)
	for what, d := range map[string]*dirfs.Dir{"missing": missing, "closed": closed} {
		for _, name := range []string{secret, long} {
			_, openRead := d.OpenRead(name)
			_, openWrite := d.OpenWrite(name)
			_, lstat := d.Lstat(name)
			_, create := closed.Create(name, 0o600)
			for op, err := range map[string]error{
				"OpenRead": openRead, "OpenWrite": openWrite, "Lstat": lstat, "Create": create, "Remove": d.Remove(name),
				"Rename": d.Rename(name, name+"2"), "RenameNew": d.RenameNew(name, name+"2"), "SetModTime": d.SetModTime(name, time.Now()),
			} {
				var pathErr *fs.PathError
				if err == nil || strings.Contains(err.Error(), secret) || !errors.As(err, &pathErr) || pathErr.Path != path {
					t.Errorf("%s, %s: %v; want an error with the directory's path alone", what, op, err)
				}
				want := fs.ErrNotExist
				if d == closed || op == "Create" {
					want = fs.ErrClosed
				}
				if name == secret && !errors.Is(err, want) {
					t.Errorf("%s, %s: %v, want %v", what, op, err, want)
				}
			}
		}
	}
	for _, err := range closed.Entries() {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Entries of a closed directory: %v", err)
		}
	}
	if err := closed.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Close again = %v, want fs.ErrClosed", err)
	}
}

// A descriptor's number is used again at once: an operation that runs beside
// Close must not hit another file.
func TestCloseMayRunBesideOperations(t *testing.T) {
	path := t.TempDir()
	for range 50 {
		d := open(t, path)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					f, err := d.Create("a", 0o600)
					if err == nil {
						f.Close()
					}
					_, statErr := d.Stat()
					for _, err := range []error{err, statErr, d.Remove("a")} {
						if errors.Is(err, fs.ErrClosed) {
							return
						}
						if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
							t.Error(err)
						}
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		d.Close()
		if f, err := os.Open(os.Args[0]); err == nil { // takes the number
			defer f.Close()
		}
		wg.Wait()
	}
}

func TestLockKeepsOthersOutUntilItsFileIsClosed(t *testing.T) {
	d := open(t, t.TempDir())
	put(t, d, "a", "a")
	first, err := d.OpenWrite("a")
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.OpenWrite("a")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := first.TryLock(false); !ok || err != nil {
		t.Fatalf("TryLock = %v, %v", ok, err)
	}
	if ok, err := second.TryLock(false); ok || err != nil {
		t.Fatalf("TryLock of a locked file = %v, %v", ok, err)
	}
	done := make(chan error)
	go func() { done <- second.Lock(true) }()
	select {
	case err := <-done:
		t.Fatalf("a shared lock beside an exclusive one: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	first.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	second.Close()
}
