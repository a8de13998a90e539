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
	"runtime"
	"runtime/debug"

	"github.com/sessfs/sessions/internal/command"
)

// The exit codes.
const (
	exitDone    = command.Done
	exitFailed  = command.Failed  // some files could not be handled, or the metrics file or the output not be written
	exitRefused = command.Refused // usage, or a directory that cannot be the right one
	exitRunning = command.Running // another process is pruning the directory
	exitStopped = command.Stopped // --limit, --time-budget or a signal ended it early
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

	command.Main("sessprune", func(ctx context.Context, stdout io.Writer) int {
		return execute(ctx, os.Args[1:], stdout, os.Stderr)
	})
}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseArgs(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "sessprune: %v\nTry sessprune --help.\n", err)
		return exitRefused
	case c.help:
		fmt.Fprint(stdout, c.texts().Help())
		return exitDone
	case c.version:
		fmt.Fprintln(stdout, command.Version("sessprune"))
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
			code = command.Worse(code, exitFailed)
		}
	}
	return code
}

func worst(results []result) int {
	code := exitDone
	for _, r := range results {
		code = command.Worse(code, r.code)
	}
	return code
}
