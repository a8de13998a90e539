//go:build darwin || freebsd || linux || netbsd || openbsd

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func fill(t *testing.T, dir string, n int, age string) {
	t.Helper()
	if out, err := program("mksessions", "-n", strconv.Itoa(n), "-age", age, dir).Output(); err != nil {
		t.Fatal(err, string(out))
	}
}

// slowly begins to prune a directory and returns when something is removed.
func slowly(t *testing.T, dir string, total int) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd = program("sessprune", "--max-age", "1h", "--rate", "50", dir)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); filesIn(t, dir) == total; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			cmd.Process.Kill()
			t.Fatalf("nothing is removed: %v\n%s%s", cmd.Wait(), stdout, stderr)
		}
	}
	return cmd, stdout, stderr
}

func filesIn(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func exitCode(cmd *exec.Cmd, err error) int {
	if cmd.ProcessState == nil {
		return -1
	}
	return cmd.ProcessState.ExitCode()
}

func TestSIGTERMStopsItCleanlyAndItSaysHowFarItCame(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		dir := filepath.Join(t.TempDir(), "sessions")
		fill(t, dir, 500, "2h")
		cmd, stdout, stderr := slowly(t, dir, 500)
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if got := exitCode(cmd, cmd.Wait()); got != exitStopped {
			t.Errorf("%v: exit code: got %d, want %d", signal, got, exitStopped)
		}
		m := regexp.MustCompile(`stopped by a signal: .*; ([0-9]+) files removed of ([0-9]+) entries looked at`).FindStringSubmatch(stderr.String())
		if m == nil || m[1] != strconv.Itoa(500-filesIn(t, dir)) {
			t.Errorf("%v: got %q, with %d files left", signal, stderr, filesIn(t, dir))
		}
		if !strings.Contains(stdout.String(), m[1]+" of ") {
			t.Errorf("%v: got %q", signal, stdout)
		}
		// The next one goes on.
		if out, err := program("sessprune", "--max-age", "1h", dir).Output(); err != nil || filesIn(t, dir) != 0 {
			t.Errorf("%v: %v %s", signal, err, out)
		}
	}
}

func TestASecondPrunerSaysSoAndExits3(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	fill(t, dir, 500, "2h")
	first, _, _ := slowly(t, dir, 500)
	second := program("sessprune", "--max-age", "1h", dir)
	var stderr bytes.Buffer
	second.Stderr = &stderr
	if got := exitCode(second, second.Run()); got != exitRunning {
		t.Errorf("exit code: got %d, want %d", got, exitRunning)
	}
	if !strings.Contains(stderr.String(), "being pruned by somebody else") {
		t.Errorf("got %q", &stderr)
	}
	// One that is killed leaves nothing that is in the way.
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	if out, err := program("sessprune", "--max-age", "1h", dir).Output(); err != nil || filesIn(t, dir) != 0 {
		t.Errorf("%v %s", err, out)
	}
}

// bench/prune.sh does this with a million.
func TestMemoryStaysFlat(t *testing.T) {
	files := many(t, "SESSPRUNE_FILES", 10000)
	var resident [2]int64 // KiB
	for i, n := range []int{100, files} {
		dir := filepath.Join(t.TempDir(), "sessions")
		fill(t, dir, 1, "2h")
		copies(t, dir, n)
		cmd := program("sessprune", "--max-age", "1h", dir)
		if out, err := cmd.Output(); err != nil {
			t.Fatal(err, out)
		}
		if left := filesIn(t, dir); left != n/2 {
			t.Fatalf("%d of %d files are left", left, n)
		}
		resident[i] = int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) // an int32 on some systems
		if runtime.GOOS == "darwin" {
			resident[i] /= 1024 // there it is bytes
		}
	}
	t.Logf("%d KiB for 100 files, %d KiB for %d", resident[0], resident[1], files)
	if resident[1] > resident[0]+16<<10 {
		t.Errorf("%d KiB for 100 files, %d KiB for %d", resident[0], resident[1], files)
	}
}

// copies makes n files of the one in the directory, half of them new.
func copies(t *testing.T, dir string, n int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	content, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		id := strconv.Itoa(i)
		name := filepath.Join(dir, "session_"+strings.Repeat("0", 64-len(id))+id+".sess")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if when := time.Now().Add(-2 * time.Hour); i%2 == 0 {
			if err := os.Chtimes(name, when, when); err != nil {
				t.Fatal(err)
			}
		}
	}
}
