package dirfs_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// An error in the middle of the names is reported, even if it does not come again.
// strace injects it.
func TestNextByInodeReportsAnErrorThatComesOnce(t *testing.T) {
	const child = "DIRFS_LIST"
	if path := os.Getenv(child); path != "" {
		runtime.LockOSThread() // strace counts the calls of each thread
		list, err := open(t, path).List()
		for err == nil {
			_, err = list.NextByInode(nil, 1<<20)
		}
		fmt.Println(err)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace")
	}
	if out, err := exec.Command(strace, "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace cannot trace here: %v: %s", err, out)
	}
	path := t.TempDir()
	d := open(t, path)
	for i := range 2000 { // three reads
		put(t, d, fmt.Sprintf("session_%064x.sess", i), "")
	}
	for _, test := range []struct{ inject, end string }{
		{"delay_enter=0", "EOF\n"},
		{"error=EIO:when=2", ": input/output error\n"},
	} {
		cmd := exec.Command(strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace=getdents64",
			"-e", "inject=getdents64:"+test.inject, os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"="+path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", test.inject, err, out)
		}
		if !strings.Contains(string(out), test.end) {
			t.Errorf("%s: got %q, want %q", test.inject, out, test.end)
		}
	}
}
