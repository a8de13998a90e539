package prune

import (
	"errors"
	"os"
	"path/filepath"
)

// errMoved is the error of a directory whose lock cannot be taken, since package
// flock takes a path.
var errMoved = errors.New("the path of the directory leads to another one by now")

// lock makes one Run at a time be at work in a directory, until release is called.
func lock(directory *os.Root) (release func() error, err error) {
	path := filepath.Clean(directory.Name())
	if path != "." { // which is the current directory itself, whatever its path
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	l, err := newLock(path, directory)
	if err != nil {
		return nil, err
	}
	ok, err := l.TryLock()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrRunning
	}
	// While the lock is held this is about the locked file, not about its path.
	locked, err := l.Stat()
	if err == nil {
		opened, statErr := lockable(directory)
		if err = statErr; err == nil && !os.SameFile(locked, opened) {
			err = errMoved
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	return l.Unlock, nil
}
