package dirfs

import "golang.org/x/sys/unix"

const openQuietly = unix.O_NOATIME

func fdatasync(fd int) error { return unix.Fdatasync(fd) }

// renameNew needs one system call where the file system has it; NFS and some
// FUSE file systems do not.
func (d *Dir) renameNew(fd int, old, new string) error {
	err := unix.Renameat2(fd, old, fd, new, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return d.linkNew(fd, old, new)
	}
	return err
}
