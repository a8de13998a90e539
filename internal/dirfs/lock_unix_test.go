//go:build unix

package dirfs_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/processtest"
)

// lockPath has the directory in which a child locks a file.
const lockPath = "DIRFS_LOCK_PATH"

func TestMain(m *testing.M) { processtest.Main(m, map[string]func() error{"lock": childLock}) }

// childLock holds the lock of the file a until its standard input ends.
func childLock() error {
	dir, err := dirfs.Open(os.Getenv(lockPath))
	if err != nil {
		return err
	}
	f, err := dir.OpenWrite("a")
	if err == nil {
		err = f.Lock(false)
	}
	if err == nil {
		fmt.Println("held")
		io.Copy(io.Discard, os.Stdin)
	}
	return err
}

// startLock starts a process that locks the file a.
func startLock(t *testing.T, path string) *processtest.Process {
	t.Helper()
	p := processtest.Start(t, processtest.Command("lock", []string{lockPath + "=" + path}))
	t.Cleanup(func() { p.In.Close(); p.Wait() })
	return p
}

// lockElsewhere has another process hold the lock of the file a.
func lockElsewhere(t *testing.T, path string) *processtest.Process {
	t.Helper()
	p := startLock(t, path)
	if got := p.Line(t); got != "held" {
		t.Fatalf("the other process printed %q", got)
	}
	return p
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
	waiting := startLock(t, path)
	line := make(chan string, 1)
	go func() {
		waiting.Out.Scan()
		line <- waiting.Out.Text()
	}()
	select {
	case text := <-line:
		t.Errorf("another process printed %q while the lock is held", text)
	case <-time.After(100 * time.Millisecond):
		f.Unlock()
		if text := <-line; text != "held" {
			t.Errorf("another process printed %q after the lock was released", text)
		}
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
