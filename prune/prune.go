// Package prune clears ended sessions away from a directory of session files, and
// what killed writers left unfinished there. It needs no store: each file's header
// says when its session ends, and is in clear.
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

// Never is the timeout that ends nothing.
const Never = time.Duration(math.MaxInt64)

// Options say which files [Run] removes. The zero value removes the sessions that
// have ended by what their own files say.
type Options struct {
	_ struct{} // no literal without names

	// Template names the files, as [sessions.FilesystemOptions] has it. The
	// default is "session_%s.sess". IDs of every form count.
	//
	// [sessions.FilesystemOptions]: https://pkg.go.dev/github.com/sessfs/sessions#FilesystemOptions
	Template string

	// IdleTimeout is the idle time after which sessions end. Zero leaves it to
	// each file, which has the longest timeout of the stores that have saved or
	// touched the session, and does not know of options that have changed since.
	// Less than a second is refused. A session with a timeout of its own goes by
	// that, whatever this is.
	IdleTimeout time.Duration

	// Lifetime is the absolute timeout, as IdleTimeout is the idle one.
	Lifetime time.Duration

	// Exact opens every file, to know when its session was made. By default an
	// unmarked file, which is one of a session without a timeout of its own, is
	// judged by its time alone where IdleTimeout is given: its session counts as
	// ended when its last use is longer ago than the shorter of the two timeouts.
	// A session that is past its lifetime then stays on the disk for that much
	// longer. It is not loaded meanwhile, and nothing restarts its idle timeout.
	Exact bool

	// RemoveCorrupt makes damaged session files go, however old, and reads all
	// of every file to find them. By default Run does not look for damage: a
	// damaged file goes when its session would have. Those that it comes upon,
	// of a size that no session file has or with a header that it has to read
	// and cannot, stay and are counted: one may be another program's file.
	RemoveCorrupt bool

	// DryRun does all but remove.
	DryRun bool

	// Limit is how many files may go, at most. Zero means any number.
	Limit int

	// TimeBudget is how long Run may take. Zero means as long as it takes.
	TimeBudget time.Duration

	// Rate is how many files may go in a second, to spare a slow disk. Zero
	// means any number.
	Rate float64

	// Progress is called several times a second, with what was done so far. It
	// makes Run count the files first, in order to know how many there are.
	Progress func(Progress)

	// Observe is called for every file that goes, that is damaged or that
	// could not be handled. No two calls overlap.
	Observe func(Event)
}

// staleTempAge is when the writer of an unfinished file counts as dead. A save
// takes milliseconds; the rest is for machines that are suspended or
// overloaded.
const staleTempAge = time.Hour

// ErrRunning is the error of a directory that another Run is at work in.
var ErrRunning = errors.New("the directory is being pruned by another process or goroutine")

var (
	errLimit  = errors.New("the limit is reached")
	errBudget = errors.New("the time is up")
)

// Run removes the sessions that have ended, by the same rule by which a store
// does not load them any more, and unfinished files that a writer left behind
// when it was killed more than an hour ago. A session that was just saved or
// touched is never lost: each one is judged again under its own lock, and one
// whose lock is taken stays. Whatever else is in the directory stays too:
// directories, links, files that no session's name can be of, files with more
// than one name, and files of another owner or file system than the
// directory's.
//
// The directory is the opened one. When its path, which the lock needs, leads to
// another one by now, the error says so and nothing is removed from either. The
// directory should be one that nobody but its owner can write to. Run does not
// close it.
//
// The error is [ErrRunning]; ctx's when that ends, or one that lists the files that
// could not be handled: the first ten of those, of which the report has the number.
// An end by Limit or TimeBudget is no error. The report is valid whatever the error.
// Run may be called beside everything else that stores do, in this process and
// others. It takes memory for 128 Ki names, some 20 MB, however many there are.
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

// check finds all that is wrong.
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
