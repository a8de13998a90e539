package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessfs/sessions/internal/sessionfile"
)

// PruneOptions says what [FilesystemSessionStore.Prune] clears away. The zero
// value clears away what the store itself holds for ended.
type PruneOptions struct {
	// IdleTimeout is the idle time after which sessions go. Zero means the store's
	// IdleTimeout; less than a second is refused. A session with a timeout of its own
	// (see [Session.SetIdleTimeout]) goes by that.
	IdleTimeout time.Duration

	// AnyStore says that the directory may be that of stores with other
	// options than this one, as it is for command sessprune: IDs of every
	// form count, and what is said by neither IdleTimeout nor this store's options,
	// each session's file says itself: it has the longest timeouts of the
	// stores that have saved or touched the session. It does not know of
	// options that have changed since.
	AnyStore bool

	// RemoveCorrupt makes damaged session files go, however old, and makes
	// Prune read all of every file to find them. By default it does not look
	// for damage: a damaged file goes when its session would have. Those that
	// it comes upon, of a size that no session file has or with a header that
	// it has to read and cannot, stay, and are counted, for somebody to look
	// at: it may be a file of another program.
	RemoveCorrupt bool

	// DryRun does all but remove.
	DryRun bool

	// Limit is how many files may go, at most. Zero means any number.
	Limit int

	// TimeBudget is how long Prune may take. Zero means as long as it takes.
	TimeBudget time.Duration

	// Rate is how many files may go in a second, to spare a slow disk. Zero
	// means any number.
	Rate float64

	// Progress is called several times a second, with what was done so far. It
	// makes Prune count the files first, in order to know how many there are.
	Progress func(PruneProgress)

	// Observe is called for every file that goes, that is damaged or that
	// could not be handled. No two calls overlap.
	Observe func(PruneEvent)
}

// staleTempAge is when the writer of an unfinished file counts as dead. A save
// takes milliseconds; the rest is for machines that are suspended or
// overloaded.
const staleTempAge = time.Hour

// ErrPruning says that somebody else is pruning the same directory.
var ErrPruning = errors.New("sessions: the directory is being pruned by somebody else")

var (
	errPruneLimit  = errors.New("the limit is reached")
	errPruneBudget = errors.New("the time is up")
)

var _ Pruner = (*FilesystemSessionStore)(nil)

// Prune removes the sessions that have ended, by the same rule by which Get
// does not load them any more, and unfinished files that a writer left behind
// when it was killed more than an hour ago. A session that was just saved or
// touched is never lost: each one is judged again under its own lock, and one
// whose lock is taken stays. Whatever else is in the directory stays too:
// directories, links, files that no session's name can be of, files with more
// than one name, and files of another owner or file system than the
// directory's.
//
// With nothing but an idle timeout Prune looks only into the files of sessions
// that have a timeout of their own, which the size of the file tells; with a
// Lifetime, or with neither, into all of them.
//
// The error is [ErrPruning]; ctx's when that ends, or one that lists what could
// not be handled: the first ten of those, of which the report gives the number.
// That Limit or TimeBudget end it is no error. Prune may run beside everything
// else that stores do, in this process and others. It takes memory for 128 Ki
// names, some 20 MB, however many there are.
func (st *FilesystemSessionStore) Prune(ctx context.Context, o PruneOptions) (PruneReport, error) {
	report := PruneReport{Started: time.Now(), DryRun: o.DryRun}
	if err := o.check(); err != nil {
		return report, fmt.Errorf("sessions: prune: %w", err)
	}
	dir, err := st.files.PresentDir()
	if err != nil {
		return report, fmt.Errorf("sessions: prune: %w", err)
	}
	lock, ok, err := dir.TryLock(sessionfile.PruneLock)
	if err != nil {
		return report, fmt.Errorf("sessions: prune: %w", err)
	}
	if !ok {
		return report, ErrPruning
	}
	defer func() {
		// Closing alone would leave it to a process that is just being started
		// by another goroutine, and has a copy of the descriptor until its exec.
		lock.Unlock()
		lock.Close()
	}()
	p, err := st.newPruning(dir, o, report.Started)
	if err == nil {
		err = p.run(ctx, &report)
	}
	report.Duration = time.Since(report.Started)
	if err != nil {
		return report, fmt.Errorf("sessions: prune: %w", err)
	}
	return report, nil
}

func (o PruneOptions) check() error {
	errs := []error{checkTimeout("IdleTimeout", o.IdleTimeout)}
	refuse := func(wrong bool, what string) {
		if wrong {
			errs = append(errs, errors.New(what+" is negative"))
		}
	}
	refuse(o.Limit < 0, "Limit")
	refuse(o.TimeBudget < 0, "TimeBudget")
	refuse(!(o.Rate >= 0), "Rate") // not a number, too
	return errors.Join(errs...)
}
