//go:build !(aix || darwin || dragonfly || freebsd || linux || netbsd || openbsd || solaris || windows)

package dirfs

import "errors"

// What these systems have instead of flock(2) are record locks, which a
// process loses when it closes any descriptor of the file, a reader's too.
// Better no store than one that only seems to lock.

// TryLock reports errors.ErrUnsupported.
func (f File) TryLock(bool) (bool, error) { return false, errors.ErrUnsupported }

// Lock reports errors.ErrUnsupported.
func (f File) Lock(bool) error { return errors.ErrUnsupported }

// Unlock has nothing to give up.
func (f File) Unlock() error { return nil }
