package redisstore

import (
	"context"
	"sync"
)

// turns lets the goroutines of a process save one session one after the other: on the
// server they would only find one another's saves, and try again.
type turns struct {
	mu    sync.Mutex
	queue map[string]*turn
}

// A turn is that of those who have and want it.
type turn struct {
	free chan struct{} // has one value when nobody has it
	n    int
}

// take waits for the turn of a key, no longer than ctx. Who has it calls release.
func (t *turns) take(ctx context.Context, key string) (release func(), err error) {
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
		return func() { q.free <- struct{}{}; t.leave(key, q) }, nil
	case <-ctx.Done():
		t.leave(key, q)
		return nil, ctx.Err()
	}
}

func (t *turns) leave(key string, q *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.n--; q.n == 0 {
		delete(t.queue, key)
	}
}
