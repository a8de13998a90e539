package integration

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A call is a system call that saves make, by the name that strace has for it.
type call struct {
	name string

	// probe makes the call in a way that does nothing and fails with EBADF, if
	// it is made at all.
	probe func() error
}

// The probes call the functions that the store itself uses, since the system calls of
// those depend on the architecture.
var calls = []call{
	{"openat", func() error { _, err := unix.Openat(-1, "x", 0, 0); return err }},
	{"flock", func() error { return unix.Flock(-1, unix.LOCK_UN) }},
	{"fstat", func() error { return unix.Fstat(-1, new(unix.Stat_t)) }},
	{"newfstatat", func() error { return unix.Fstatat(-1, "x", new(unix.Stat_t), 0) }},
	{"pread64", func() error { _, err := unix.Pread(-1, nil, 0); return err }},
	{"pwrite64", func() error { _, err := unix.Pwrite(-1, nil, 0); return err }},
	{"renameat2", func() error { return unix.Renameat2(-1, "x", -1, "x", 0) }},
	{"renameat", func() error { return unix.Renameat(-1, "x", -1, "x") }},
	{"linkat", func() error { return unix.Linkat(-1, "x", -1, "x", 0) }},
	{"unlinkat", func() error { return unix.Unlinkat(-1, "x", 0) }},
	{"utimensat", func() error { return unix.UtimesNanoAt(-1, "x", nil, 0) }},
	{"fchmod", func() error { return unix.Fchmod(-1, 0) }},
	{"fdatasync", func() error { return unix.Fdatasync(-1) }},
	{"fsync", func() error { return unix.Fsync(-1) }},
	{"close", func() error { return unix.Close(-1) }},
	{"mkdirat", func() error { return unix.Mkdirat(-1, "x", 0) }},
	{"faccessat2", func() error { return unix.Faccessat2(-1, "x", 0, unix.AT_EACCESS) }},
	{"fchmodat", func() error { return unix.Fchmodat(-1, "x", 0, 0) }},
}

func callNamed(name string) call {
	for _, c := range calls {
		if c.name == name {
			return c
		}
	}
	return call{}
}

// needStrace skips where there is no strace, or it may not trace.
func needStrace(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("skipped: not with the race detector, under which a thousand starts of a process take minutes")
	}
	if out, err := exec.Command("strace", "-f", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("skipped: strace cannot run here: %v %s", err, out)
	}
}

// traced returns a command line of strace for the command that follows. inject are
// strace's faults for the system calls of each thread.
func traced(inject ...string) []string {
	args := []string{"strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"}
	names := make([]string, len(inject))
	for i, what := range inject {
		names[i], _, _ = strings.Cut(what, ":")
		args = append(args, "-e", "inject="+what)
	}
	return append(args, "-e", "trace="+strings.Join(names, ","))
}

// attach attaches strace to a running process. The counts of a thread begin when it
// returns. strace ends with the process, or by the returned function; its log is in
// the file log.
func attach(t *testing.T, pid int, log string, args ...string) (detach func()) {
	t.Helper()
	cmd := exec.Command("strace", append([]string{"-f", "-p", fmt.Sprint(pid), "-o", log}, args...)...)
	messages, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen, buf := "", make([]byte, 4096)
	for !strings.Contains(seen, "attached") {
		n, err := messages.Read(buf)
		if seen += string(buf[:n]); err != nil {
			t.Fatalf("strace did not attach: %s %v", seen, err)
		}
	}
	gone := make(chan bool)
	go func() {
		io.Copy(io.Discard, messages)
		cmd.Wait()
		close(gone)
	}()
	return func() {
		cmd.Process.Signal(unix.SIGINT)
		<-gone
	}
}
