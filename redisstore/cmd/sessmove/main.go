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

	"github.com/redis/go-redis/v9"

	"github.com/sessfs/sessions/internal/command"
)

const name = "sessmove"

func main() {
	redis.SetLogger(discard{}) // all errors are returned as well
	command.Main(name, func(ctx context.Context, stdout io.Writer) int { return execute(ctx, os.Args[1:], stdout, os.Stderr) })
}

// discard is for a library's logger.
type discard struct{}

func (discard) Printf(context.Context, string, ...any) {}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseArgs(args)
	switch {
	case err != nil:
		return refuse(stderr, fmt.Errorf("%w\nTry %s --help", err, name))
	case c.help:
		fmt.Fprint(stdout, c.texts().Help())
		return command.Done
	case c.version:
		fmt.Fprintln(stdout, command.Version(name))
		return command.Done
	}
	m, err := open(ctx, c, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return refuse(stderr, err)
	}
	defer m.close()
	r := m.move(ctx, command.NewBar(stderr, c.progress, c.quiet))
	if r.refused != nil {
		return refuse(stderr, r.refused)
	}
	for _, line := range r.failures() {
		fmt.Fprintf(stderr, "%s: %s\n", name, line)
	}
	switch {
	case c.json:
		fmt.Fprint(stdout, r.json(c))
	case !c.quiet:
		fmt.Fprint(stdout, r.summary())
	}
	return r.code()
}

func refuse(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	return command.Refused
}
