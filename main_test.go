package sessions_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// A test that needs processes starts this binary again, with the name of one
// of children in this variable.
const childVariable = "SESSIONS_TEST_CHILD"

// children are the programs that tests start as processes of their own. An
// error of one is printed, and makes it exit with 1.
var children = map[string]func() error{
	"increment":     childIncrement,
	"set":           childSet,
	"read":          childRead,
	"logout":        childLogout,
	"hold":          childHold,
	"run":           childRun,
	"own":           childOwn,
	"die in a save": childDie,
}

func TestMain(m *testing.M) {
	if child := children[os.Getenv(childVariable)]; child != nil {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child prepares a process; env is "NAME=value".
func child(name string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childVariable+"="+name), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// startChild starts a process that is talked with.
func startChild(t *testing.T, name string, env ...string) (cmd *exec.Cmd, in io.WriteCloser, lines *bufio.Scanner) {
	t.Helper()
	cmd = child(name, env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewScanner(out)
}
