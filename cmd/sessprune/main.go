// Command sessprune removes ended sessions, and files that dead processes left
// unfinished, from directories of sessions: from cron, or from a systemd timer.
//
//	sessprune --idle-timeout 336h /var/lib/app/sessions
//
// See sessprune --help. Package [github.com/sessfs/sessions/prune] decides which files
// are removed.
package main

//go:generate go test . -run ^TestGeneratedFilesAreThoseOfTheFlags$ -generate

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
)

// The exit codes. Of several directories, the worst counts: 2, then 1, then 3, then 4.
const (
	exitDone    = 0
	exitFailed  = 1 // some files could not be handled, or the metrics file or the output not be written
	exitRefused = 2 // usage, or a directory that cannot be the right one
	exitRunning = 3 // another process is pruning the directory
	exitStopped = 4 // --limit, --time-budget or a signal ended it early
)

func main() {
	// Two goroutines do the work, nearly all of it in system calls. With no more
	// processors than these, the runtime takes the processor away from each that is
	// in a system call for 20 µs, and the two spend their time getting them back.
	runtime.GOMAXPROCS(max(4, runtime.GOMAXPROCS(0)))

	// The memory holds names alone. Collecting them every 4 MB would take a
	// twentieth of the time; the limit keeps the promise of 64 MiB.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(48 << 20)

	// The second signal ends the command at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command, without the process around it. It fails when its output is lost,
// since a script may read that.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &errWriter{Writer: stdout}
	code := execute(ctx, args, out, stderr)
	if out.err != nil {
		fmt.Fprintf(stderr, "sessprune: standard output: %v\n", out.err)
		code = worse(code, exitFailed)
	}
	return code
}

// An errWriter keeps the first error of a writer.
type errWriter struct {
	io.Writer
	err error
}

func (w *errWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseArgs(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "sessprune: %v\nTry sessprune --help.\n", err)
		return exitRefused
	case c.help:
		fmt.Fprint(stdout, helpText(c))
		return exitDone
	case c.version:
		fmt.Fprintln(stdout, versionText())
		return exitDone
	}
	var results []result
	for _, dir := range c.dirs {
		r := pruneDirectory(ctx, c, dir, stderr)
		r.print(c, stdout, stderr)
		results = append(results, r)
	}
	if c.json {
		printJSON(stdout, c, results)
	}
	code := worst(results)
	if c.metricsFile != "" {
		if err := writeMetrics(c, results); err != nil {
			fmt.Fprintf(stderr, "sessprune: --metrics-file was not written: %v\n", err)
			code = worse(code, exitFailed)
		}
	}
	return code
}

func worst(results []result) int {
	code := exitDone
	for _, r := range results {
		code = worse(code, r.code)
	}
	return code
}

func worse(a, b int) int {
	for _, code := range []int{exitRefused, exitFailed, exitRunning, exitStopped} {
		if a == code || b == code {
			return code
		}
	}
	return exitDone
}

// plain returns an error's text in one line, without the directory's path. That is "."
// in the error, and the caller prints it before the line.
func plain(err error) string {
	return strings.NewReplacer(" .: ", ": ", "\n", "; ").Replace(err.Error())
}
