//go:build (darwin || dragonfly || freebsd || linux || netbsd || openbsd) && !sessions_lockfile

package sessions_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// lockFile holds the lock of a file, on a descriptor of its own, until release is
// called or the test ends.
func lockFile(t *testing.T, name string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}
