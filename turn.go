package sessions

import (
	"errors"
)

// ErrUpdating is the error of a save or end of a session while the function of an
// Update of it runs (see [Updater]): waiting for the Update's end inside of it
// would take for ever. The middleware answers with it when the response begins
// there. The Update itself goes on.
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

// take takes the turn if it is free. Otherwise it returns a place in the queue.
func (t *turn) take() *waiter {
	if !t.taken {
		t.taken = true
		return nil
	}
	w := &waiter{got: make(chan error, 1)}
	last := &t.first
	for *last != nil {
		last = &(*last).next
	}
	*last = w
	return w
}

// leave returns a place in the queue, or the turn that came meanwhile.
func (t *turn) leave(w *waiter) {
	for p := &t.first; *p != nil; p = &(*p).next {
		if *p == w {
			*p = w.next
			return
		}
	}
	if <-w.got == nil {
		t.pass()
	}
}

// pass hands the turn to the next who waits.
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
