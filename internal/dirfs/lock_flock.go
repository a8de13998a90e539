//go:build (darwin || dragonfly || freebsd || linux || netbsd || openbsd) && !sessions_lockfile

package dirfs

import "golang.org/x/sys/unix"

// A File is an open regular file, a bare descriptor. It must be closed
// exactly once; no method may run beside Close.
type File struct{ fd int }

// file is an open file of the directory.
func (d *Dir) file(fd int) File { return File{fd} }

// TryLock is Lock if that need not wait.
func (f File) TryLock(shared bool) (bool, error) {
	err := f.flock(lockMode(shared) | unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, err
}

// Lock waits for the file's exclusive lock, or with shared for one that
// several open files may have at a time.
func (f File) Lock(shared bool) error { return f.flock(lockMode(shared)) }

// Unlock releases the lock of a file that stays open.
func (f File) Unlock() error { return f.flock(unix.LOCK_UN) }

// closing has nothing to do: the system releases the lock.
func (f File) closing() {}

func (f File) flock(how int) error {
	for { // not by retry, whose closure would be an allocation
		if err := unix.Flock(f.fd, how); err != unix.EINTR {
			return err
		}
	}
}

func lockMode(shared bool) int {
	if shared {
		return unix.LOCK_SH
	}
	return unix.LOCK_EX
}
