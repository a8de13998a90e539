// Package prune removes ended sessions from a directory of session files, and the
// unfinished files of killed writers. It needs no store: each file's header has the
// timeouts, in clear.
//
// An application calls it by [sessions.FilesystemSessionStore.Prune], from a ticker
// of its own; command sessprune is for cron. Neither is needed for safety: an ended
// session is not loaded any more.
//
// [sessions.FilesystemSessionStore.Prune]: https://pkg.go.dev/github.com/sessfs/sessions#FilesystemSessionStore.Prune
package prune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
)

// Never is a timeout that ends no session.
const Never = time.Duration(math.MaxInt64)

// Options choose the files that [Run] removes. The zero value removes the sessions
// that have ended by the timeouts in their own files.
type Options struct {
	_ struct{} // no literal without names

	// Template is the form of the files' names, as in
	// [sessions.FilesystemOptions]. The default is "session_%s.sess". IDs of every
	// form count.
	//
	// [sessions.FilesystemOptions]: https://pkg.go.dev/github.com/sessfs/sessions#FilesystemOptions
	Template string

	// IdleTimeout is the idle time after which sessions end. Zero means the one in
	// each file: the longest of the stores that have saved or touched the session,
	// by the options that they had then. [Never] ends none. Less than a second, or
	// a negative one, is refused. A session with an idle timeout of its own always
	// goes by that.
	IdleTimeout time.Duration

	// Lifetime is the absolute timeout of sessions, since they were made or
	// renewed. Zero, Never and refused values are as with IdleTimeout.
	Lifetime time.Duration

	// Exact opens every file, to know when its session was made. By default, where
	// IdleTimeout is given, an unmarked file, whose session has no timeout of its
	// own, is judged by its time alone: the session counts as ended when its last
	// use is longer ago than the shorter of the two timeouts. A session that is past
	// its lifetime then stays on the disk for that much longer. It is not loaded
	// meanwhile, and nothing restarts its idle timeout.
	Exact bool

	// RemoveCorrupt removes damaged session files of any age, and reads all of
	// every file to find them. By default Run does not look for damage: a damaged
	// file goes when its session would have. Damaged files that it comes upon stay
	// and are counted, since one may be another program's: those of a size that no
	// session file has, and those whose header it needs and cannot read.
	RemoveCorrupt bool

	// DryRun removes nothing, and reports the files that would be removed.
	DryRun bool

	// Limit is the largest number of files to remove. Zero means any number.
	Limit int

	// TimeBudget is how long Run may take. Zero means as long as it takes.
	TimeBudget time.Duration

	// Rate is the largest number of files to remove in a second, to spare a slow
	// disk. Zero means any number.
	Rate float64

	// Progress is called every 200 ms and at the end, from a goroutine of Run's.
	// With it, Run counts the files first, for Progress.Total.
	Progress func(Progress)

	// Observe is called for every file that is removed, that is damaged or that
	// could not be handled. Calls come from several goroutines, and no two
	// overlap.
	Observe func(Event)
}

// staleTempAge is the age at which the writer of an unfinished file counts as dead.
// A save takes milliseconds; the rest is for machines that are suspended or
// overloaded.
const staleTempAge = time.Hour

// ErrRunning is the error for a directory in which another [Run] is at work.
var ErrRunning = errors.New("the directory is being pruned by another process or goroutine")

var (
	errLimit  = errors.New("the limit is reached")
	errBudget = errors.New("the time is up")
)

// Run removes the sessions that have ended, by the rule by which a store does not
// load them any more, and unfinished files whose writer was killed more than an
// hour ago. A session that was just saved or touched is never lost: each one is
// judged again under its own lock, and one whose lock is taken stays. All other
// files stay too: directories, links, files whose name is not a session's, session
// files with more than one name, and files of another owner or file system than the
// directory's.
//
// The directory is the opened one. When its path, which the lock needs, leads to
// another one by now, Run returns an error and removes nothing from either. Only the
// directory's owner should be able to write to it. Run does not close it.
//
// The error is [ErrRunning]; ctx's when ctx ends; or one that joins the errors of
// the first ten files that could not be handled. Report.Failed has their number. An
// end by Limit or TimeBudget is not an error. The report is valid beside any error.
// Run may be called beside everything else that stores do, in this process and
// others. It takes memory for 128 Ki names at most, some 20 MB.
func Run(ctx context.Context, directory *os.Root, o Options) (Report, error) {
	report := Report{Started: time.Now(), DryRun: o.DryRun}
	err := run(ctx, directory, o, &report)
	report.Duration = time.Since(report.Started)
	if err != nil {
		err = fmt.Errorf("prune: %w", err)
	}
	return report, err
}

func run(ctx context.Context, directory *os.Root, o Options, report *Report) error {
	template, err := o.check()
	if err != nil {
		return err
	}
	dir, err := dirfs.FromRoot(directory)
	if err != nil {
		return err
	}
	defer dir.Close()
	release, ok, err := dirfs.TryLockDirectory(directory, sessionfile.PruneLock)
	if err != nil {
		return err
	}
	if !ok {
		return ErrRunning
	}
	defer release()
	self, err := dir.Stat()
	if err != nil {
		return err
	}
	p := &pruning{dir: dir, template: template, o: o, rule: newRule(o, report.Started), pacer: newPacer(o.Rate, report.Started), self: self}
	p.left.Store(int64(o.Limit))
	return p.run(ctx, report)
}

// check returns the parsed template, and an error that joins all that is wrong.
func (o *Options) check() (sessionfile.Template, error) {
	template, err := sessionfile.ParseTemplate(cmp.Or(o.Template, sessionfile.DefaultTemplate), sessionfile.Hash.Length())
	if err != nil {
		err = fmt.Errorf("the Template %w", err)
	}
	errs := []error{err, sessionfile.CheckTimeout("IdleTimeout", o.IdleTimeout), sessionfile.CheckTimeout("Lifetime", o.Lifetime)}
	refuse := func(wrong bool, what string) {
		if wrong {
			errs = append(errs, errors.New(what+" is negative"))
		}
	}
	refuse(o.Limit < 0, "Limit")
	refuse(o.TimeBudget < 0, "TimeBudget")
	refuse(!(o.Rate >= 0), "Rate") // not a number, too
	return template, errors.Join(errs...)
}
