package prune

import (
	"math"
	"sync"
	"time"
)

// paceSlack is how late a file may be and those after it still make up for it: a
// timer is late by up to a millisecond, and on a busy machine by some ten.
const paceSlack = 50 * time.Millisecond

// A pacer spreads files over the time.
type pacer struct {
	interval time.Duration

	mu   sync.Mutex
	next time.Time // when the next file may go
}

// newPacer lets rate files go in a second, the first one now.
func newPacer(rate float64, now time.Time) *pacer {
	interval := time.Duration(math.MaxInt64)
	if d := float64(time.Second) / rate; d < math.MaxInt64 {
		interval = time.Duration(d)
	}
	return &pacer{interval: interval, next: now}
}

// wait returns how long the next file has to wait; zero, and less, means not at all.
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
