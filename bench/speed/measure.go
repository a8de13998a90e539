//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"
)

// turn is how many operations are timed together: a look at the clock costs
// next to nothing then, and the work before an operation still fits into the
// processor's caches.
const turn = 32

// longTurn is so long that it does not: a save then finds the caches as one of a
// random session does.
const longTurn = 4096

// A worker does one operation, in one goroutine, with sessions that it holds in
// slots. before is not timed; it may be nil.
type worker struct {
	before, do func(slot, i int) error

	long bool // its turns are
}

// picks returns room for the sessions of a turn.
func (w worker) picks(sessions int) []int {
	if w.long {
		return make([]int, min(longTurn, sessions))
	}
	return make([]int, turn)
}

// A contender is one library at one work.
type contender struct {
	name     string
	sessions int
	workers  []worker // one for each goroutine
	cores    int      // processors for it; 0 means all
	tears    bool     // it may fail beside saves of others; the result then has its error
	child    *child   // another process that does the same at the same time, or nil
}

// A result has the figures of one contender.
type result struct {
	Name   string    `json:"name"`
	Nanos  float64   `json:"nanos"` // the median
	Low    float64   `json:"low"`   // the quartiles
	High   float64   `json:"high"`
	Rounds []float64 `json:"rounds"`
	Allocs float64   `json:"allocs"` // of one goroutine
	Bytes  float64   `json:"bytes"`

	Failure string `json:"failure,omitempty"` // in place of the figures
}

// measure lets the contenders take turns, each for a time of per in each round. Each
// round begins with another one. The first round is not counted.
func measure(ctx context.Context, contenders []contender, rounds int, per time.Duration) ([]result, error) {
	results := make([]result, len(contenders))
	for round := range rounds + 1 {
		for k := range contenders {
			at := (k + round) % len(contenders)
			c := &contenders[at]
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if results[at].Failure != "" {
				continue
			}
			nanos, err := c.take(per)
			if err != nil && c.tears && (len(c.workers) > 1 || c.child != nil) {
				results[at] = result{Failure: err.Error()}
				continue
			}
			if err != nil {
				return nil, &contenderError{c.name, err}
			}
			if round > 0 {
				results[at].Rounds = append(results[at].Rounds, nanos)
			}
		}
	}
	for i := range contenders {
		r := &results[i]
		r.Name = contenders[i].name
		if r.Failure != "" {
			continue
		}
		r.Low, r.Nanos, r.High = quartiles(r.Rounds)
		var err error
		if r.Allocs, r.Bytes, err = contenders[i].allocations(); err != nil {
			return nil, &contenderError{r.Name, err}
		}
	}
	return results, nil
}

type contenderError struct {
	name string
	err  error
}

func (e *contenderError) Error() string { return e.name + ": " + e.err.Error() }
func (e *contenderError) Unwrap() error { return e.err }

// take is one turn of a contender. It returns nanoseconds for an operation, of all
// goroutines and processes together.
func (c *contender) take(per time.Duration) (float64, error) {
	if c.cores > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.cores))
	}
	// No contender pays for the garbage of another, nor for the pools that the collection
	// has emptied.
	runtime.GC()
	if _, _, err := c.workers[0].loop(c.sessions, per/10); err != nil {
		return 0, err
	}
	if len(c.workers) == 1 && c.child == nil {
		spent, n, err := c.workers[0].loop(c.sessions, per)
		return float64(spent) / float64(n), err
	}
	if c.child != nil {
		if err := c.child.start(per); err != nil {
			return 0, err
		}
	}
	rate, err := together(c.workers, c.sessions, per)
	if c.child != nil {
		more, childErr := c.child.wait()
		if rate += more; err == nil {
			err = childErr
		}
	}
	return 1 / rate, err
}

// together lets each worker work in a goroutine until the time is over, and
// returns the number of their operations in a nanosecond.
func together(workers []worker, sessions int, per time.Duration) (rate float64, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	total := 0
	start := time.Now()
	for _, w := range workers {
		wg.Go(func() {
			n, workErr := w.until(sessions, start.Add(per))
			mu.Lock()
			defer mu.Unlock()
			if total += n; workErr != nil {
				err = workErr
			}
		})
	}
	wg.Wait()
	return float64(total) / float64(time.Since(start)), err
}

// loop works until the timed part has taken per.
func (w worker) loop(sessions int, per time.Duration) (spent time.Duration, n int, err error) {
	picks := w.picks(sessions)
	for spent < per {
		pick(picks, sessions)
		if err := w.prepare(picks); err != nil {
			return 0, 1, err
		}
		start := time.Now()
		for slot, i := range picks {
			if err := w.do(slot, i); err != nil {
				return 0, 1, err
			}
		}
		spent += time.Since(start)
		n += len(picks)
	}
	return spent, n, nil
}

func (w worker) prepare(picks []int) error {
	if w.before == nil {
		return nil
	}
	for slot, i := range picks {
		if err := w.before(slot, i); err != nil {
			return err
		}
	}
	return nil
}

// until works until a time. It looks at the clock after each operation, since some
// take a millisecond.
func (w worker) until(sessions int, end time.Time) (n int, err error) {
	picks := w.picks(sessions)
	for {
		pick(picks, sessions)
		for slot, i := range picks {
			if w.before != nil {
				if err := w.before(slot, i); err != nil {
					return n, err
				}
			}
			if err := w.do(slot, i); err != nil {
				return n, err
			}
			if n++; !time.Now().Before(end) {
				return n, nil
			}
		}
	}
}

// pick chooses sessions at random, no one twice while there are enough.
func pick(picks []int, sessions int) {
	const stride = 7919 // a prime that divides no number of sessions used here
	at := rand.IntN(sessions)
	for slot := range picks {
		picks[slot] = at
		at = (at + stride) % sessions
	}
}

// allocations returns how often, and how much, one operation allocates.
func (c *contender) allocations() (times, bytes float64, err error) {
	const turns = 4
	w := c.workers[0]
	picks := w.picks(c.sessions)
	for n := range turns + 1 { // the first fills pools, and is not counted
		pick(picks, c.sessions)
		if err := w.prepare(picks); err != nil {
			return 0, 0, err
		}
		var was, is runtime.MemStats
		runtime.ReadMemStats(&was)
		for slot, i := range picks {
			if err := w.do(slot, i); err != nil {
				return 0, 0, err
			}
		}
		runtime.ReadMemStats(&is)
		if n > 0 {
			times += float64(is.Mallocs-was.Mallocs) / float64(len(picks)*turns)
			bytes += float64(is.TotalAlloc-was.TotalAlloc) / float64(len(picks)*turns)
		}
	}
	return times, bytes, nil
}

func quartiles(rounds []float64) (low, median, high float64) {
	sorted := slices.Sorted(slices.Values(rounds))
	last := len(sorted) - 1
	return sorted[last/4], sorted[(last+1)/2], sorted[last-last/4]
}

// beside returns the median of the ratios of two results, round by round: two
// neighbours in time have the same machine.
func (r *result) beside(other *result) float64 {
	return byRounds(len(r.Rounds), func(i int) float64 { return r.Rounds[i] / other.Rounds[i] })
}

// byRounds returns the median of a figure of each round.
func byRounds(rounds int, figure func(i int) float64) float64 {
	figures := make([]float64, rounds)
	for i := range figures {
		figures[i] = figure(i)
	}
	_, median, _ := quartiles(figures)
	return median
}
