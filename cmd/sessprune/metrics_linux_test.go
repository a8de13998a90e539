package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The sessions are removed all the same. The collector reads the last file that was
// written as a whole, and sees by its times how old it is.
func TestMetricsFileOnAFullDiskStaysAsItWas(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: this needs root, who mounts a small disk")
	}
	o := newOperator(t)
	fill(t, o.store, 3, "2h")
	disk := t.TempDir()
	cmd := exec.Command("/bin/sh", "-c", `
		mount --make-rprivate / && mount -t tmpfs -o size=16k none "$1" || exit 99
		file=$1/m.prom
		"$2" -q --idle-timeout 9h --metrics-file "$file" "$3" || exit 98
		cp "$file" "$4"
		dd if=/dev/zero of="$1/full" bs=4k 2>/dev/null
		"$2" -q --idle-timeout 1h --metrics-file "$file" "$3"
		echo "exit $?" >&2
		cmp "$file" "$4" && ls -A "$1"`,
		"sh", disk, o.bin, o.store, filepath.Join(t.TempDir(), "before"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, fs.ErrPermission) || exitCode(cmd, err) == 99 {
		t.Skipf("skipped: nothing can be mounted here: %v %s", err, &stderr)
	}
	if got, want := string(out), "full\nm.prom\n"; err != nil || got != want {
		t.Errorf("got the files %q, %v, want %q", got, err, want)
	}
	if got := stderr.String(); !strings.Contains(got, "--metrics-file was not written") || !strings.Contains(got, "no space left") || !strings.HasSuffix(got, "exit 1\n") {
		t.Errorf("got %q", got)
	}
	if n := filesIn(t, o.store); n != 0 {
		t.Errorf("%d of 3 sessions are left", n)
	}
}
