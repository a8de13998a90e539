//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package dirfs

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/gofrs/flock"
)

// newDirectoryLock locks the directory itself: there is no file to protect from
// links, none is left behind, and a read-only file system will do. Without the
// flags package flock would make a file, and follow links.
func newDirectoryLock(path string, _ *os.Root, _ string) (*flock.Flock, error) {
	return flock.New(path, flock.SetFlag(syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK)), nil
}

// lockable returns the file that newDirectoryLock locks, as the opened directory
// has it.
func lockable(directory *os.Root, _ string) (fs.FileInfo, error) { return directory.Stat(".") }
