package dirfs

import (
	"errors"

	"golang.org/x/sys/windows"
)

// lockedByte is the part of a file that is locked. Locks are mandatory on Windows,
// so it is one byte far behind the end, which is never read or written.
func lockedByte() *windows.Overlapped { return &windows.Overlapped{OffsetHigh: 0x7fffffff} }

// TryLock is Lock if that need not wait.
func (f File) TryLock(shared bool) (bool, error) {
	err := f.lock(lockMode(shared) | windows.LOCKFILE_FAIL_IMMEDIATELY)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}

// Lock waits for the file's exclusive lock, or with shared for one that
// several open files may have at a time.
func (f File) Lock(shared bool) error { return f.lock(lockMode(shared)) }

func lockMode(shared bool) uint32 {
	if shared {
		return 0
	}
	return windows.LOCKFILE_EXCLUSIVE_LOCK
}

func (f File) lock(flags uint32) error {
	return windows.LockFileEx(windows.Handle(f.f.Fd()), flags, 0, 1, 0, lockedByte())
}

// Unlock releases the lock. Close does not leave that to Windows, which would do
// it only eventually; see LockFileEx.
func (f File) Unlock() error {
	err := windows.UnlockFileEx(windows.Handle(f.f.Fd()), 0, 1, 0, lockedByte())
	if errors.Is(err, windows.ERROR_NOT_LOCKED) {
		return nil
	}
	return err
}
