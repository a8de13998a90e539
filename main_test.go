package sessions_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/sessfs/sessions/internal/processtest"
)

// children are the functions that tests run in processes of their own. An error is
// printed, and makes the process exit with 1.
var children = map[string]func() error{
	"increment":     childIncrement,
	"set":           childSet,
	"read":          childRead,
	"logout":        childLogout,
	"hold":          childHold,
	"run":           childRun,
	"race":          childRace,
	"own":           childOwn,
	"die in a save": childDie,
}

func TestMain(m *testing.M) { processtest.Main(m, children) }

// child returns the command of a process; env is "NAME=value".
func child(name string, env ...string) *exec.Cmd {
	cmd := processtest.Command(name, env)
	cmd.Stderr = os.Stderr
	return cmd
}

// startChild starts a process with pipes.
func startChild(t *testing.T, name string, env ...string) *processtest.Process {
	t.Helper()
	return processtest.Start(t, processtest.Command(name, env))
}
