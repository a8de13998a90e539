//go:build unix

package dirfs_test

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
)

// lockChild has the directory in which a child holds the lock of the file a until
// its standard input ends.
const lockChild = "DIRFS_LOCK_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(lockChild); path != "" {
		holdLock(path)
	}
	os.Exit(m.Run())
}

func holdLock(path string) {
	dir, err := dirfs.Open(path)
	if err == nil {
		var f dirfs.File
		if f, err = dir.OpenWrite("a"); err == nil {
			err = f.Lock(false)
		}
	}
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	println("held")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// lockElsewhere has another process hold the lock of the file a.
func lockElsewhere(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lockChild+"="+path)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "held" {
		t.Fatalf("the other process reports %q", lines.Text())
	}
	return cmd
}

func lockable(t *testing.T) (path string, dir *dirfs.Dir) {
	t.Helper()
	path = t.TempDir()
	dir = open(t, path)
	put(t, dir, "a", "content")
	put(t, dir, "b", "content")
	return path, dir
}

func openWrite(t *testing.T, dir *dirfs.Dir, name string) dirfs.File {
	t.Helper()
	f, err := dir.OpenWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func wantLock(t *testing.T, f dirfs.File, want bool) {
	t.Helper()
	if ok, err := f.TryLock(false); ok != want || err != nil {
		t.Fatalf("TryLock = %v, %v; want %v", ok, err, want)
	}
}

func TestLockOfAProcessThatWasKilledIsFree(t *testing.T) {
	path, dir := lockable(t)
	holder := lockElsewhere(t, path)
	f := openWrite(t, dir, "a")
	wantLock(t, f, false)
	done := make(chan error, 1)
	go func() { done <- f.Lock(false) }()
	select {
	case err := <-done:
		t.Fatalf("Lock = %v while another process has it", err)
	case <-time.After(20 * time.Millisecond):
	}
	holder.Process.Kill()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A reader in the holder's own process, and two locks of one open directory more.
func TestLockStaysWhenAnotherDescriptorOfTheFileIsClosed(t *testing.T) {
	path, dir := lockable(t)
	f := openWrite(t, dir, "a")
	wantLock(t, f, true)
	again := open(t, path)
	other, err := again.OpenWrite("a")
	if err != nil {
		t.Fatal(err)
	}
	wantLock(t, other, false)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"held", "free"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), lockChild+"="+path)
		out, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make(chan string, 1)
		go func() {
			lines := bufio.NewScanner(out)
			lines.Scan()
			line <- lines.Text()
		}()
		if command == "held" {
			select {
			case text := <-line:
				t.Errorf("another process reports %q while the lock is held", text)
			case <-time.After(100 * time.Millisecond):
			}
			cmd.Process.Kill()
			cmd.Wait()
			f.Unlock()
			continue
		}
		if text := <-line; text != "held" {
			t.Errorf("another process reports %q after the lock was given up", text)
		}
		cmd.Wait()
	}
}

func TestLocksOfTwoFilesOfADirectoryAreHeldTogether(t *testing.T) {
	_, dir := lockable(t)
	a, b := openWrite(t, dir, "a"), openWrite(t, dir, "b")
	for _, f := range []dirfs.File{a, b} {
		if err := f.Lock(false); err != nil {
			t.Fatal(err)
		}
	}
	wantLock(t, openWrite(t, dir, "a"), false)
	a.Unlock()
	wantLock(t, openWrite(t, dir, "a"), true)
	wantLock(t, openWrite(t, dir, "b"), false)
}

func TestLockIsSharedByThoseWhoShareIt(t *testing.T) {
	_, dir := lockable(t)
	one, two, alone := openWrite(t, dir, "a"), openWrite(t, dir, "a"), openWrite(t, dir, "a")
	for _, f := range []dirfs.File{one, two} {
		if ok, err := f.TryLock(true); !ok || err != nil {
			t.Fatalf("TryLock = %v, %v", ok, err)
		}
		wantLock(t, alone, false)
	}
	one.Unlock()
	wantLock(t, alone, false)
	two.Unlock()
	wantLock(t, alone, true)
	if ok, err := one.TryLock(true); ok || err != nil {
		t.Errorf("TryLock = %v, %v beside a lock that is not shared", ok, err)
	}
}

// A process that was started while a lock was held, and lives on.
func TestLockIsNotInheritedByAProcessThatIsStarted(t *testing.T) {
	path, dir := lockable(t)
	f := openWrite(t, dir, "a")
	wantLock(t, f, true)
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { sleep.Process.Kill(); sleep.Wait() }()
	f.Unlock()
	lockElsewhere(t, path)
	wantLock(t, f, false)
}

func TestLockIsHadAfterAllLockFilesWereRemoved(t *testing.T) {
	path, dir := lockable(t)
	f := openWrite(t, dir, "a")
	for range 3 {
		wantLock(t, f, true)
		f.Unlock()
		if err := os.Remove(filepath.Join(path, dirfs.LockName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	lockElsewhere(t, path)
	wantLock(t, f, false)
}

func TestLockInADirectoryThatWasRemovedIsNoError(t *testing.T) {
	path, dir := lockable(t)
	f := openWrite(t, dir, "a")
	if err := os.RemoveAll(path); err != nil {
		t.Skip(err)
	}
	wantLock(t, f, true)
	f.Unlock()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	wantLock(t, f, true)
}
