package slotfile

import (
	"context"
	"sync"
)

// keyed is a set of locks, one a name, that are waited for under a context.
// Whoever waits is served in the order of arrival.
type keyed struct {
	mu   sync.Mutex
	used map[string]*semaphore
}

// A semaphore holds one token. It lives in keyed.used while somebody has it
// or waits for it.
type semaphore struct {
	token chan struct{}
	users int // guarded by keyed.mu
}

var semaphores = sync.Pool{New: func() any { return &semaphore{token: make(chan struct{}, 1)} }}

// lock waits for the name's lock until ctx ends.
func (k *keyed) lock(ctx context.Context, name string) (*semaphore, error) {
	k.mu.Lock()
	s := k.used[name]
	if s == nil {
		if k.used == nil {
			k.used = make(map[string]*semaphore)
		}
		s = semaphores.Get().(*semaphore)
		k.used[name] = s
	}
	s.users++
	k.mu.Unlock()

	select {
	case s.token <- struct{}{}:
		return s, nil
	default:
	}
	select {
	case s.token <- struct{}{}:
		return s, nil
	case <-ctx.Done():
		k.leave(name, s)
		return nil, ctx.Err()
	}
}

// unlock gives up what lock returned for the name.
func (k *keyed) unlock(name string, s *semaphore) {
	<-s.token
	k.leave(name, s)
}

func (k *keyed) leave(name string, s *semaphore) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(k.used, name)
		semaphores.Put(s)
	}
}
