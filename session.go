// Package sessions keeps the sessions of a net/http server in files.
//
// Start with [NewFilesystemSessionStore], and either wrap a handler in a
// [Middleware] and ask [FromContext] for the [Session], or use [NewCookies] to
// load and save it by hand. A session is a map from string to value that knows
// whether it is new, modified and worth saving; a [Key] is one of its values with
// a type.
//
// # Guarantees
//
// Requests that overlap, in one process or several on one machine, do not lose
// each other's changes: a save carries the changes of its own request, and
// [Updater] reads, changes and writes under one lock. A session that was ended
// stays ended, however slow a request that still holds it. A process that is
// killed leaves each session as it was or as it should have become. An ID that
// the store did not issue is never adopted. No ID, key or value appears in an
// error or a log.
//
// # Limits
//
// Without [SyncFull], a power cut may take a session back to an earlier state
// or lose it; it is never half one state and half another. Network file systems
// are not supported: the guarantees rest on flock(2) and on reads that see the
// writes of other processes at once. Nested changes to values are not noticed
// (see [Session.MarkModified]).
//
// # Compatibility
//
// The package follows semantic versioning, and a file that one version wrote is
// read by later ones. It is not published yet.
package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

// A Session is a map from string to value that tracks its changes. It
// does no I/O of its own: a [SessionStore] makes, loads and saves it.
//
// All methods may be called by several goroutines at once. Values that are
// changed in place, maps and slices for example, are the caller's to guard.
type Session struct {
	mu sync.Mutex // guards the rest

	// turn is held through a whole save, so that two saves of one Session do
	// not mix. It is taken before any lock of a store.
	turn turn

	state
}

// state is all of a Session that can be copied.
type state struct {
	id       string
	stored   bool // a record is thought to be stored under id
	ended    bool // one was, until the session was destroyed
	adopted  bool // the client chose id, under which nothing was stored
	wasSaved bool // since it was loaded or made

	home *Base  // the store that made or loaded it
	key  string // under which it is stored; "" before it is
	lost string // the key of a damaged record that ends when a session made in its place does, or is renewed

	values
	attributes
	loaded cookieAge // which the browser's cookie was made for

	carrier any      // the Cookies that found it in a request
	sent    []string // the IDs that the carrier's cookies had there

	touchAsked, touchDone bool // by the carrier, when the session was loaded; see GetToucher
}

// failedSession stands in for a session that could not be loaded.
func failedSession(err error) *Session {
	return &Session{state: state{values: values{codec: JSON(), parsed: true, err: err}}}
}

// ID returns the session's ID. It is a bearer secret: anyone who presents it is
// treated as the session's owner. It changes with the save after [Session.Renew] or
// [Session.Destroy].
func (s *Session) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// PublicID returns the [PublicID] of the session's ID, as an [OwnerStore] lists it.
// It is safe to show and to log.
func (s *Session) PublicID() string { return PublicID(s.ID()) }

// New reports whether the session was made now, not loaded. A saved session is
// not new any more.
func (s *Session) New() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isNew()
}

// Modified reports whether the session was changed since it was loaded or last
// saved. Setting a value counts, also to the same one; so do deleting a value
// that is there, Clear, SetAll, Renew, Login, Destroy, and a changed owner,
// timeout or the like. A change inside a value does not: see
// [Session.MarkModified].
func (s *Session) Modified() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.modified
}

// ShouldSave reports whether there is anything to save. A new session is not
// worth saving before something is put into it. While the function of an Update
// runs it is true, so that the save which follows returns [ErrUpdating].
func (s *Session) ShouldSave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.modified || s.turn.updating
}

// MarkModified tells that a value was changed in place, say a map that Get
// returned. The next save then encodes every value that was handed out and
// carries those whose encoding changed. A value that was asked for as several
// types was handed out several times: the last one that changed is carried, and
// the others are forgotten.
func (s *Session) MarkModified() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[toCompareInPlace] = s.markChanged()
}

// modifiedAt reports whether there is a change that is not saved, and the time
// of the last change.
func (s *Session) modifiedAt() (bool, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.modified, s.clock
}

// Err returns the error with which the session could not be loaded, nil when it
// could. Such a session is empty, and saving it returns the same error.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Clone returns a flat copy: a session of the same ID and state whose values
// are set and deleted independently, but are themselves shared. Saving both is
// like saving from two requests.
func (s *Session) Clone() *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Session{state: s.snapshot()}
}

// snapshot returns the state as it is, to be brought back by assigning it.
func (s *Session) snapshot() state {
	was := s.state
	was.cells = s.copyCells()
	return was
}

// Discard forgets every change that is not saved. A handler that answers an error
// of [Save] itself calls it, since the middleware would try to save again.
func (s *Session) Discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cells, s.modified, s.asked = nil, false, asked{}
	created := s.created
	if s.attributes = s.base.attributes(); !s.stored {
		s.created = created
	}
}

// String returns counts and flags, never values or the ID: `<Session 3 values
// new*>`, with a star when the session should be saved.
func (s *Session) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	flags := ""
	if s.isNew() {
		flags += " new"
	}
	if s.modified {
		flags += "*"
	}
	return fmt.Sprintf("<Session %d values%s>", len(s.keys()), flags)
}

// Format prints String for every verb: %#v and %d would print the fields.
func (s *Session) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue logs String.
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON fails: encoding a session by mistake, in a log say, would
// publish it.
func (s *Session) MarshalJSON() ([]byte, error) {
	return nil, errors.New("sessions: a Session is not encoded as JSON; use All for its values")
}

// acquire waits for the session's turn, no longer than ctx. home is the store
// that asks.
func (s *Session) acquire(ctx context.Context, home *Base) error {
	s.mu.Lock()
	err := s.usable(home)
	var w *waiter
	if err == nil {
		w = s.turn.take()
	}
	s.mu.Unlock()
	if w == nil {
		return err
	}
	select {
	case err := <-w.got:
		return err
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.turn.leave(w)
		return ctx.Err()
	}
}

// release passes the turn to the next who waits.
func (s *Session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn.pass()
}

// ready returns the reason why the session cannot be committed now, be there
// anything to save or not.
func (s *Session) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usable(s.home)
}

// ErrForeign is the error for a session of another store, which made or
// loaded it. Nothing was done.
var ErrForeign = errors.New("sessions: the session belongs to another store")

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

// storedUnder returns the key under which the session is stored, or would be.
func (s *Session) storedUnder() string {
	if s.key != "" {
		return s.key
	}
	return s.home.opts.Key(s.id)
}

// isNew reports whether no record of the session was stored or adopted yet.
func (s *Session) isNew() bool { return !s.stored && !s.adopted }

func (s *Session) isStored() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored
}
