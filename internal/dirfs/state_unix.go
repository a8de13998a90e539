//go:build aix || darwin || dragonfly || freebsd || linux || netbsd || openbsd || solaris

package dirfs

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Removed reports whether the directory was removed.
//
// A removed directory has no links. On overlayfs, one with a lower layer reports
// one link before and after: there the failure of Create is the only sign.
func (d *Dir) Removed() (bool, error) {
	info, err := d.Stat()
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // abandoned
	}
	return err == nil && (info.Links == 0 || d.removed.Load()), err
}

// CheckWritable returns the reason why files cannot be made and removed in the
// directory, as far as the system knows beforehand.
func (d *Dir) CheckWritable() error {
	return d.at("faccessat", func(fd int) error {
		return unix.Faccessat(fd, ".", unix.W_OK|unix.X_OK, accessFlags)
	})
}

// InPrivate reports whether some directory above this one keeps out all users but
// root and the process's own.
//
// It looks at "..", "../.." and so on, since the path may lead through links. It
// does not see other ways to the directory, as through a mount elsewhere.
func (d *Dir) InPrivate() (private bool) {
	uid := uint32(os.Geteuid())
	d.at("fstatat", func(fd int) error {
		var st, below unix.Stat_t
		for up := ".."; len(up) < unix.PathMax; up += "/.." {
			below = st
			err := unix.Fstatat(fd, up, &st, 0)
			if err != nil || st.Dev == below.Dev && st.Ino == below.Ino { // the root is its own parent
				return err
			}
			if st.Mode&0o011 == 0 && (st.Uid == uid || st.Uid == 0) {
				private = true
				return nil
			}
		}
		return nil
	})
	return private
}
