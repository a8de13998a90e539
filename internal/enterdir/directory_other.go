//go:build !(darwin || freebsd || linux || netbsd || openbsd)

package enterdir

import (
	"errors"
	"io/fs"
	"os"
)

// Enter makes a directory the current one, which must not be a symbolic link.
func Enter(path string) (restore func() error, err error) {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("does not exist: check the path, or let the application make it first")
	case err != nil:
		return nil, err
	case !fi.IsDir():
		return nil, errors.New("is not a directory, or is a symbolic link: name the directory itself")
	}
	return func() error { return nil }, os.Chdir(path)
}
