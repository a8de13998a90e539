// Package sessions keeps the sessions of a net/http server in files.
//
// Start with [NewFilesystemSessionStore], and either wrap a handler in
// a [Middleware] and ask [FromContext] for the [Session], or use [NewCookies] to
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
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
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
	codec    Codec
	isNew    bool
	stored   bool // a record is thought to be stored under id
	ended    bool // one was, until the session was destroyed
	adopted  bool // the client chose id, under which nothing was stored
	wasSaved bool // since it was loaded or made
	modified bool
	parsed   bool // fields are base.Data, taken apart
	err      error

	home *Base  // the store that made or loaded it
	key  string // under which it is stored; "" before it is
	lost string // the key of a damaged record that ends when a session made in its place does, or is renewed

	attributes
	loaded attributes // which the browser's cookie was made for

	base   Record  // as it was loaded or last saved; of an adopted session, when that was
	fields []Field // see baseFields
	cells  map[string]*cell

	clock uint64 // counts changes
	asked asked
}

// failedSession stands in for a session that could not be loaded.
func failedSession(err error) *Session {
	return &Session{state: state{codec: JSON(), isNew: true, parsed: true, err: err}}
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
	return s.isNew
}

// Modified reports whether the session was changed since it was loaded or last
// saved. Setting a value counts, also to the same one; so do deleting a value
// that is there, Clear, SetAll, Renew, Login, Destroy, and a changed owner, timeout
// or the like.
// A change inside a value does not: see [Session.MarkModified].
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

// markChanged counts a change and returns the time of it.
func (s *Session) markChanged() uint64 {
	s.modified = true
	s.clock++
	return s.clock
}

// modifiedAt reports whether there is a change that is not saved, and the time
// of the last change.
func (s *Session) modifiedAt() (bool, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.modified, s.clock
}

// Err returns why the session could not be loaded, nil when it could. Such a
// session is empty, and saving it returns the same error.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Get returns the value of key, nil when there is none or when it cannot be
// decoded, be it that its decoder panics.
//
// A value loaded with the [JSON] codec is a string, bool, nil, int64 or float64,
// []any or map[string]any. A number that was set as a float is a float64 again,
// and one that was set as an integer an int64 if it fits; [JSON] has the limits of that
// inside of other types. A [time.Time] is a string and a struct a map, as
// encoding/json writes them: a [Key] returns such types, and does not change
// Get's answer. A value that was set in this request is returned as it was set.
func (s *Session) Get(key string) any {
	v, _ := s.Lookup(key)
	return v
}

// Lookup is Get and whether there was a value.
func (s *Session) Lookup(key string) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lookup[any](s, key)
}

// Set sets the value of key. The value is encoded when the session is saved:
// until then the caller may change it in place, and an error of encoding is
// the save's (see [ValueError]).
func (s *Session) Set(key string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, value)
}

func (s *Session) set(key string, value any) {
	c := s.cells[key]
	if c == nil {
		c = new(cell)
		s.putCell(key, c)
	}
	*c = cell{view: view{value: value, set: true}, changed: s.markChanged()}
}

func (s *Session) putCell(key string, c *cell) {
	if s.cells == nil {
		s.cells = make(map[string]*cell)
	}
	s.cells[key] = c
}

// Delete removes the value of key. Without one the session stays unmodified.
func (s *Session) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
}

func (s *Session) remove(key string) {
	if s.has(key) {
		s.putCell(key, &cell{gone: true, changed: s.markChanged()})
	}
}

// Pop removes the value of key and returns it, and whether there was one that
// could be decoded.
func (s *Session) Pop(key string) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := lookup[any](s, key)
	s.remove(key)
	return v, ok
}

// SetDefault returns the value of key, which it first sets to value when there
// is none.
func (s *Session) SetDefault(key string, value any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.has(key) {
		s.set(key, value)
	}
	v, _ := lookup[any](s, key)
	return v
}

// SetAll sets every value of seq, of [maps.All] for example. The session is
// modified even when there are none.
func (s *Session) SetAll(seq iter.Seq2[string, any]) {
	values := maps.Collect(seq) // before the lock: seq is the caller's code
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markChanged()
	for key, value := range values {
		s.set(key, value)
	}
}

// Clear removes all values, also those that another request saves before this
// one does. The session keeps its ID, owner and timeout.
func (s *Session) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *Session) clear() {
	s.asked[toClear] = s.markChanged()
	s.cells = nil
}

// Len returns the number of values.
func (s *Session) Len() int { return len(s.Keys()) }

// Keys returns the keys of all values, sorted. The slice is the caller's.
func (s *Session) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys()
}

// All returns the values in the order of their keys, as [Session.Get] returns
// them. The session may be changed meanwhile; the sequence may be used again.
func (s *Session) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, key := range s.Keys() {
			if v, ok := s.Lookup(key); ok && !yield(key, v) {
				return
			}
		}
	}
}

// Clone returns a flat copy: a session of the same ID and state whose values
// are set and deleted independently, but are themselves shared.
func (s *Session) Clone() *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Session{state: s.snapshot()}
}

// Discard forgets every change that is not saved, and so does a handler that
// answers an error of [Save] itself.
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
	if s.isNew {
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
