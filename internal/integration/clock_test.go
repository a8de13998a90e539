//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package integration

import "golang.org/x/sys/unix"

// monotonic reads the clock that all processes of the machine share, in
// nanoseconds.
func monotonic() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}
