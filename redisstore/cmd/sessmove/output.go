package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/command"
)

// counts are the sessions by their outcome.
type counts struct {
	moved   int
	expired int // by the timeouts of the new store
	missing int // moved or ended by the application meanwhile
	damaged int
	failed  int
}

// A result is the outcome of the command.
type result struct {
	started time.Time
	took    time.Duration
	total   int // that were listed at first, when it is known
	stopped bool

	mu      sync.Mutex
	counts  counts
	row     int // of failures, one after the other
	errors  map[string]int
	refused error // why none can be moved
	bar     *command.Bar
}

// count counts the outcome for one session.
func (r *result) count(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := &r.counts
	row := 0
	switch {
	case err == nil:
		n.moved++
	case errors.Is(err, sessions.ErrNotStored):
		n.missing++
	case errors.Is(err, sessions.ErrDeleted):
		n.expired++
	case errors.Is(err, sessions.ErrCorrupt):
		n.damaged++
	case errors.Is(err, context.Canceled): // it was not begun
	case errors.Is(err, sessions.ErrHashedNames):
		r.refused = err
	default:
		n.failed++
		r.errors[strings.ReplaceAll(err.Error(), "\n", "; ")]++
		row = r.row + 1
	}
	r.row = row
	seen := n.moved + n.missing + n.expired + n.damaged + n.failed
	r.bar.Draw(seen, max(seen, r.total), command.Count(n.failed+n.damaged)+" failed", time.Since(r.started))
}

// begin forgets the sessions that the pass before could not move.
func (r *result) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts = counts{moved: r.counts.moved, missing: r.counts.missing}
	clear(r.errors)
}

func (r *result) get() counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// ends reports whether no further session is to be begun.
func (r *result) ends(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return ctx.Err() != nil || r.refused != nil || r.row >= maxFailures
}

func (r *result) finish() {
	r.took = time.Since(r.started)
	r.bar.Wipe()
}

func (r *result) code() int {
	switch {
	case r.refused != nil:
		return command.Refused
	case r.counts.failed > 0 || r.counts.damaged > 0:
		return command.Failed
	case r.stopped:
		return command.Stopped
	}
	return command.Done
}

// failures returns a line for each error, with the number of sessions that have it.
func (r *result) failures() (lines []string) {
	for _, text := range slices.Sorted(maps.Keys(r.errors)) {
		lines = append(lines, command.Plural(r.errors[text], "session", "sessions")+": "+text)
	}
	if r.stopped {
		lines = append(lines, "stopped by a signal: the next run goes on")
	}
	return lines
}

func (r *result) summary() string {
	n := r.counts
	text := command.Plural(n.moved, "session", "sessions") + " moved"
	if r.total > 0 {
		text += " of " + command.Count(r.total)
	}
	for _, part := range []struct {
		n       int
		outcome string
	}{
		{n.missing, "moved or ended by the application meanwhile"},
		{n.expired, "expired and left"},
		{n.damaged, "damaged, or sealed under other keys, and left"},
		{n.failed, "failed and left"},
	} {
		if part.n > 0 {
			text += ", " + command.Count(part.n) + " " + part.outcome
		}
	}
	return text + "; " + r.took.Round(time.Millisecond).String() + "\n"
}

// json returns the result for programs. The names in it stay; new ones may come.
func (r *result) json(c *config) string {
	from, to := c.dir, redacted(c.url)
	if !c.toRedis {
		from, to = to, from
	}
	text, err := json.MarshalIndent(map[string]any{
		"from": from, "to": to, "dry_run": c.dryRun, "stopped": r.stopped, "exit_code": r.code(),
		"moved": r.counts.moved, "missing": r.counts.missing, "expired": r.counts.expired, "damaged": r.counts.damaged, "failed": r.counts.failed,
		"listed": r.total, "errors": r.errors, "duration_seconds": r.took.Seconds(),
	}, "", "  ")
	if err != nil {
		panic(err) // numbers and strings
	}
	return string(text) + "\n"
}
