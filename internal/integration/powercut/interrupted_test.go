//go:build linux

package powercut

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// These tests stop one process in the middle of a save, let another one save and be
// acknowledged, and cut the power. Data that the first has not yet brought to the
// disk must be there all the same if the second builds upon it.

func childStore() (*sessions.FilesystemSessionStore, *sessions.Session, error) {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{
		Path: os.Getenv(dirVariable), Sync: sessions.SyncFull,
	})
	if err != nil {
		return nil, nil, err
	}
	s, err := store.Get(background, os.Getenv(idVariable))
	return store, s, err
}

func childGrow() error {
	store, s, err := childStore()
	if err == nil {
		newState(2, 3000).set(s, 0)
		err = store.Save(background, s)
	}
	return err
}

func childSave() error {
	store, s, err := childStore()
	if err == nil {
		newState(2, 10).set(s, 0)
		err = store.Save(background, s)
	}
	return err
}

func childDelete() error {
	store, s, err := childStore()
	if err == nil {
		err = store.Delete(background, s)
	}
	return err
}

// interrupted is a disk with one session on it, in state 1, with so many bytes
// of padding.
type interrupted struct {
	*disk
	dir   string
	id    string
	store *sessions.FilesystemSessionStore

	release func() // ends a child that is held
}

func newInterrupted(t *testing.T, f fileSystem, size int) *interrupted {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace, to stop a process in the middle of a save")
	}
	x := &interrupted{disk: newDisk(t, f), release: func() {}}
	x.dir = filepath.Join(x.disk.dir, "sessions")
	x.open(t)
	s := x.store.New()
	newState(1, size).set(s, 0)
	if err := x.store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	x.id = s.ID()
	return x
}

func (x *interrupted) open(t *testing.T) {
	t.Helper()
	var err error
	x.store, err = sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: x.dir, Sync: sessions.SyncFull})
	if err != nil {
		t.Fatal(err)
	}
}

// stop runs a child up to a system call, which it does not get to make: it is
// killed there, or held for ten seconds, or goes on after an error.
func (x *interrupted) stop(t *testing.T, child, call, how string) {
	t.Helper()
	cmd := childCommand(child, x.dir, x.id, "strace", "-f", "-qq", "-o", "/dev/null",
		"-e", "trace="+call, "-e", "inject="+call+":"+how)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	if strings.Contains(how, "signal=") {
		timer := time.AfterFunc(20*time.Second, kill)
		if err := cmd.Wait(); err == nil || !timer.Stop() {
			t.Fatalf("the child was to be killed at its %s: %v", call, err)
		}
		return
	}
	if how == failing {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("the child, whose %s was to fail: %v", call, err)
		}
		return
	}
	x.release = kill
	t.Cleanup(kill)
}

// load returns the session as it is now.
func (x *interrupted) load(t *testing.T) *sessions.Session {
	t.Helper()
	s, err := x.store.Get(background, x.id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// waitFor waits until the other process has saved as much as it can.
func (x *interrupted) waitFor(t *testing.T, number int64) *sessions.Session {
	t.Helper()
	for range 1000 {
		if s := x.load(t); stateOf(s, 0).number == number {
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the other process has not come to save %d", number)
	return nil
}

func (x *interrupted) delete(s *sessions.Session) error { return x.store.Delete(background, s) }

// cutAndLoad cuts the power and returns the session as it is then.
func (x *interrupted) cutAndLoad(t *testing.T) *sessions.Session {
	t.Helper()
	if err := x.cutPower(logLost); err != nil {
		t.Skipf("this kernel's %s cannot be shut down: %v", x.kind, err)
	}
	x.store.Close()
	x.release()
	if err := x.restart(); err != nil {
		t.Fatal(err)
	}
	x.open(t)
	t.Cleanup(func() { x.store.Close() })
	return x.load(t)
}

const (
	killed  = "error=EIO:signal=KILL"
	held    = "delay_enter=10000000" // microseconds
	failing = "error=EIO"
)

func TestSaveOnAnUnfinishedOneSurvivesThePowerCut(t *testing.T) {
	save := func(number int64) func(*interrupted, *sessions.Session) error {
		return func(x *interrupted, s *sessions.Session) error {
			newState(number, 10).set(s, 0)
			return x.store.Save(background, s)
		}
	}
	nothing := func(*interrupted, *sessions.Session) error { return nil }
	for _, test := range []struct {
		name             string
		child, call, how string
		size             int   // of the first state
		sees             int64 // the state that the other process has left
		act              func(*interrupted, *sessions.Session) error
		want             int64 // zero: none
	}{
		{"a save in a larger file, whose maker is still syncing the directory", "grow", "fsync", held, 10, 2, save(3), 3},
		{"a save in a larger file, whose maker was killed before syncing the directory", "grow", "fsync", killed, 10, 2, save(3), 3},
		{"a logout in a larger file, whose maker was killed before syncing the directory", "grow", "fsync", killed, 10, 2, (*interrupted).delete, 0},
		{"a save in a smaller file, whose maker is still syncing the directory", "save", "fsync", held, 20_000, 2, save(3), 3},
		{"a save in a smaller file, whose maker was killed before syncing the directory", "save", "fsync", killed, 20_000, 2, save(3), 3},
		{"a logout in a smaller file, whose maker was killed before syncing the directory", "save", "fsync", killed, 20_000, 2, (*interrupted).delete, 0},
		{"a save of equal values, whose writer was killed before syncing them", "save", "fdatasync", killed, 10, 2, save(2), 2},
		{"a logout after one that was killed before syncing its tombstone", "delete", "fdatasync", killed, 10, 0, (*interrupted).delete, 0},
		{"a logout whose tombstone could not be written", "delete", "pwrite64", failing, 10, 0, nothing, 0},
		{"a logout whose tombstone could not be brought to the disk", "delete", "fdatasync", failing, 10, 0, nothing, 0},
	} {
		for _, f := range []fileSystem{ext4, xfs} {
			t.Run(test.name+", on "+f.name, func(t *testing.T) {
				t.Parallel()
				x := newInterrupted(t, f, test.size)
				before := x.load(t)
				x.stop(t, test.child, test.call, test.how)
				s := x.waitFor(t, test.sees)
				if s.New() {
					s = before
				}
				if err := test.act(x, s); err != nil {
					t.Fatal(err)
				}
				if got := stateOf(x.cutAndLoad(t), 0).number; got != test.want {
					t.Errorf("got state %d after the cut; want %d, which was acknowledged (0: the session's end)", got, test.want)
				}
			})
		}
	}
}
