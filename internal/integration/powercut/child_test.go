//go:build linux

package powercut

import (
	"os/exec"
	"testing"

	"github.com/sessfs/sessions/internal/processtest"
)

// The variables have the parameters of a child.
const (
	dirVariable = "POWERCUT_DIR"
	idVariable  = "POWERCUT_ID"
)

var children = map[string]func() error{
	"grow":                   childGrow,
	"save":                   childSave,
	"delete":                 childDelete,
	"lose the right":         childLoseTheRight,
	"run out of descriptors": childRunOutOfDescriptors,
}

func TestMain(m *testing.M) { processtest.Main(m, children) }

// childCommand returns the command of a process, under the program in front if there is
// one.
func childCommand(name, dir, id string, under ...string) *exec.Cmd {
	return processtest.Command(name, []string{dirVariable + "=" + dir, idVariable + "=" + id}, under...)
}
