//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dirfs

import "golang.org/x/sys/unix"

const accessFlags = unix.AT_EACCESS

func (d *Dir) link(fd int, old, new string) error { return unix.Linkat(fd, old, fd, new, 0) }

func duplicate(fd uintptr) (int, error) { return unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }
