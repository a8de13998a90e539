//go:build aix || solaris

package dirfs

import (
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const accessFlags = 0 // the real user: AIX has no name for the effective one here

// link goes by the path, since package unix has no linkat(2) here. The name old
// is a random one: in another directory, to which the path may lead by now, it is
// not there.
func (d *Dir) link(_ int, old, new string) error {
	return unwrapOS(os.Link(filepath.Join(d.path, old), filepath.Join(d.path, new)))
}

// duplicate keeps a process from being started before the copy is closed to it:
// AIX cannot make such a copy in one step.
func duplicate(fd uintptr) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	copied, err := unix.FcntlInt(fd, unix.F_DUPFD, 0)
	if err == nil {
		unix.CloseOnExec(copied)
	}
	return copied, err
}
