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
	free chan struct{}    // has one value when it is free; nil while no other wants it
	last *sessions.Record // as the one before has stored it; nil when that is not known
	n    int
}

// take waits for the turn of a key, no longer than ctx.
func (t *turns) take(ctx context.Context, key string) (*turn, error) {
	q, free := t.join(key)
	if free == nil {
		return q, nil
	}
	select {
	case <-free:
		return q, nil
	case <-ctx.Done():
		t.leave(key, q)
		return nil, ctx.Err()
	}
}

// join returns the turn of a key, and how to wait for it unless it is free.
func (t *turns) join(key string) (q *turn, free chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q = t.queue[key]; q == nil {
		if t.queue == nil {
			t.queue = make(map[string]*turn)
		}
		q = &turn{n: 1}
		t.queue[key] = q
		return q, nil
	}
	if q.n++; q.free == nil {
		q.free = make(chan struct{}, 1)
	}
	return q, q.free
}

// release passes the turn on, with the record that a change has stored.
func (t *turns) release(key string, q *turn, c *sessions.Change, err error) {
	q.last = nil
	n, free := t.leave(key, q)
	if n > 0 && err == nil && c.NewKey() == key {
		rec := *c.Record()
		q.last = &rec
	}
	if free != nil {
		free <- struct{}{}
	}
}

// leave returns how many others have or want the turn, and how it is passed on.
func (t *turns) leave(key string, q *turn) (n int, free chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.n--; q.n == 0 {
		delete(t.queue, key)
	}
	return q.n, q.free
}
