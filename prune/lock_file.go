//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package prune

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/sessfs/sessions/internal/sessionfile"
)

// newLock locks a file, which stays: a directory cannot be locked here.
func newLock(path string, directory *os.Root) (*flock.Flock, error) {
	f, err := directory.OpenFile(sessionfile.PruneLock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return flock.New(filepath.Join(path, sessionfile.PruneLock), flock.SetFlag(os.O_RDWR)), f.Close()
}

// lockable returns what newLock locks, as the opened directory has it.
func lockable(directory *os.Root) (fs.FileInfo, error) { return directory.Lstat(sessionfile.PruneLock) }
