package sessions

import (
	"maps"
)

// An updateCall is one call of an Update's function. It works on a copy, so that
// its changes can be told from those of others to the session meanwhile: when
// anything fails, also by a panic, that is all that is taken back.
type updateCall struct {
	s, work *Session

	was           state  // of s, before it was brought up to the stored one
	began, joined uint64 // the clock of s when work was copied, and when it got the changes since
	saved         bool
}

// begin brings the session up to the stored one, and copies it. Its changes
// stay.
func (u *updateCall) begin(stored *Record, expired bool) error {
	s := u.s
	s.mu.Lock()
	defer s.mu.Unlock()
	on, _, err := s.check(stored, expired)
	if err != nil {
		return err
	}
	if s.baseFields(); s.err != nil {
		return s.err
	}
	u.was = s.state
	u.was.cells = maps.Clone(s.cells)
	switch {
	case on != nil:
		fields, err := s.parse(on)
		if err != nil {
			return err
		}
		s.recordInPlaceChanges()
		s.rebase(*on, fields)
	case s.stored && s.asked[toDestroy] == 0: // it has ended, and a login begins another one
		s.recordInPlaceChanges()
		s.rebase(Record{Codec: s.codec.Name()}, nil)
	}
	u.began = s.clock
	u.work = &Session{state: s.snapshot(), turn: turn{taken: true, updating: true}}
	s.turn.startUpdating()
	return nil
}

// join ends the work of the function, and brings in the changes of the
// session itself meanwhile.
func (u *updateCall) join() {
	s, work := u.s, u.work
	s.mu.Lock()
	defer s.mu.Unlock()
	work.mu.Lock()
	defer work.mu.Unlock()
	work.replay(&s.state, u.began)
	u.joined = s.clock
	s.turn.updating, work.turn.updating = false, false
}

// end makes the session as it was saved, or as it was. The copy, where it was
// kept, is a clone.
func (u *updateCall) end() {
	s, work := u.s, u.work
	s.mu.Lock()
	defer s.mu.Unlock()
	work.mu.Lock()
	defer work.mu.Unlock()
	s.turn.updating, work.turn.updating = false, false
	work.turn.pass()
	if !u.saved {
		s.putBack(&u.was, u.began)
		return
	}
	now := s.state
	s.state = work.snapshot()
	s.replay(&now, u.joined)
}

// putBack puts the record from before under the changes of the session since.
func (s *Session) putBack(was *state, since uint64) {
	s.rebase(was.base, was.fields)
	if !s.stored && s.asked[toRenew] == 0 && s.asked[toDestroy] == 0 {
		s.created = was.created
	}
	if s.asked[toClear] > since {
		return
	}
	for key, c := range was.cells {
		if c.changed == 0 && s.cells[key] == nil { // handed out
			s.putCell(key, c)
		}
	}
}

// replay repeats the changes of another session since, one that began as the
// same.
func (s *Session) replay(from *state, since uint64) {
	s.clock = max(s.clock, from.clock)
	if from.clock > since {
		s.markChanged()
	}
	switch {
	case from.asked[toDestroy] > since:
		s.destroy()
		s.created = from.created
	case from.asked[toClear] > since:
		s.clear()
	}
	s.attributes.copyAsked(from.attributes, &from.asked, since)
	for r := range from.asked {
		if from.asked[r] > since && r != int(toDestroy) && r != int(toClear) {
			s.asked[r] = s.markChanged()
		}
	}
	for key, c := range from.cells {
		copied := *c
		switch {
		case c.changed > since:
			copied.changed = s.markChanged()
			s.putCell(key, &copied)
		case c.changed == 0 && s.cells[key] == nil: // handed out
			if encoded, ok := s.field(key); ok && encoded == c.encoded {
				s.putCell(key, &copied)
			}
		}
	}
}
