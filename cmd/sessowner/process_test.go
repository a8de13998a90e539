//go:build darwin || freebsd || linux || netbsd || openbsd

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// program returns a command that runs one of the programs.
func program(name string, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = name
	return cmd
}

func TestManualPageIsWithoutWarnings(t *testing.T) {
	for _, args := range [][]string{{"mandoc", "-T", "lint", "-W", "warning", "sessowner.8"}, {"groff", "-ww", "-mdoc", "-z", "sessowner.8"}} {
		path, err := exec.LookPath(args[0])
		if err != nil {
			t.Log("not tried: ", err)
			continue
		}
		if out, err := exec.Command(path, args[1:]...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
}

func TestCompletionOfBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("skipped: ", err)
	}
	for line, want := range map[string]string{"--ow": "--owner --owner-file", "--owner a": "", "-n --e": "--end", "/srv": ""} {
		script := `. completions/sessowner.bash; COMP_WORDS=(sessowner ` + line + `); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sessowner 2>/dev/null; echo "${COMPREPLY[*]}"`
		if out, err := exec.Command(bash, "--norc", "-c", script).Output(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: got %q, %v, want %q", line, out, err, want)
		}
	}
}

func TestReadmesExitCodesAreThoseOfTheHelp(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range exitStatuses {
		if want := fmt.Sprintf("\n| %d | %s", s.Code, s.Meaning); !strings.Contains(string(readme), want) {
			t.Errorf("the README has no %q", want)
		}
	}
}

// As on a full disk. The sessions are ended all the same.
func TestSessownerExits1WhenItsOutputIsLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("skipped: ", err)
	}
	defer full.Close()
	dir := filepath.Join(t.TempDir(), "sessions")
	if out, err := program("login", "ann", dir).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	for _, flag := range []string{"--json", "--end"} {
		cmd := program("sessowner", flag, "--owner", "ann", dir)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "sessowner: standard output: ") {
			t.Errorf("%s: got %v, %s", flag, err, &stderr)
		}
	}
	if out, err := program("sessowner", "--owner", "ann", dir).CombinedOutput(); err != nil || !strings.Contains(string(out), ": 0 sessions\n") {
		t.Errorf("got %s, %v", out, err)
	}
}

// The command waits for a login's lock when the signal comes. The session stays.
func TestSessownerExits4WhenASignalStopsIt(t *testing.T) {
	dir, fifo := filepath.Join(t.TempDir(), "sessions"), filepath.Join(t.TempDir(), "owner")
	if out, err := program("login", "ann", dir).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	index, err := filepath.Glob(filepath.Join(dir, ".owners", "*"))
	if err != nil || len(index) == 0 {
		t.Fatalf("found %q, %v", index, err)
	}
	for _, name := range index {
		lock, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			t.Skip("skipped: ", err)
		}
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip("skipped: ", err)
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd := program("sessowner", "--owner-file", fifo, "--end", dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		reader := awaitReader(t, fifo) // from now on it knows of signals
		if err := errors.Join(cmd.Process.Signal(sig), writeAndClose(reader, "ann")); err != nil {
			t.Error(err)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 4 || !strings.Contains(stderr.String(), ": stopped by a signal\n") {
			t.Errorf("%v: got %v, %s", sig, err, &stderr)
		}
	}
	if out, err := program("sessowner", "--owner", "ann", dir).CombinedOutput(); err != nil || !strings.Contains(string(out), ": 1 session\n") {
		t.Errorf("got %s, %v", out, err)
	}
}

// awaitReader opens a named pipe for writing when it is open for reading.
func awaitReader(t *testing.T, path string) *os.File {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		file, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			return file
		}
		if !errors.Is(err, syscall.ENXIO) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func writeAndClose(file *os.File, text string) error {
	_, err := file.WriteString(text)
	return errors.Join(err, file.Close())
}

// Browsers log in and renew their sessions without a pause, while the command ends all.
// No session is left whose login was before the command began.
func TestSessownerEndIsNotOutrun(t *testing.T) {
	const rounds, browsers = 10, 3
	dir := filepath.Join(t.TempDir(), "sessions")
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	done := make(chan struct{})
	var running sync.WaitGroup
	for range browsers {
		running.Go(func() { browse(t, store, done) })
	}
	for range rounds {
		begun := time.Now()
		if out, err := program("sessowner", "--owner", "ann", "--end", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		for info, err := range store.ListOwner(t.Context(), "ann") {
			if err != nil || info.AuthenticatedAt.Before(begun) {
				t.Errorf("left: a session that began %v before the end, %v", begun.Sub(info.AuthenticatedAt), err)
			}
		}
	}
	close(done)
	running.Wait()
}

// browse logs in, and renews the session until it is ended.
func browse(t *testing.T, store *sessions.FilesystemSessionStore, done chan struct{}) {
	s := store.New()
	s.Login("ann")
	for {
		select {
		case <-done:
			return
		default:
		}
		switch err := store.Save(t.Context(), s); {
		case err == nil:
			s.Renew()
		case errors.Is(err, sessions.ErrDeleted):
			s = store.New()
			s.Login("ann")
		default:
			t.Error(err)
			return
		}
	}
}
