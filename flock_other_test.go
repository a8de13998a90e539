//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd) || sessions_lockfile

package sessions_test

import "testing"

func lockFile(t *testing.T, _ string) (release func()) {
	t.Helper()
	t.Skip("skipped: without flock(2) a file cannot be locked from outside")
	return nil
}
