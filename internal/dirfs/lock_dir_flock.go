//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dirfs

import "golang.org/x/sys/unix"

// TryLock takes the directory's own exclusive lock if it is free, until the
// File is closed. No file is made for it, so that none has to be protected from
// whoever would put a link in its place, and a read-only file system will do.
// (The name is for systems where a directory cannot be locked.)
func (d *Dir) TryLock(string) (lock File, ok bool, err error) {
	if lock, err = d.openSelf(); err != nil {
		return noFile, false, err
	}
	err = retry(func() error { return unix.Flock(lock.fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		lock.Close()
		if err == unix.EWOULDBLOCK {
			err = nil
		}
		return noFile, false, d.Error("flock", err)
	}
	return lock, true, nil
}
