//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package dirfs

import "golang.org/x/sys/unix"

const openQuietly = 0

// fdatasync is fsync where the former is missing or, on macOS, no more than a
// hint. (The drive's own cache is F_FULLFSYNC's business there.)
func fdatasync(fd int) error { return unix.Fsync(fd) }

func renameNew(fd int, old, new string) error { return linkNew(fd, old, new) }
