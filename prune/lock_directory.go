//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package prune

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/gofrs/flock"
)

// newLock locks the directory itself: there is no file to protect from links, none
// is left behind, and a read-only file system will do. Without the flags package
// flock would make a file, and follow links.
func newLock(path string, _ *os.Root) (*flock.Flock, error) {
	return flock.New(path, flock.SetFlag(syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK)), nil
}

// lockable returns what newLock locks, as the opened directory has it.
func lockable(directory *os.Root) (fs.FileInfo, error) { return directory.Stat(".") }
