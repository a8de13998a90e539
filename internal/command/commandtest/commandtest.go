// Package commandtest has the common parts of the commands' tests.
package commandtest

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sessfs/sessions/internal/command"
)

var generate = flag.Bool("generate", false, "write the files that are made from the flags")

// Generated compares the manual page and the completions in the current directory with
// those of the texts. With the flag -generate it writes them, which is "go generate". The
// date is that of the last change to the text of the manual page.
func Generated(t *testing.T, texts *command.Command, date string) {
	t.Helper()
	for name, want := range map[string]string{
		texts.Name + ".8":                     texts.Manual(date),
		"completions/" + texts.Name + ".bash": texts.Bash(),
		"completions/_" + texts.Name:          texts.Zsh(),
		"completions/" + texts.Name + ".fish": texts.Fish(),
	} {
		name = filepath.FromSlash(name)
		if *generate {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(string(got), "\r\n", "\n") != want { // as Git may have it on Windows
			t.Errorf("%s is not made from the flags as they are: run go generate", name)
		}
	}
}

// Code is a command of testscript that runs a program and compares its exit code:
// code 2 sessprune …
func Code(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code: got %d, want %d", got, want)
	}
}
