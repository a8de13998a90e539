package sessions

import (
	"context"
	"time"
)

// A Record is a session as a store keeps it.
type Record struct {
	Created time.Time     // when the session was made or renewed
	MaxAge  time.Duration // its own idle timeout; zero means the store's
	Owner   string        // "" for none
	Data    string        // its values, encoded; arbitrary bytes
}

func (r Record) equal(o Record) bool {
	return r.Created.Equal(o.Created) && r.MaxAge == o.MaxAge && r.Owner == o.Owner && r.Data == o.Data
}

// Stored returns what is stored of the session, as far as it knows: what it
// was loaded from or last saved as. It is false for one that was not stored, or
// was destroyed. It is for a [Carrier] that keeps sessions in the browser, and
// so cannot look.
func (s *Session) Stored() (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base, s.stored
}

// Codec returns what the session's values are encoded with: for a store, or a
// [Carrier], that writes the codec's name beside them.
func (s *Session) Codec() Codec {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codec
}

// A Change is what one save has to do to a store.
type Change struct {
	// ID is the session's ID after the save.
	ID string

	// Ended is the ID of the stored session that ends with this save, because
	// it is destroyed or gets a new ID; "" when none does.
	Ended string

	// Record is to be stored under ID; nil when nothing is.
	Record *Record

	// Fresh says that nothing is stored under ID yet.
	Fresh bool

	// Same says that Record is what is stored already, and that only its idle
	// time has to begin anew.
	Same bool
}

// Commit saves the session, for the Save method of a store.
//
// It waits, no longer than ctx, until no other save of this Session is under
// way. Then it calls open with the session's ID, which locks what the store
// keeps of it and returns the record that is stored, nil when none is. done
// unlocks; it may be nil. Commit carries over what was changed in the session, and calls
// write with what is then to be done. When that succeeds the session holds the
// merged values, is not new and not modified; otherwise it is as it was, and
// Commit returns the error.
//
// Other errors are [ErrDeleted] when the session was loaded, or saved before,
// and is not stored any more; [ErrExists] when a new session's ID is taken; a
// [ValueError]; [ErrForeign]; [ErrUpdating]; and [Session.Err]. newID makes an ID
// for a session that needs another one.
func (s *Session) Commit(
	ctx context.Context,
	open func(ctx context.Context, id string) (stored *Record, done func(), err error),
	newID func() string,
	write func(Change) error,
) error {
	return s.CommitUpdate(ctx, nil, open, newID, write)
}

// CommitUpdate is Commit for the Update method of a store (see [Updater]): it
// brings the session up to what is stored, calls update, and saves. When any
// of that fails, what update did is taken back.
func (s *Session) CommitUpdate(
	ctx context.Context,
	update func(*Session) error,
	open func(ctx context.Context, id string) (stored *Record, done func(), err error),
	newID func() string,
	write func(Change) error,
) error {
	release, err := s.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	stored, done, err := open(ctx, s.ID())
	if done != nil {
		defer done()
	}
	if err != nil {
		return err
	}
	return s.save(stored, update, funcs{newID, write})
}

// save saves the session, for those who have its turn.
func (s *Session) save(stored *Record, update func(*Session) error, to saver) error {
	if update != nil {
		return s.commitUpdate(stored, update, to)
	}
	return s.commit(stored, to)
}

// A saver is where commit saves to: an interface, since the file store would
// otherwise allocate two closures for each save.
type saver interface {
	GenerateKey() string
	write(Change) error
}

type funcs struct {
	newID func() string
	to    func(Change) error
}

func (f funcs) GenerateKey() string  { return f.newID() }
func (f funcs) write(c Change) error { return f.to(c) }

// commit saves the session as it is.
func (s *Session) commit(stored *Record, to saver) error {
	var p plan
	if err := s.plan(&p, stored, to); err != nil {
		return err
	}
	if err := to.write(p.Change); err != nil {
		return err
	}
	s.saved(&p)
	return nil
}

// A plan is a Change and what the session has to know of it afterwards.
type plan struct {
	Change
	clock   uint64 // the session's, when the plan was made
	changes []change
	fields  []field // of Record

	// Room for Record and for the changes of most saves, so that all of a
	// plan is one allocation.
	record Record
	few    [2]change
}

// check compares what the session thinks is stored with what is, and returns
// that: nil when it is another session's.
func (s *Session) check(stored *Record) (*Record, error) {
	another := stored != nil && s.isAnother(stored)
	switch {
	case s.err != nil:
		return nil, s.err
	case s.destroyed > 0 && another && s.stored:
		return nil, nil
	case s.destroyed > 0:
		return stored, nil // there or not, it ends
	case another || s.stored && stored == nil:
		return nil, ErrDeleted
	case !s.stored && stored != nil && !s.adopted:
		return nil, ErrExists
	}
	return stored, nil
}

// isAnother reports whether what is stored under the session's ID may be
// somebody else's, who took the ID up when this session had ended (see
// FilesystemOptions.KeepMissingID). A session is known by the time at which it
// began. One that was adopted adds to a session that was adopted before it,
// since nothing was stored then that could have ended; one that began later may
// be the next visitor's. Other stores use no ID twice, and may round times.
func (s *Session) isAnother(stored *Record) bool {
	switch {
	case s.home == nil:
		return false
	case s.adopted:
		return stored.Created.After(s.base.Created)
	default:
		return s.stored && !stored.Created.Equal(s.base.Created)
	}
}

// plan finds out what the save has to do.
func (s *Session) plan(p *plan, stored *Record, to saver) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stored, err = s.check(stored); err != nil {
		return err
	}
	p.clock, p.ID = s.clock, s.id
	if (s.stored || s.adopted) && (s.destroyed > 0 || s.renewed > 0) {
		p.ID = to.GenerateKey()
		if stored != nil {
			p.Ended = s.id
		}
	}
	if s.destroyed > 0 {
		if len(s.keys()) == 0 {
			return nil
		}
		stored = nil
	}
	p.Fresh = stored == nil || p.Ended != ""
	if p.changes, err = s.changes(p.few[:0]); err != nil {
		return err
	}
	p.record = Record{Created: s.created, MaxAge: s.maxAge, Owner: s.owner}
	p.Record = &p.record
	if err := s.merge(p, stored); err != nil {
		return err
	}
	p.Same = !p.Fresh && p.record.equal(*stored)
	return nil
}

// merge fills in p.Record and p.fields: what is stored, with what was changed.
func (s *Session) merge(p *plan, stored *Record) error {
	if stored != nil {
		if s.renewed == 0 {
			p.Record.Created = stored.Created
		}
		if s.aged == 0 {
			p.Record.MaxAge = stored.MaxAge
		}
		if s.owned == 0 {
			p.Record.Owner = stored.Owner
		}
		if s.cleared == 0 {
			fields, err := s.parse(stored)
			if err != nil {
				return err
			}
			p.fields = fields
		}
	}
	if len(p.changes) == 0 && stored != nil && s.cleared == 0 {
		p.Record.Data = stored.Data
		return nil
	}
	p.fields = apply(p.fields, p.changes)
	var buf [1024]byte // on the stack: most sessions fit
	p.Record.Data = string(encodeFields(buf[:0], s.codec, p.fields))
	return nil
}

// parse takes a record's data apart, if that was not done when it was loaded.
func (s *Session) parse(rec *Record) ([]field, error) {
	if rec.Data == s.base.Data && s.stored {
		return s.baseFields(), s.err
	}
	return parseFields(s.codec, rec.Data)
}

// saved notes that p was carried out. What was changed since it was made stays
// changed.
func (s *Session) saved(p *plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range p.changes {
		switch c := s.cells[ch.key]; {
		case c == nil || c.changed != ch.at:
		case ch.gone:
			delete(s.cells, ch.key)
		default:
			c.settle(ch.from, ch.value)
		}
	}
	for _, asked := range []*uint64{&s.cleared, &s.marked, &s.aged, &s.owned, &s.renewed, &s.destroyed} {
		if *asked <= p.clock {
			*asked = 0
		}
	}
	s.id, s.adopted, s.wasSaved = p.ID, false, true
	s.ended = s.ended || p.Ended != ""
	s.stored, s.isNew = p.Record != nil, p.Record == nil
	s.modified = s.clock != p.clock
	if p.Record == nil {
		p.record.Created = s.created
	}
	s.rebase(p.record, p.fields)
}

// rebase puts another record under what was changed in the session.
func (s *Session) rebase(rec Record, fields []field) {
	s.base, s.fields, s.parsed = rec, fields, true
	s.forget()
	if s.destroyed > 0 {
		return // which took them away
	}
	if s.renewed == 0 {
		s.created = rec.Created
	}
	if s.aged == 0 {
		s.maxAge = rec.MaxAge
	}
	if s.owned == 0 {
		s.owner = rec.Owner
	}
}

// forget drops what was decoded from values that are stored no longer.
func (s *Session) forget() {
	for key, c := range s.cells {
		if c.changed > 0 {
			continue
		}
		if encoded, ok := s.field(key); !ok || encoded != c.encoded {
			delete(s.cells, key)
		}
	}
}
