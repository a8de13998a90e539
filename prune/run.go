package prune

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/ownerindex"
	"github.com/sessfs/sessions/internal/sessionfile"
)

// A pruning is one call of Run.
type pruning struct {
	dir      *dirfs.Dir
	self     dirfs.Info // of the directory
	template sessionfile.Template
	o        Options
	rule     rule

	stop       context.CancelCauseFunc
	left       atomic.Int64 // of o.Limit
	entries    atomic.Int64
	removed    atomic.Int64
	incomplete atomic.Bool // something was left undone
	total      int         // for o.Progress

	names nameQueue

	removing sync.Mutex // see batchSize
	pacer    *pacer     // for o.Rate

	mu   sync.Mutex // guards errs and calls of o.Observe
	errs []error
}

// run fills in the report. It returns after its goroutines.
func (p *pruning) run(parent context.Context, report *Report) error {
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	p.stop = stop
	if p.o.TimeBudget > 0 {
		timer := time.AfterFunc(p.o.TimeBudget, func() { stop(errBudget) })
		defer timer.Stop()
	}
	if p.o.Progress != nil {
		if err := p.countEntries(ctx); err != nil {
			return err
		}
		defer p.showProgress(report.Started)()
	}
	var err error
	if p.names.list, err = p.dir.List(); err != nil {
		return err
	}
	defer p.names.list.Close()
	workers := make([]worker, workerCount)
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() {
			workers[i].pruning = p
			workers[i].run(ctx)
		})
	}
	running.Wait()
	if !p.o.DryRun && ctx.Err() == nil {
		if err := ownerindex.New(p.dir, false).Tidy(ctx); err != nil && ctx.Err() == nil {
			p.errs = append(p.errs, err)
		}
	}
	report.addBuckets()
	for i := range workers {
		report.add(&workers[i].report)
	}
	return p.result(ctx, parent, report)
}

// result returns the error of the pruning, and sets report.Stopped.
func (p *pruning) result(ctx, parent context.Context, report *Report) error {
	// A context that ends just after the last file has stopped nothing.
	if err := context.Cause(ctx); err != nil && p.incomplete.Load() {
		switch {
		case errors.Is(err, errLimit):
			report.Stopped = StopLimit
		case errors.Is(err, errBudget):
			report.Stopped = StopBudget
		default:
			report.Stopped = StopCanceled
			p.errs = append(p.errs, parent.Err())
		}
	}
	return errors.Join(p.errs...)
}

func (p *pruning) countEntries(ctx context.Context) error {
	for e, err := range p.dir.Entries() {
		if err != nil {
			return err
		}
		if sessionfile.IsOwn(e.Name) {
			continue
		}
		if p.total++; p.total%1000 == 0 && ctx.Err() != nil {
			return nil // the workers find out why
		}
	}
	return nil
}

// showProgress calls o.Progress until the returned function is called.
func (p *pruning) showProgress(started time.Time) (end func()) {
	show := func() {
		p.o.Progress(Progress{
			Entries: int(p.entries.Load()),
			Total:   p.total,
			Removed: int(p.removed.Load()),
			Elapsed: time.Since(started),
		})
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show()
			case <-done:
				show()
				return
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}

// pace waits until o.Rate allows one more file to be removed. It reports false when
// the pruning ends before.
func (p *pruning) pace(ctx context.Context) bool {
	var wait time.Duration
	if p.o.Rate > 0 {
		wait = p.pacer.wait(time.Now())
	}
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		p.incomplete.Store(true)
		return false
	}
	return true
}

// take counts one more file towards o.Limit. When that is reached, it ends the
// pruning and returns errLimit.
func (p *pruning) take() error {
	if p.o.Limit > 0 && p.left.Add(-1) < 0 {
		p.incomplete.Store(true)
		p.stop(errLimit)
		return errLimit
	}
	return nil
}

// giveBack undoes a take, for a file that could not be removed.
func (p *pruning) giveBack() { p.left.Add(1) }

// remember keeps the first errors.
func (p *pruning) remember(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.errs) < maxErrors {
		p.errs = append(p.errs, err)
	}
}

func (p *pruning) observe(e Event) {
	if p.o.Observe == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.o.Observe(e)
}
