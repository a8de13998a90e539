package slotfile

import (
	"context"
	"sync"
)

// keyedMutex is a set of mutexes, one a name, in which a wait ends with its context.
// Waiting goroutines are served in the order of arrival.
type keyedMutex struct {
	mu     sync.Mutex
	used   map[string]*semaphore
	unused []*semaphore // maxUnused at most
}

// maxUnused is how many semaphores are kept for reuse: more than the saves that
// most processes make at once.
const maxUnused = 64

// A semaphore holds one token. It lives in keyedMutex.used while it is held or
// waited for.
type semaphore struct {
	token chan struct{}
	users int // guarded by keyedMutex.mu
}

// lock waits for the name's lock until ctx ends.
func (k *keyedMutex) lock(ctx context.Context, name string) (*semaphore, error) {
	k.mu.Lock()
	s := k.used[name]
	if s == nil {
		if k.used == nil {
			k.used = make(map[string]*semaphore)
		}
		s = k.next()
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

// next returns an unused semaphore, with k.mu held. No two keyedMutexes share
// semaphores: a channel made in a bubble of testing/synctest cannot be used outside
// of it.
func (k *keyedMutex) next() *semaphore {
	last := len(k.unused) - 1
	if last < 0 {
		return &semaphore{token: make(chan struct{}, 1)}
	}
	s := k.unused[last]
	k.unused = k.unused[:last]
	return s
}

// unlock releases the semaphore that lock returned for the name.
func (k *keyedMutex) unlock(name string, s *semaphore) {
	<-s.token
	k.leave(name, s)
}

func (k *keyedMutex) leave(name string, s *semaphore) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(k.used, name)
		if len(k.unused) < maxUnused {
			k.unused = append(k.unused, s)
		}
	}
}
