//go:build unix

package dirfs

// RenameNewByLink is RenameNew as it is where no system call does it in one.
func (d *Dir) RenameNewByLink(old, new string) error {
	return d.at("linkat", func(fd int) error { return d.linkNew(fd, old, new) })
}
