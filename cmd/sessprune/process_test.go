//go:build darwin || freebsd || linux || netbsd || openbsd

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
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

// slowly begins to prune a directory, and returns when a file is removed.
func slowly(t *testing.T, dir string, total int, flags ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd = program("sessprune", append(flags, "--idle-timeout", "1h", "--rate", "50", dir)...)
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
	names, err := glob(filepath.Join(dir, "*"))
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

func TestSesspruneStopsAtSIGTERMAndPrintsHowFarItCame(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		dir := filepath.Join(t.TempDir(), "sessions")
		fill(t, dir, 500, "2h")
		metrics := filepath.Join(t.TempDir(), "m.prom")
		cmd, stdout, stderr := slowly(t, dir, 500, "--metrics-file", metrics)
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if got := exitCode(cmd, cmd.Wait()); got != exitStopped {
			t.Errorf("%v: exit code: got %d, want %d", signal, got, exitStopped)
		}
		m := regexp.MustCompile(`stopped by a signal: .*; ([0-9]+) files? removed of ([0-9]+) entr(?:y|ies) looked at`).FindStringSubmatch(stderr.String())
		if m == nil || m[1] != strconv.Itoa(500-filesIn(t, dir)) {
			t.Fatalf("%v: got %q, with %d files left", signal, stderr, filesIn(t, dir))
		}
		if !strings.Contains(stdout.String(), m[1]+" of ") {
			t.Errorf("%v: got %q", signal, stdout)
		}
		text, err := os.ReadFile(metrics)
		if !strings.Contains(string(text), "sessprune_exit_code{directory=\""+dir+"\"} 4\n") || strings.Contains(string(text), lastSuccess) {
			t.Errorf("%v: got the metrics %s, %v", signal, text, err)
		}
		// The next run goes on.
		if out, err := program("sessprune", "--idle-timeout", "1h", dir).Output(); err != nil || filesIn(t, dir) != 0 {
			t.Errorf("%v: %v %s", signal, err, out)
		}
	}
}

func TestSessprunePrintsThatAnotherRunsAndExits3(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	fill(t, dir, 500, "2h")
	first, _, _ := slowly(t, dir, 500)
	second := program("sessprune", "--idle-timeout", "1h", dir)
	var stderr bytes.Buffer
	second.Stderr = &stderr
	if got := exitCode(second, second.Run()); got != exitRunning {
		t.Errorf("exit code: got %d, want %d", got, exitRunning)
	}
	if !strings.Contains(stderr.String(), "being pruned by another process") {
		t.Errorf("got %q", &stderr)
	}
	// A killed run leaves nothing that stops the next one.
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	if out, err := program("sessprune", "--idle-timeout", "1h", dir).Output(); err != nil || filesIn(t, dir) != 0 {
		t.Errorf("%v %s", err, out)
	}
}

// As on a full disk. The sessions are removed all the same.
func TestSesspruneExits1WhenItsOutputIsLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("skipped: ", err)
	}
	defer full.Close()
	dir, metrics := filepath.Join(t.TempDir(), "sessions"), filepath.Join(t.TempDir(), "m.prom")
	for _, flag := range []string{"--json", "--rate=100", "--help", "--version", "--quiet"} {
		fill(t, dir, 1, "2h")
		os.Remove(metrics)
		cmd := program("sessprune", flag, "--idle-timeout", "1h", "--metrics-file", metrics, dir)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &stderr
		want := exitFailed
		if flag == "--quiet" {
			want = exitDone
		}
		if got := exitCode(cmd, cmd.Run()); got != want || strings.Contains(stderr.String(), "sessprune: standard output: ") != (want == exitFailed) {
			t.Errorf("%s: exit code: got %d, want %d; %s", flag, got, want, &stderr)
		}
		if flag == "--help" || flag == "--version" {
			continue
		}
		if _, err := os.Stat(metrics); err != nil || filesIn(t, dir) != 0 {
			t.Errorf("%s: %d files are left, %v", flag, filesIn(t, dir), err)
		}
	}
}

func TestMetricsFileThatIsNoRegularFileIsRefusedAtOnce(t *testing.T) {
	base := t.TempDir()
	dir, target := filepath.Join(base, "sessions"), filepath.Join(base, "target")
	fill(t, dir, 3, "2h")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	irregular := irregularFiles(t, base, target)
	for kind, path := range irregular {
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		cmd := program("sessprune", "--idle-timeout", "1h", "--metrics-file", path, dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if got := exitCode(cmd, runFor(t, cmd, time.Minute)); got != exitRefused {
			t.Errorf("%s: exit code: got %d, want %d", kind, got, exitRefused)
		}
		if !strings.Contains(stderr.String(), "--metrics-file: "+path+" is not a regular file") {
			t.Errorf("%s: got %q", kind, &stderr)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: it was replaced: %v", kind, err)
		}
	}
	if n := filesIn(t, dir); n != 3 {
		t.Errorf("%d of 3 sessions are left", n)
	}
	// Nor does it wait for a FIFO that comes while the command prunes.
	written := make(chan error, 1)
	go func() { written <- writeMetrics(&config{metricsFile: irregular["FIFO"]}, nil) }()
	select {
	case err := <-written:
		if !errors.Is(err, errIrregular) {
			t.Errorf("got %v, want %v", err, errIrregular)
		}
	case <-time.After(20 * time.Second):
		t.Error("a FIFO's other end is waited for")
	}
}

// irregularFiles makes files that a metrics file must not be.
func irregularFiles(t *testing.T, base, target string) map[string]string {
	t.Helper()
	path := func(name string) string { return filepath.Join(base, name) }
	err := errors.Join(
		syscall.Mkfifo(path("fifo"), 0o644),
		os.Symlink(target, path("link")),
		os.Symlink("nowhere", path("dangling")),
		os.Symlink("fifo", path("tofifo")),
		os.Mkdir(path("directory"), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"FIFO": path("fifo"), "link": path("link"), "dangling link": path("dangling"), "link to a FIFO": path("tofifo"),
		"directory": path("directory"), "device": "/dev/zero",
	}
}

// runFor runs a command and kills it when it takes longer.
func runFor(t *testing.T, cmd *exec.Cmd, longest time.Duration) error {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(longest, func() { cmd.Process.Kill() }).Stop()
	return cmd.Wait()
}

// Cron begins all lines of a minute at once.
func TestMetricsFileIsSharedByCommandsThatRunAtOnce(t *testing.T) {
	const commands, rounds = 8, 5
	base := t.TempDir()
	file := filepath.Join(base, "m.prom")
	var dirs []string
	for i := range commands {
		dirs = append(dirs, filepath.Join(base, "sessions"+strconv.Itoa(i)))
		fill(t, dirs[i], 1, "0s")
	}
	for range rounds {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		for _, dir := range dirs {
			running.Go(func() {
				if err := program("sessprune", "--quiet", "--idle-timeout", "1h", "--metrics-file", file, dir).Run(); err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range dirs {
			if sample := `sessprune_exit_code{directory="` + dir + `"} 0`; strings.Count(string(text), sample) != 1 {
				t.Errorf("no %s", sample)
			}
		}
	}
	if n := filesIn(t, base); n != commands+1 {
		t.Errorf("got %d files, want %d directories and one file", n, commands)
	}
}

// bench/speed prunes a million files. Here most of the names are links to a few
// files, which costs less. The names are long: memory holds names alone, and would
// hold all of them if they did not come in chunks.
func TestSesspruneTakesNoMoreMemoryForMoreFiles(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own memory would be measured")
	}
	files := many(t, "SESSPRUNE_FILES", 400000)
	const expired = 1000
	dir := filepath.Join(t.TempDir(), "sessions")
	fill(t, dir, expired, "2h")
	var linked string
	for i := range files - expired {
		name := filepath.Join(dir, fmt.Sprintf("session_%0128x.sess", i))
		var err error
		if i%30000 == 0 { // ext4 allows 65,000 names of a file
			linked, err = name, os.WriteFile(name, nil, 0o600)
		} else {
			err = os.Link(linked, name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := program("weigh", "--quiet", "--idle-timeout", "1h", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	if left := filesIn(t, dir); left != files-expired {
		t.Errorf("%d of %d files are left, want %d", left, files, files-expired)
	}
	resident, err := strconv.Atoi(string(out)) // KiB
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d KiB for %d files", resident, files)
	if resident > 64<<10 {
		t.Errorf("%d KiB for %d files", resident, files)
	}
}

// weigh runs sessprune with its own arguments, and prints its largest resident memory
// in KiB. That of a child counts its parent's memory at the start, so the parent must
// not be the test.
func weigh() {
	cmd := program("sessprune", os.Args[1:]...)
	must(cmd.Run())
	resident := int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) // an int32 on some systems
	if runtime.GOOS == "darwin" {
		resident /= 1024 // it is bytes there
	}
	fmt.Print(resident)
}
