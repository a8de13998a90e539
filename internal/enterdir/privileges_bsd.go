//go:build darwin || freebsd || netbsd || openbsd

package enterdir

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// becomeUser sets the process to the effective rights of a user, without root's. The
// saved number stays root's, for the next directory and the metrics file, and so that
// no other user can signal or trace the process.
func becomeUser(uid, gid int) (restore func() error, err error) {
	groups, err := syscall.Getgroups()
	if err != nil {
		return nil, err
	}
	group := syscall.Getegid()
	restore = func() error {
		// The user first: only root may do the rest.
		err := syscall.Seteuid(0)
		if err == nil {
			// The groups first: on FreeBSD the first of them is the effective one.
			err = errors.Join(syscall.Setgroups(groups), syscall.Setegid(group))
		}
		if err != nil {
			return fmt.Errorf("root's rights did not come back: %w", err)
		}
		return nil
	}
	err = syscall.Setgroups([]int{gid})
	if err == nil {
		err = syscall.Setegid(gid)
	}
	if err == nil {
		err = syscall.Seteuid(uid)
	}
	if err == nil && os.Geteuid() != uid {
		err = errors.New("the kernel reported a change of rights that it did not make")
	}
	if err != nil {
		return nil, errors.Join(err, restore())
	}
	return restore, nil
}
