package sessions

// A Key is the name of a session value of type T, usually a constant:
//
//	const UserID sessions.Key[int64] = "user_id"
//
// A value is decoded straight into T: an int64, a [time.Time] or a struct comes
// back as it went in. A stored value that does not decode into T counts as
// absent.
type Key[T any] string

// Get returns the session's value, the zero T when there is none.
func (k Key[T]) Get(s *Session) T {
	v, _ := k.Lookup(s)
	return v
}

// Lookup returns the session's value and whether there is one.
func (k Key[T]) Lookup(s *Session) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lookup[T](&s.values, string(k))
}

// Set sets the session's value; see [Session.Set].
func (k Key[T]) Set(s *Session, value T) { s.Set(string(k), value) }

// Pop removes the session's value and returns it and whether there was one.
func (k Key[T]) Pop(s *Session) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := lookup[T](&s.values, string(k))
	s.remove(string(k))
	return v, ok
}

// Delete removes the session's value; see [Session.Delete].
func (k Key[T]) Delete(s *Session) { s.Delete(string(k)) }
