// Package processtest starts the test binary again, as a process of its own.
package processtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// variable has the name of a process's child function.
const variable = "PROCESSTEST_CHILD"

// Main is for TestMain. In a process made by Command it calls the child of that name,
// and exits with 1 when that returns an error, which it prints. Otherwise it runs the
// tests. It does not return.
func Main(m *testing.M, children map[string]func() error) {
	child := children[os.Getenv(variable)]
	if child == nil {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Command returns the command of a process that runs a child, with env, "NAME=value",
// in its environment. If under is not empty, it is a command that gets the test binary
// as its last argument.
func Command(name string, env []string, under ...string) *exec.Cmd {
	line := append(under, os.Args[0])
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(append(os.Environ(), variable+"="+name), env...)
	return cmd
}

// A Process is a running child, with pipes for its standard input and output. Its
// standard error is the test's.
type Process struct {
	*exec.Cmd
	In  io.WriteCloser
	Out *bufio.Scanner
}

// Start starts a command.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd}
	p.Stderr = os.Stderr
	var err error
	if p.In, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Out = bufio.NewScanner(out)
	p.Out.Buffer(nil, 64<<20)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Line returns the next line of the output.
func (p *Process) Line(t testing.TB) string {
	t.Helper()
	if !p.Out.Scan() {
		t.Fatalf("a process has ended early: %v", p.Wait())
	}
	return p.Out.Text()
}

// End closes the input, and waits for the process to end without an error.
func (p *Process) End(t testing.TB) {
	t.Helper()
	p.In.Close()
	if err := p.Wait(); err != nil {
		t.Errorf("a process: %v", err)
	}
}
