//go:build unix && !linux

package dirfs

import "golang.org/x/sys/unix"

const openQuietly = 0

// fdatasync is fsync where the former is missing or, on macOS, no more than a
// hint. (The drive's own cache is F_FULLFSYNC's business there.)
func fdatasync(fd int) error { return unix.Fsync(fd) }

func (d *Dir) renameNew(fd int, old, new string) error { return d.linkNew(fd, old, new) }
