//go:build aix || solaris

package dirfs

// TryLock takes the directory's own exclusive lock if it is free, until the
// File is closed. It is the lock of a file of that name, which stays.
func (d *Dir) TryLock(name string) (lock File, ok bool, err error) {
	if lock, err = d.openSelf(); err != nil {
		return noFile, false, err
	}
	lock.lock.file = name
	if ok, err = lock.TryLock(false); !ok {
		lock.Close()
		return noFile, false, d.Error("lock", err)
	}
	return lock, true, nil
}
