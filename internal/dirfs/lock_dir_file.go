//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package dirfs

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// newDirectoryLock locks a file, which stays: a directory cannot be locked here.
func newDirectoryLock(path string, directory *os.Root, name string) (*flock.Flock, error) {
	f, err := directory.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return flock.New(filepath.Join(path, name), flock.SetFlag(os.O_RDWR)), f.Close()
}

// lockable returns the file that newDirectoryLock locks, as the opened directory
// has it.
func lockable(directory *os.Root, name string) (fs.FileInfo, error) { return directory.Lstat(name) }
