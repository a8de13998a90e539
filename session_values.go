package sessions

import (
	"iter"
	"maps"
)

// Get returns the value of key, nil when there is none or when it cannot be
// decoded, be it that its decoder panics.
//
// A value loaded with the [JSON] codec is a string, bool, nil, int64 or float64,
// []any or map[string]any. A number that was set as a float is a float64 again,
// and one that was set as an integer an int64 if it fits; [JSON] has the limits of that
// inside of other types. A [time.Time] is a string and a struct a map, as
// encoding/json writes them: a [Key] returns such types, and does not change
// Get's answer. A value that was set in this request is returned as it was set.
//
// A map, slice or pointer is the session's own: each Get returns the same one, and a
// change in it is saved after [Session.MarkModified].
func (s *Session) Get(key string) any {
	v, _ := s.Lookup(key)
	return v
}

// Lookup is Get and whether there was a value.
func (s *Session) Lookup(key string) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lookup[any](&s.values, key)
}

// Set sets the value of key. The value is encoded when the session is saved:
// until then the caller may change it in place, and an error of encoding is
// the save's (see [ValueError]).
func (s *Session) Set(key string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, value)
}

// Delete removes the value of key. Without one the session stays unmodified.
func (s *Session) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(key)
}

// Pop removes the value of key and returns it, and whether there was one that
// could be decoded.
func (s *Session) Pop(key string) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := lookup[any](&s.values, key)
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
	v, _ := lookup[any](&s.values, key)
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

// Len returns the number of values.
func (s *Session) Len() int { return len(s.Keys()) }

// Keys returns the keys of all values, sorted; nil for none. The slice is the
// caller's.
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
