package dirfs

import (
	"errors"
	"os"
	"path/filepath"
)

// errElsewhere is the error of a directory whose lock cannot be taken, since
// package flock takes a path.
var errElsewhere = errors.New("the path of the directory leads to another one by now")

// TryLockDirectory takes the exclusive lock of an opened directory if it is free,
// until release is called once. The name is of the lock's file on systems where a
// directory cannot be locked itself. The last element of the directory's path must
// not be a symbolic link.
func TryLockDirectory(directory *os.Root, name string) (release func() error, ok bool, err error) {
	path := filepath.Clean(directory.Name())
	if path != "." { // which is the current directory itself, whatever its path
		if path, err = filepath.Abs(path); err != nil {
			return nil, false, err
		}
	}
	l, err := newDirectoryLock(path, directory, name)
	if err != nil {
		return nil, false, err
	}
	if ok, err := l.TryLock(); !ok {
		return nil, false, err
	}
	// While the lock is held this is about the locked file, not about its path.
	locked, err := l.Stat()
	if err == nil {
		opened, statErr := lockable(directory, name)
		if err = statErr; err == nil && !os.SameFile(locked, opened) {
			err = errElsewhere
		}
	}
	if err != nil {
		return nil, false, errors.Join(err, l.Unlock())
	}
	return l.Unlock, true, nil
}
