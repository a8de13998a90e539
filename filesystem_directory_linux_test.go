package sessions_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

func init() { children["without the right to write"] = childWithoutTheRight }

// otherUser is not root, so that permission bits mean something.
const otherUser = 65534

// readsOn returns the errors of the operations that only read.
func readsOn(store *sessions.FilesystemSessionStore, id string) error {
	s, err := store.Get(background, id)
	if err == nil && s.New() {
		err = errors.New("the session is not there")
	}
	if err == nil {
		_, err = store.Prune(background, prune.Options{DryRun: true})
	}
	n := 0
	for _, listErr := range store.List(background) {
		n++
		err = errors.Join(err, listErr)
	}
	if err == nil && n != 1 {
		err = fmt.Errorf("%d sessions are listed", n)
	}
	return err
}

func TestDirectoryOnAReadOnlyFileSystemIsWarnedOf(t *testing.T) {
	dir := mountTmpfs(t, "size=1m,mode=0700")
	id := saved(t, newStore(t, sessions.FilesystemOptions{Path: dir}), "a", 1).ID()
	if log := openingLog(t, sessions.FilesystemOptions{Path: dir}); log != "" {
		t.Errorf("logged of a directory that can be written to: %q", log)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	log := openingLog(t, sessions.FilesystemOptions{Path: dir})
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "cannot be written to") || !strings.Contains(log, "read-only file system") {
		t.Errorf("logged: %q; want one line", log)
	}
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, Logger: textLogger(new(strings.Builder))})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := readsOn(store, id); err != nil {
		t.Error(err)
	}
	if err := store.Save(background, store.New()); !errors.Is(err, unix.EROFS) {
		t.Errorf("Save = %v, want EROFS", err)
	}
}

func TestDirectoryWithoutTheRightToWriteIsWarnedOf(t *testing.T) {
	dir, _ := openToOthers(t)
	dir = filepath.Join(dir, "sessions")
	s := saved(t, newStore(t, sessions.FilesystemOptions{Path: dir}), "a", 1)
	file := fileOf(t, dir, s)
	age(t, file, 2*time.Hour)
	if os.Geteuid() == 0 { // to whom it means nothing
		if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chown(dir, otherUser, otherUser), os.Chown(file, otherUser, otherUser)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if _, err := os.Stat(filepath.Join(filepath.Dir(file), ".sessions.lock")); err == nil {
		t.Skip("skipped: who may not write has no lock here")
	}
	out, err := child("without the right to write", dirVariable+"="+dir, idVariable+"="+s.ID()).Output()
	if err != nil || strings.Count(string(out), "\n") != 2 ||
		!strings.Contains(string(out), "cannot be written to") || !strings.Contains(string(out), "file of an ended session could not be removed") {
		t.Errorf("%v, and logged: %q; want one line of the directory, and one of a file that could not be removed", err, out)
	}
}

func childWithoutTheRight() error {
	if os.Geteuid() == 0 {
		if err := errors.Join(unix.Setgid(otherUser), unix.Setuid(otherUser)); err != nil {
			return err
		}
	}
	id := os.Getenv(idVariable)
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: os.Getenv(dirVariable), Logger: textLogger(os.Stdout)})
	if err == nil {
		err = readsOn(store, id)
	}
	if err != nil {
		return err
	}
	report, err := store.Prune(background, prune.Options{IdleTimeout: time.Hour})
	if !errors.Is(err, unix.EACCES) || report.Failed != 1 || report.Removed != 0 {
		return fmt.Errorf("Prune = %+v, %v; want EACCES", report, err)
	}
	s, err := store.Get(background, id)
	if err != nil || s.New() {
		return fmt.Errorf("Get after that = %v, %v", s, err)
	}
	if err := store.Delete(background, s); err != nil {
		return fmt.Errorf("Delete = %v; its tombstone is enough", err)
	}
	if s, err := store.Get(background, id); err != nil || !s.New() {
		return fmt.Errorf("Get after Delete = %v, %v", s, err)
	}
	return nil
}
