package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

var background = context.Background()

// longVariable has the duration of each of the randomized tests, "10m" for example.
const longVariable = "SESSIONS_LONG"

// long returns the duration in longVariable, or zero.
func long(t *testing.T) time.Duration {
	t.Helper()
	env := os.Getenv(longVariable)
	if env == "" {
		return 0
	}
	d, err := time.ParseDuration(env)
	if err != nil {
		t.Fatal(longVariable, err)
	}
	return d
}

// A test that needs processes starts this binary again, with the name of one
// of programs in programVariable, and the directory of the sessions in dirVariable.
const (
	programVariable = "SESSIONS_TEST_PROGRAM"
	dirVariable     = "SESSIONS_TEST_DIR"
)

var programs = make(map[string]func() error)

// program declares the function of such a process, in the file that needs it. An
// error is printed, and makes the process exit with 1.
func program(name string, run func() error) string {
	programs[name] = run
	return name
}

func TestMain(m *testing.M) {
	if run := programs[os.Getenv(programVariable)]; run != nil {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process is a program that was started, and reads orders line by line.
type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// start starts a program, under the command wrap if there is one.
func start(t *testing.T, name, dir string, wrap ...string) *process {
	t.Helper()
	args := append(wrap, os.Args[0])
	p := &process{Cmd: exec.Command(args[0], args[1:]...)}
	p.Env = append(os.Environ(), programVariable+"="+name, dirVariable+"="+dir)
	p.Stderr = os.Stderr
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, 64<<20)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// line waits for the next line of the process.
func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("a process has ended early: %v", p.Wait())
	}
	return p.out.Text()
}

// end closes the process's input, which ends it, and waits for it.
func (p *process) end(t *testing.T) {
	t.Helper()
	p.in.Close()
	if err := p.Wait(); err != nil {
		t.Errorf("a process: %v", err)
	}
}

// openStore opens a store, without a log, in tests and in programs.
func openStore(o sessions.FilesystemOptions) (*sessions.FilesystemSessionStore, error) {
	o.Logger = slog.New(slog.DiscardHandler)
	return sessions.NewFilesystemSessionStore(o)
}

func newStore(t *testing.T, o sessions.FilesystemOptions) *sessions.FilesystemSessionStore {
	t.Helper()
	store, err := openStore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}
