package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sessfs/sessions/securecookie"
)

// command is the built command, the same for all tests.
var command string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "keygen")
	if err != nil {
		panic(err)
	}
	command = filepath.Join(dir, "keygen.exe") // the suffix is for Windows
	if out, err := exec.Command("go", "build", "-o", command, ".").CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func run(args ...string) (stdout, stderr string, code int) {
	var out, errOut bytes.Buffer
	cmd := exec.Command(command, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Run()
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func TestKeygenPrintsAKeyThatParses(t *testing.T) {
	first, stderr, code := run()
	if code != 0 || stderr != "" || strings.Count(first, "\n") != 1 {
		t.Fatalf("got %d, %q and %d lines", code, stderr, strings.Count(first, "\n"))
	}
	if _, err := securecookie.ParseKey(first); err != nil {
		t.Error(err)
	}
	if second, _, _ := run(); first == second {
		t.Error("the same key twice")
	}
}

func TestKeygenWritesANewPrivateFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "session.key")
	stdout, stderr, code := run("-o", name)
	if code != 0 || stderr != "" || strings.Contains(stdout, "sk1_") {
		t.Errorf("got %d, stderr %q, the key on stdout %v", code, stderr, strings.Contains(stdout, "sk1_"))
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := securecookie.ParseKeys(string(text))
	if err != nil || len(keys) != 1 || !strings.Contains(stdout, keys[0].ID()) {
		t.Errorf("got %v, %v, printed %q", keys, err, stdout)
	}
	if info, err := os.Stat(name); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if _, stderr, code := run("-o", name); code != 1 || !strings.Contains(stderr, "exists") {
		t.Errorf("over a file that exists: %d, %q", code, stderr)
	}
	if again, _ := os.ReadFile(name); !bytes.Equal(again, text) {
		t.Error("the file that existed was changed")
	}
}

func TestKeygenPrintsItsUsage(t *testing.T) {
	for _, row := range []struct {
		args           []string
		code           int
		stdout, stderr bool
	}{
		{[]string{"--help"}, 0, true, false},
		{[]string{"-h"}, 0, true, false},
		{[]string{"-x"}, 2, false, true},
		{[]string{"-o"}, 2, false, true},
		{[]string{"session.key"}, 2, false, true},
	} {
		stdout, stderr, code := run(row.args...)
		if code != row.code || strings.Contains(stdout, "usage:") != row.stdout || strings.Contains(stderr, "usage:") != row.stderr {
			t.Errorf("%v: got %d, stdout %q, stderr %q", row.args, code, stdout, stderr)
		}
	}
}
