package sessions

import (
	"context"
	"errors"
)

// ErrUpdating is the error of a save or end of a session while the function of an
// Update of it runs (see [Updater]): waiting for the Update's end
// inside of it would take for ever. The middleware answers with it when the
// response begins there. The Update itself goes on.
var ErrUpdating = errors.New("sessions: an Update of the session is running")

// A turn is the right to save or end a session, which one goroutine has at a
// time. It is guarded by Session.mu.
type turn struct {
	taken    bool
	updating bool    // by an Update whose function runs now
	first    *waiter // of those who wait for it, in the order of arrival
}

type waiter struct {
	got  chan error // gets one value; nil is the turn
	next *waiter
}

// acquire waits for the session's turn, no longer than ctx. home is the store
// that asks.
func (s *Session) acquire(ctx context.Context, home *Base) error {
	w, err := s.enqueue(home)
	if w == nil {
		return err
	}
	select {
	case err := <-w.got:
		return err
	case <-ctx.Done():
		s.leave(w)
		return ctx.Err()
	}
}

// enqueue takes the turn if it is free. Otherwise it returns a place in the queue.
func (s *Session) enqueue(home *Base) (*waiter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(home); err != nil {
		return nil, err
	}
	if !s.turn.taken {
		s.turn.taken = true
		return nil, nil
	}
	w := &waiter{got: make(chan error, 1)}
	last := &s.turn.first
	for *last != nil {
		last = &(*last).next
	}
	*last = w
	return w, nil
}

// ready returns the reason why the session cannot be committed now, be there
// anything to save or not.
func (s *Session) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usable(s.home)
}

// usable returns the reason why a store cannot do anything with the session now.
func (s *Session) usable(home *Base) error {
	switch {
	case s.err != nil:
		return s.err
	case s.home != home:
		return ErrForeign
	case s.turn.updating:
		return ErrUpdating
	}
	return nil
}

// leave returns a place in the queue, or the turn that came meanwhile.
func (s *Session) leave(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := &s.turn.first; *p != nil; p = &(*p).next {
		if *p == w {
			*p = w.next
			return
		}
	}
	if <-w.got == nil {
		s.turn.pass()
	}
}

// release passes the turn to the next who waits.
func (s *Session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn.pass()
}

func (t *turn) pass() {
	w := t.first
	if w == nil {
		t.taken = false
		return
	}
	t.first = w.next
	w.got <- nil
}

// startUpdating sends everybody away who waits: the function of the Update may
// be waiting for one of them.
func (t *turn) startUpdating() {
	t.updating = true
	for ; t.first != nil; t.first = t.first.next {
		t.first.got <- ErrUpdating
	}
}
