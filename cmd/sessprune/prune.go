package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sessfs/sessions/internal/command"
	"github.com/sessfs/sessions/internal/enterdir"
	"github.com/sessfs/sessions/prune"
)

// A result is the outcome for one directory.
type result struct {
	dir    string
	report prune.Report
	err    error // the reason of the code
	code   int
}

// pruneDirectory prunes one directory. As root it does so with the rights of the
// directory's owner alone: by links, mounts or anything else in the directory, users
// cannot make it do more than the owner can do anyway.
func pruneDirectory(ctx context.Context, c *config, dir string, stderr io.Writer) (r result) {
	r = result{dir: dir, code: exitRefused}
	restore, err := enterdir.Enter(dir)
	if err != nil {
		r.err = err
		return r
	}
	defer func() {
		if err := restore(); err != nil && r.err == nil {
			r.err, r.code = err, exitFailed
		}
	}()
	// The directory is now the current one. Its path could lead elsewhere, or through
	// a directory that the owner cannot enter.
	root, err := os.OpenRoot(".")
	if err != nil {
		r.err = err
		return r
	}
	defer root.Close()
	o := c.options(dir, stderr)
	bar := command.NewBar(stderr, c.progress, c.quiet || c.verbose)
	if bar != nil {
		o.Progress = func(p prune.Progress) {
			bar.Draw(p.Entries, p.Total, command.Count(p.Removed)+" removed", p.Elapsed)
		}
	}
	r.report, err = prune.Run(ctx, root, o)
	bar.Wipe()
	r.judge(c, err)
	return r
}

func (c *config) options(dir string, stderr io.Writer) prune.Options {
	o := prune.Options{
		IdleTimeout:   c.idleTimeout,
		Lifetime:      c.lifetime,
		Exact:         c.exact,
		Template:      c.template,
		RemoveCorrupt: c.corrupt == "delete",
		DryRun:        c.dryRun || c.report,
		Limit:         c.limit,
		TimeBudget:    c.timeBudget,
		Rate:          c.rate,
	}
	if c.verbose {
		o.Observe = func(e prune.Event) { printEvent(stderr, dir, o.DryRun, e) }
	}
	return o
}

// judge sets the exit code and its reason. A directory that was pruned without an error
// can still be the wrong one.
func (r *result) judge(c *config, err error) {
	r.err, r.code = err, exitDone
	n := &r.report
	switch {
	case errors.Is(err, prune.ErrRunning):
		r.err, r.code = errors.New("is being pruned by another process; nothing was done"), exitRunning
	case n.Failed > 0:
		r.code = exitFailed
	case n.Stopped == prune.StopCanceled:
		r.err, r.code = errors.New("stopped by a signal"), exitStopped
	case err != nil:
		r.code = exitFailed
	case n.Stopped == prune.StopLimit:
		r.err, r.code = errors.New("stopped by --limit"), exitStopped
	case n.Stopped == prune.StopBudget:
		r.err, r.code = errors.New("stopped by --time-budget"), exitStopped
	case n.Sessions+n.Temp+n.TempRemoved+n.Vanished == 0 && n.Unmatched > 0:
		r.err = fmt.Errorf("%s of the template %q: wrong directory, or --template, or the files are not the directory's owner's",
			noneIs(n.Unmatched), c.template)
		r.code = exitRefused
	case n.Sessions+n.Temp+n.TempRemoved+n.Vanished == 0 && n.Directories > 0:
		r.err = fmt.Errorf("has no session, but %s: name the sessions' directory itself", command.Plural(n.Directories, "subdirectory", "subdirectories"))
		r.code = exitRefused
	case n.Endless > 0 && c.idleTimeout == 0 && !c.report:
		r.err = fmt.Errorf("the end of %d of its %d sessions is unknown: give --idle-timeout or --lifetime", n.Endless, n.Sessions)
		if r.code = exitFailed; n.Endless == n.Sessions {
			r.code = exitRefused
		}
	}
}

// noneIs begins a sentence about files of which none is a session.
func noneIs(files int) string {
	if files == 1 {
		return "its only file is no session"
	}
	return "none of its " + command.Count(files) + " files is a session"
}
