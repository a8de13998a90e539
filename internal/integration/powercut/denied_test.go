//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

func TestReadOnlyFileSystemRefusesEveryChangeAndReadsOn(t *testing.T) {
	p := newPlace(t, mountTmpfs(t, "size=1m,mode=0700"), sessions.SyncFull)
	id := p.make(t).ID()
	remount := func(flags uintptr) {
		if err := unix.Mount("", p.dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	s := p.load(t, id)
	destroyed := p.load(t, id)
	destroyed.Destroy()
	for what, act := range map[string]func() error{
		"a save": func() error { return p.saveState(t, id, 2, 600) },
		"growth": func() error { return p.saveState(t, id, 2, 6000) },
		"an update": func() error {
			return p.store.Update(background, s, func(s *sessions.Session) error { s.Set("a", 1); return nil })
		},
		"a touch":   func() error { _, err := p.store.Touch(background, s, 0); return err },
		"a logout":  func() error { return p.store.Save(background, destroyed) },
		"Delete":    func() error { return p.store.Delete(background, s) },
		"DeleteAll": func() error { _, err := p.store.DeleteAll(background); return err },
	} {
		p.wantRefused(t, what, unix.EROFS, act)
	}
	p.want(t, id, 1, 10)
	remount(0)
	if err := p.store.Save(background, destroyed); err != nil || !p.load(t, id).New() {
		t.Errorf("the logout, once it can be written: %v", err)
	}
}

// unprivileged is the ID of a user and a group to whom permission bits apply, unlike
// root.
const unprivileged = 65534

func TestDirectoryWithoutWriteRightLetsSessionsBeSavedAndNoneBeMade(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	dir := filepath.Join(t.TempDir(), "sessions")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, unprivileged, unprivileged)); err != nil {
		t.Fatal(err)
	}
	out, err := childCommand("lose the right", dir, "").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func childLoseTheRight() error {
	// Into the directory before the process becomes a user to whom the
	// directories above are closed.
	if err := errors.Join(os.Chdir(os.Getenv(dirVariable)), syscall.Setgid(unprivileged), syscall.Setuid(unprivileged)); err != nil {
		return err
	}
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: ".", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	var ids []string
	for range 2 {
		s := store.New()
		newState(1, 10).set(s, 0)
		if err := store.Save(background, s); err != nil {
			return err
		}
		ids = append(ids, s.ID())
	}
	if err := os.Chmod(".", 0o500); err != nil {
		return err
	}
	x := attempt{store: store}
	x.saves("a save that fits its slot", ids[0], newState(2, 600))
	x.refuses("growth", unix.EACCES, ids[0], newState(3, 6000))
	x.refusesNew(unix.EACCES)
	// The file cannot go, but the session is ended all the same.
	s, err := store.Get(background, ids[1])
	if err == nil {
		err = store.Delete(background, s)
	}
	x.check("a logout", err, nil)
	if s, err := store.Get(background, ids[1]); err != nil || !s.New() {
		x.errs = append(x.errs, fmt.Errorf("after its logout: %v, %v", s, err))
	}
	if names, _ := sessionFiles("."); len(names) != len(ids) {
		x.errs = append(x.errs, fmt.Errorf("%d files, want %d", len(names), len(ids)))
	}
	if err := os.Chmod(".", 0o700); err != nil {
		return err
	}
	x.saves("growth, with the right", ids[0], newState(3, 6000))
	return errors.Join(x.errs...)
}

// An attempt collects the failures in a child.
type attempt struct {
	store *sessions.FilesystemSessionStore
	errs  []error
}

func (x *attempt) check(what string, got, want error) {
	if !errors.Is(got, want) {
		x.errs = append(x.errs, fmt.Errorf("%s: got error %v, want %v", what, got, want))
	}
}

// saves wants a state to be saved, and found.
func (x *attempt) saves(what, id string, v state) {
	s, err := x.store.Get(background, id)
	if err == nil {
		v.set(s, 0)
		err = x.store.Save(background, s)
	}
	x.check(what, err, nil)
	x.has(what, id, v)
}

// refuses wants the save of a state to fail, and the stored one to be found.
func (x *attempt) refuses(what string, want error, id string, v state) {
	s, err := x.store.Get(background, id)
	if err != nil {
		x.check(what, err, nil)
		return
	}
	before := stateOf(s, 0)
	v.set(s, 0)
	x.check(what, x.store.Save(background, s), want)
	x.has(what, id, before)
}

func (x *attempt) refusesNew(want error) {
	s := x.store.New()
	newState(1, 10).set(s, 0)
	x.check("a new session", x.store.Save(background, s), want)
}

func (x *attempt) has(what, id string, v state) {
	s, err := x.store.Get(background, id)
	if err != nil || stateOf(s, 0) != v {
		x.errs = append(x.errs, fmt.Errorf("after %s: %v, %v; want state %d", what, s, err, v.number))
	}
}

func TestExhaustedDescriptorsAreAnErrorAndLoseNothing(t *testing.T) {
	out, err := childCommand("run out of descriptors", t.TempDir(), "").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func childRunOutOfDescriptors() error {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{
		Path: filepath.Join(os.Getenv(dirVariable), "sessions"), Sync: sessions.SyncFull,
	})
	if err != nil {
		return err
	}
	s := store.New()
	newState(1, 10).set(s, 0)
	if err := store.Save(background, s); err != nil {
		return err
	}
	id := s.ID()
	other := store.New()
	newState(1, 10).set(other, 0)
	if err := store.Save(background, other); err != nil {
		return err
	}
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	held := holdDescriptors()
	x := attempt{store: store}
	_, err = store.Get(background, id)
	x.check("Get", err, unix.EMFILE)
	newState(2, 10).set(s, 0)
	x.check("a save", store.Save(background, s), unix.EMFILE)
	x.check("Delete", store.Delete(background, s), unix.EMFILE)
	x.refusesNew(unix.EMFILE)
	for _, err := range store.List(background) {
		x.check("List", err, unix.EMFILE)
	}
	syscall.Close(held[0]) // for a save in place; a larger file needs two
	x.saves("a save with one descriptor", id, newState(3, 10))
	x.refuses("growth with one descriptor", unix.EMFILE, id, newState(4, 6000))
	x.has("a file that was kept open has made room", other.ID(), newState(1, 10))
	if again := holdDescriptors(); len(again) != 1 {
		x.errs = append(x.errs, fmt.Errorf("of one free descriptor %d are left", len(again)))
	}
	for _, fd := range held {
		syscall.Close(fd)
	}
	x.saves("growth with descriptors", id, newState(4, 6000))
	if names, _ := sessionFiles(filepath.Join(os.Getenv(dirVariable), "sessions")); len(names) != 2 {
		x.errs = append(x.errs, fmt.Errorf("%d files, want two", len(names)))
	}
	return errors.Join(x.errs...)
}

// holdDescriptors takes all that there are.
func holdDescriptors() (held []int) {
	for {
		fd, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return held
		}
		held = append(held, fd)
	}
}
