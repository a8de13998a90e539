package sessions

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sessfs/sessions/internal/dirfs"
)

// absolutePath makes a path independent of the current directory. "." stays: it
// is the current directory itself, which a caller may have checked and entered
// without any path that is certain to lead there.
func absolutePath(path string) (string, error) {
	if path = filepath.Clean(path); path == "." {
		return path, nil
	}
	return filepath.Abs(path)
}

// openDir opens the directory, made if there is none, and checks it.
func openDir(path string) (*dirfs.Dir, dirfs.Info, error) {
	dir, err := dirfs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(path); err != nil {
			return nil, dirfs.Info{}, err
		}
		dir, err = dirfs.Open(path)
	}
	return checkedDir(path, dir, err)
}

// checkedDir returns a directory, and the outcome of opening it, if the directory is fit
// for sessions.
func checkedDir(path string, dir *dirfs.Dir, err error) (*dirfs.Dir, dirfs.Info, error) {
	if err != nil {
		return nil, dirfs.Info{}, fmt.Errorf("the Path must be a directory, and no symbolic link: %w", err)
	}
	info, err := dir.Stat()
	if err == nil {
		err = checkDir(path, info.Mode, info.UID)
	}
	if err != nil {
		return nil, dirfs.Info{}, errors.Join(err, dir.Close())
	}
	return dir, info, nil
}

// warnOfDir logs a directory that is a bad place for sessions and does not stop a
// store. hidden are file names from which no ID can be read.
func warnOfDir(log *slog.Logger, dir *dirfs.Dir, info dirfs.Info, hidden bool) {
	if err := dir.CheckWritable(); err != nil {
		log.Warn("sessions: the session directory cannot be written to: no session can be made, and no file removed", "error", err)
	}
	if info.Mode.Perm()&0o055 != 0 && !hidden && runtime.GOOS != "windows" && !dir.InPrivate() {
		log.Warn("sessions: others can list the session directory, and so read session IDs; chmod it to 0700, or set HashNames",
			"mode", info.Mode.Perm().String())
	}
}

// makeDir makes a directory and its parents, mode 0700 whatever the umask.
func makeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, 0o700)
}

// checkDir refuses a directory in which others could put, swap or read files.
func checkDir(path string, info fs.FileMode, owner uint32) error {
	if runtime.GOOS == "windows" {
		return nil // permission bits say nothing there
	}
	if uid := os.Geteuid(); int64(owner) != int64(uid) {
		return fmt.Errorf("the Path %s belongs to the user %d, not to %d who runs this: sessions would be at their mercy", path, owner, uid)
	}
	if info.Perm()&0o022 != 0 {
		return fmt.Errorf("the Path %s may be written to by others (mode %04o): chmod go-w it, or give a directory of its own", path, info.Perm())
	}
	return nil
}
