package prune

import (
	"math"
	"sync"
	"time"
)

// paceSlack is how much lateness the following files may make up for: a
// timer is late by up to a millisecond, and on a busy machine by some ten.
const paceSlack = 50 * time.Millisecond

// A pacer spreads the removals of files over the time. It is safe for concurrent use.
type pacer struct {
	interval time.Duration

	mu   sync.Mutex
	next time.Time // when the next file may go
}

// newPacer returns a pacer for rate files a second, the first one now.
func newPacer(rate float64, now time.Time) *pacer {
	interval := time.Duration(math.MaxInt64)
	if d := float64(time.Second) / rate; d < math.MaxInt64 {
		interval = time.Duration(d)
	}
	return &pacer{interval: interval, next: now}
}

// wait returns how long the next file has to wait. Zero and less mean not at all.
func (p *pacer) wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-paceSlack); p.next.Before(earliest) {
		p.next = earliest
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(p.interval)
	return wait
}
