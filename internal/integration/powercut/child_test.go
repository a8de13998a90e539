//go:build linux

package powercut

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// A test that needs a process starts this binary again, with the name of one
// of children in this variable, and that one's parameters in others.
const (
	childVariable = "POWERCUT_CHILD"
	dirVariable   = "POWERCUT_DIR"
	idVariable    = "POWERCUT_ID"
)

var children = map[string]func() error{
	"grow":                   childGrow,
	"save":                   childSave,
	"delete":                 childDelete,
	"lose the right":         childLoseTheRight,
	"run out of descriptors": childRunOutOfDescriptors,
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

// childCommand prepares a process, under the program in front if there is one.
func childCommand(name, dir, id string, under ...string) *exec.Cmd {
	line := append(under, os.Args[0])
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), childVariable+"="+name, dirVariable+"="+dir, idVariable+"="+id)
	return cmd
}
