package redisstore

import (
	"context"
	"sync"

	"github.com/sessfs/sessions"
)

// turns lets the goroutines of a process save one session one after the other: on the
// server they would only find one another's saves, and try again.
type turns struct {
	mu    sync.Mutex
	queue map[string]*turn
}

// A turn is that of those who have and want it.
type turn struct {
	free chan struct{}    // has one value when it is free
	last *sessions.Record // as the one before has stored it; nil when that is not known
	n    int
}

// take waits for the turn of a key, no longer than ctx.
func (t *turns) take(ctx context.Context, key string) (*turn, error) {
	t.mu.Lock()
	if t.queue == nil {
		t.queue = make(map[string]*turn)
	}
	q := t.queue[key]
	if q == nil {
		q = &turn{free: make(chan struct{}, 1)}
		q.free <- struct{}{}
		t.queue[key] = q
	}
	q.n++
	t.mu.Unlock()
	select {
	case <-q.free:
		return q, nil
	default: // some contexts start a timer when they are waited for
	}
	select {
	case <-q.free:
		return q, nil
	case <-ctx.Done():
		t.leave(key, q)
		return nil, ctx.Err()
	}
}

// release passes the turn on, with the record that a change has stored.
func (t *turns) release(key string, q *turn, c *sessions.Change, err error) {
	q.last = nil
	if t.leave(key, q) > 0 && err == nil && c.NewKey() == key {
		rec := *c.Record()
		q.last = &rec
	}
	q.free <- struct{}{}
}

// leave returns how many others have or want the turn.
func (t *turns) leave(key string, q *turn) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.n--; q.n == 0 {
		delete(t.queue, key)
	}
	return q.n
}
