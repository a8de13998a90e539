// Command sessmove moves the sessions of a directory to Redis or Valkey, or back, while the
// application runs on both by package handover, or is stopped.
//
//	sessmove /srv/app/sessions redis://localhost:6379/0
//	sessmove redis://localhost:6379/0 /srv/app/sessions
//
// See sessmove --help. How a session is moved is in package
// [github.com/sessfs/sessions/handover].
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// The exit codes.
const (
	exitDone    = 0
	exitFailed  = 1 // some sessions could not be moved, or the output not be written
	exitRefused = 2 // usage, or stores that cannot be the right ones
	exitStopped = 4 // a signal ended it early
)

func main() {
	redis.SetLogger(discard{}) // all errors are returned as well
	// The second signal ends the command at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// discard is for a library's logger.
type discard struct{}

func (discard) Printf(context.Context, string, ...any) {}

// run is the command, without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseArgs(args)
	switch {
	case err != nil:
		return refuse(stderr, fmt.Errorf("%w\nTry sessmove --help", err))
	case c.help:
		return write(stdout, stderr, exitDone, helpText(c))
	case c.version:
		return write(stdout, stderr, exitDone, versionText())
	}
	m, err := open(ctx, c, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return refuse(stderr, err)
	}
	defer m.close()
	r := m.move(ctx, newBar(c, stderr))
	code := r.code()
	if r.refused != nil {
		return refuse(stderr, r.refused)
	}
	for _, line := range r.failures() {
		fmt.Fprintf(stderr, "sessmove: %s\n", line)
	}
	switch {
	case c.json:
		return write(stdout, stderr, code, r.json(c))
	case !c.quiet:
		return write(stdout, stderr, code, r.summary())
	}
	return code
}

func refuse(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "sessmove: %v\n", err)
	return exitRefused
}

// write prints the result, and returns the code. Output that is lost is no success, by which
// a script may go.
func write(stdout, stderr io.Writer, code int, text string) int {
	if _, err := io.WriteString(stdout, text); err != nil {
		fmt.Fprintf(stderr, "sessmove: standard output: %v\n", err)
		return max(code, exitFailed)
	}
	return code
}
