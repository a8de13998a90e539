//go:build !(aix || darwin || dragonfly || freebsd || linux || netbsd || openbsd || solaris || windows)

package dirfs

import "errors"

// These systems have record locks instead of flock(2). A process loses them when it
// closes any descriptor of the file, a reader's too. Better no store than one that
// only seems to lock.

// TryLock reports errors.ErrUnsupported.
func (f File) TryLock(bool) (bool, error) { return false, errors.ErrUnsupported }

// Lock reports errors.ErrUnsupported.
func (f File) Lock(bool) error { return errors.ErrUnsupported }

// Unlock does nothing: there is never a lock.
func (f File) Unlock() error { return nil }
