// Package command has the common parts of the commands: their texts, which are made
// from their flags, their exit codes and their output.
package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// A Command has the texts of a command for its help, its manual page and its
// completions.
type Command struct {
	Name     string
	Brief    string // for the manual's NAME
	Needs    string // a flag with its value that has to be there, "" for none: "--owner NAME"
	Args     string // "" for DIRECTORY...
	About    string
	Note     string // after all else, on the rights of root for example
	Examples []Example
	Statuses []Status
	SeeAlso  []string // "find 1"
	Flags    *pflag.FlagSet
}

// An Example is a command line.
type Example struct{ Title, Command string }

// A Status is an exit status.
type Status struct {
	Code    int
	Meaning string
}

// Help returns the text of --help.
func (c *Command) Help() string {
	var b strings.Builder
	usage := strings.TrimSpace(c.Needs + " [flags] " + cmp.Or(c.Args, "DIRECTORY..."))
	fmt.Fprintf(&b, "Usage: %s %s\n\n%s\n\nFlags:\n%s\nExamples:\n", c.Name, usage, c.About, c.Flags.FlagUsagesWrapped(80))
	for _, e := range c.Examples {
		fmt.Fprintf(&b, "  # %s\n  %s\n\n", e.Title, strings.ReplaceAll(e.Command, "\n", "\n  "))
	}
	b.WriteString("Exit status:\n")
	for _, s := range c.Statuses {
		fmt.Fprintf(&b, "  %d  %s\n", s.Code, s.Meaning)
	}
	fmt.Fprintf(&b, "\n%s\n", c.Note)
	return b.String()
}

// Version returns the text of --version.
func Version(name string) string {
	version, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	return name + " " + version + revision
}

// The exit codes. Of several directories, the worst counts: 2, then 1, then 3, then 4.
const (
	Done    = 0
	Failed  = 1 // a part of the work could not be done, or the output not be written
	Refused = 2 // usage, or a place that cannot be the right one
	Running = 3 // another process is at work in the directory
	Stopped = 4 // ended early, by a limit or a signal
)

// Worse returns the worse one of two exit codes.
func Worse(a, b int) int {
	for _, code := range []int{Refused, Failed, Running, Stopped} {
		if a == code || b == code {
			return code
		}
	}
	return Done
}

// Main is a command's process. Its context ends with the first signal; the second one
// ends the process at once.
func Main(name string, execute func(ctx context.Context, stdout io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(Run(name, os.Stdout, os.Stderr, func(stdout io.Writer) int { return execute(ctx, stdout) }))
}

// Run runs a command without the process around it. It fails when its output is lost,
// since a script may read that.
func Run(name string, stdout, stderr io.Writer, execute func(stdout io.Writer) int) int {
	out := &errWriter{Writer: stdout}
	code := execute(out)
	if out.err != nil {
		fmt.Fprintf(stderr, "%s: standard output: %v\n", name, out.err)
		code = Worse(code, Failed)
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

// IsTerminal reports whether a writer is a terminal, on which a progress bar can be drawn.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	if err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, but no terminal
	return err != nil || !os.SameFile(fi, null)
}

// A Choice is a flag whose value is one of several words.
type Choice struct {
	Word *string
	Of   []string
}

func (c Choice) String() string { return *c.Word }

func (c Choice) Type() string { return "string" }

func (c Choice) Set(text string) error {
	if !slices.Contains(c.Of, text) {
		last := len(c.Of) - 1
		return fmt.Errorf("want %s or %s", strings.Join(c.Of[:last], ", "), c.Of[last])
	}
	*c.Word = text
	return nil
}

// Plain returns an error's text in one line, without the directory's path. That is "."
// in the error, and the caller prints it before the line.
func Plain(err error) string {
	return strings.NewReplacer(" .: ", ": ", "\n", "; ").Replace(err.Error())
}
