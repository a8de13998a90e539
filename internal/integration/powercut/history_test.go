//go:build linux

package powercut

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sessfs/sessions"
)

// A state is one writer's content of a session: the number of its save, and a padding
// that belongs to that number. They are two values, so that a mixture of two saves
// shows.
type state struct {
	number  int64
	padding string
}

func numberKey(writer int) sessions.Key[int64] {
	return sessions.Key[int64](fmt.Sprint("number.", writer))
}

func paddingKey(writer int) sessions.Key[string] {
	return sessions.Key[string](fmt.Sprint("padding.", writer))
}

func (v state) set(s *sessions.Session, writer int) {
	numberKey(writer).Set(s, v.number)
	paddingKey(writer).Set(s, v.padding)
}

func stateOf(s *sessions.Session, writer int) state {
	return state{numberKey(writer).Get(s), paddingKey(writer).Get(s)}
}

// newState makes the state of that number, with so many bytes of padding, of
// which every few tell the number: a mixture of two has no valid one.
func newState(number int64, size int) state {
	text := fmt.Sprintf("%d,", number)
	return state{number, strings.Repeat(text, 1+size/len(text))}
}

// A history is one writer's requests in one session, and which of them were
// acknowledged.
type history struct {
	asked map[int64]state // by number
	acked int64           // the number of the last one that was; zero before there is one
}

// A record is all that was asked of one session.
type record struct {
	writers       map[int]*history
	ending, ended bool // its end was asked for; was acknowledged
}

// records are those of a cut's writers, for comparing. Its methods may be
// called by several goroutines at once.
type records struct {
	// gone is set just before the cut. A call that returns after that is not
	// acknowledged: on XFS, an fsync of a directory succeeds although its log is
	// shut down.
	gone atomic.Bool

	mu       sync.Mutex
	sessions map[string]*record // by ID

	// renewing are the states of renewals that have not returned: a session
	// of an unknown ID may have one of them.
	renewing map[int]state // by writer
}

func newRecords() *records {
	return &records{sessions: make(map[string]*record), renewing: make(map[int]state)}
}

// of returns the history of a writer in a session, with mu held.
func (r *records) of(id string, writer int) *history {
	rec := r.sessions[id]
	if rec == nil {
		rec = &record{writers: make(map[int]*history)}
		r.sessions[id] = rec
	}
	h := rec.writers[writer]
	if h == nil {
		h = &history{asked: make(map[int64]state)}
		rec.writers[writer] = h
	}
	return h
}

func (r *records) ask(id string, writer int, v state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of(id, writer).asked[v.number] = v
}

func (r *records) ack(id string, writer int, v state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.of(id, writer)
	h.asked[v.number] = v
	if !r.gone.Load() {
		h.acked = v.number
	}
}

func (r *records) askEnd(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[id].ending = true
}

func (r *records) ackEnd(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[id].ended = !r.gone.Load()
}

func (r *records) renew(writer int, v state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renewing[writer] = v
}

func (r *records) renewed(writer int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.renewing, writer)
}
