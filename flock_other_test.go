//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package sessions_test

import "testing"

func lockFile(t *testing.T, _ string) {
	t.Helper()
	t.Skip("skipped: this system has no flock(2)")
}
