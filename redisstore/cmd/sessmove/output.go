package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	bar     *bar
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
	r.bar.draw(r.counts, r.total, time.Since(r.started))
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
	r.bar.wipe()
}

func (r *result) code() int {
	switch {
	case r.refused != nil:
		return exitRefused
	case r.counts.failed > 0 || r.counts.damaged > 0:
		return exitFailed
	case r.stopped:
		return exitStopped
	}
	return exitDone
}

// failures returns a line for each error, with the number of sessions that have it.
func (r *result) failures() (lines []string) {
	for _, text := range slices.Sorted(maps.Keys(r.errors)) {
		lines = append(lines, fmt.Sprintf("%d sessions: %s", r.errors[text], text))
	}
	if r.stopped {
		lines = append(lines, "stopped by a signal: the next run goes on")
	}
	return lines
}

func (r *result) summary() string {
	n := r.counts
	text := fmt.Sprintf("%d sessions moved", n.moved)
	if r.total > 0 {
		text += fmt.Sprintf(" of %d", r.total)
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
			text += fmt.Sprintf(", %d %s", part.n, part.outcome)
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

// A bar is drawn over and over in one line, and wiped at the end; a nil one is not.
type bar struct {
	w    io.Writer
	last time.Time
}

// newBar returns the bar of a command line, nil for none.
func newBar(c *config, w io.Writer) *bar {
	if c.progress == "always" || c.progress == "auto" && !c.quiet && command.IsTerminal(w) {
		return &bar{w: w}
	}
	return nil
}

const barWidth = 30

func (b *bar) draw(n counts, total int, took time.Duration) {
	if b == nil || time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last = time.Now()
	seen := n.moved + n.missing + n.expired + n.damaged + n.failed
	share := min(1, float64(seen)/float64(max(total, 1)))
	full := int(share * barWidth)
	fmt.Fprintf(b.w, "\r[%s%s] %3.0f%%  %d of %d, %d failed, %s ",
		strings.Repeat("#", full), strings.Repeat(" ", barWidth-full), 100*share, seen, max(seen, total), n.failed+n.damaged, took.Round(time.Second))
}

func (b *bar) wipe() {
	if b != nil {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", barWidth+60))
	}
}
