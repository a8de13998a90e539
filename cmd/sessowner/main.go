// Command sessowner lists the sessions of an owner, and ends them: for administrators.
//
//	sessowner --owner ann /var/lib/app/sessions
//
// See sessowner --help. Type [sessions.FilesystemOwners] does the work.
package main

//go:generate go test . -run ^TestGeneratedFilesAreThoseOfTheFlags$ -generate

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/sessfs/sessions/internal/command"
)

func main() {
	command.Main(name, func(ctx context.Context, stdout io.Writer) int {
		return execute(ctx, os.Args[1:], os.Stdin, stdout, os.Stderr)
	})
}

func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c, err := parseArgs(args)
	switch {
	case err != nil:
	case c.help:
		fmt.Fprint(stdout, c.texts().Help())
		return command.Done
	case c.version:
		fmt.Fprintln(stdout, command.Version(name))
		return command.Done
	default:
		err = c.read(stdin)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\nTry %s --help.\n", name, err, name)
		return command.Refused
	}
	code := command.Done
	var results []result
	for _, dir := range c.dirs {
		r := visit(ctx, c, dir)
		r.print(c, stdout, stderr)
		results = append(results, r)
		code = command.Worse(code, r.code)
	}
	if c.json {
		printJSON(stdout, c, results, code)
	}
	return code
}
