package enterdir

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// becomeUser sets every thread of the process to the effective rights of a user,
// without root's: with the number the kernel clears the effective capabilities. The
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
		err := syscall.Setresuid(-1, 0, -1)
		if err == nil {
			err = errors.Join(syscall.Setresgid(-1, group, -1), syscall.Setgroups(groups))
		}
		if err != nil {
			return fmt.Errorf("root's rights did not come back: %w", err)
		}
		return nil
	}
	err = syscall.Setgroups([]int{gid})
	if err == nil {
		err = syscall.Setresgid(-1, gid, -1)
	}
	if err == nil {
		err = syscall.Setresuid(-1, uid, -1)
	}
	if err == nil && os.Geteuid() != uid {
		err = errors.New("the kernel reported a change of rights that it did not make")
	}
	if err != nil {
		return nil, errors.Join(err, restore())
	}
	return restore, nil
}
