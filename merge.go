package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sessfs/sessions/internal/fields"
)

// A plan is the work of a Change, and the session's knowledge of it
// afterwards.
type plan struct {
	id, key string // after the save; key is "" when nothing is stored then
	ended   string // the key of a record that is to be removed
	lost    string // that of another one, which is to end first; see state.lost

	fresh, same, cleared bool
	renews, merges       bool
	onBase               bool // it builds on the record that the session was loaded from, and nothing else is stored
	shares               bool // that is shared with other sessions, and so is the record to store

	version string    // of the stored record
	expired bool      // the stored record has
	login   time.Time // see Change.Login
	sets    Attributes
	clock   uint64 // the session's, when the plan was made
	changes []change

	record  Record
	fields  []Field // of record
	encoded bool    // fields are in record.Data

	few [2]change // room for the changes of most saves
}

var (
	// ErrDeleted is the error for a session that was ended, by a logout, a
	// renewal or expiry, since it was loaded. Nothing was saved, and nothing will be.
	ErrDeleted = errors.New("sessions: the session was ended")

	// ErrExists is the error for a new session whose ID is taken.
	ErrExists = errors.New("sessions: a session of that ID exists")
)

// check judges the stored record. It returns the record that a change builds on,
// nil for none, and whether the stored one ends with the change.
func (s *Session) check(stored *Record, expired bool) (on *Record, ends bool, err error) {
	taken := stored != nil && !s.stored && !s.adopted
	absent := s.stored && stored == nil || stored != nil && s.isAnother(stored)
	login := s.asked[toLogin] > 0
	switch {
	case s.err != nil:
		return nil, false, s.err
	case s.asked[toDestroy] > 0 && !(taken && !s.isEmpty()):
		return nil, s.ends(stored), nil // there or not
	case taken:
		return nil, false, ErrExists
	case absent && login:
		return nil, false, nil // which begins a session of its own
	case absent:
		return nil, false, ErrDeleted
	case stored == nil:
		return nil, false, nil
	case login && (stored.Damaged || expired || s.becameAnothers(stored)):
		return nil, true, nil
	case stored.Damaged:
		return nil, false, ErrCorrupt
	case expired:
		return nil, false, ErrDeleted
	}
	return stored, false, s.takeCodec(stored.Codec)
}

// ends reports whether the stored record goes when the session ends: not another
// session, nor one that took the ID of a session which was never stored.
func (s *Session) ends(stored *Record) bool {
	return stored != nil && (s.adopted || s.stored && !s.isAnother(stored))
}

// planEnd is plan for Delete.
func (s *Session) planEnd(p *plan, stored *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends(stored) {
		p.ended = p.key
	}
	p.key, p.lost = "", s.lost
}

// becameAnothers reports whether another request has given the session, under the
// same ID, to an owner who is not the one that logs in.
func (s *Session) becameAnothers(stored *Record) bool {
	return stored.Owner != "" && stored.Owner != s.owner && stored.Owner != s.base.Owner
}

// takeCodec makes an adopted session one of the codec that another store, which
// has adopted it before, has given it. A Backend may leave the name out.
func (s *Session) takeCodec(name string) error {
	if name == s.codec.Name() || name == "" {
		return nil
	}
	codec := codecNamed(name, s.home.opts.Codec)
	if !s.adopted || codec == nil {
		return fmt.Errorf("sessions: save: the stored session is encoded by codec %q, and not by %q", name, s.codec.Name())
	}
	s.codec = codec
	return nil
}

// isAnother reports whether the record stored under the session's ID may be
// another visitor's, who took the ID up when this session had ended (see
// FilesystemOptions.KeepMissingID). A session is known by the time at which it
// began. One that was adopted adds to a session that was adopted before it,
// since nothing was stored then that could have ended; one that began later may
// be the next visitor's. Other stores use no ID twice, and may round times.
func (s *Session) isAnother(stored *Record) bool {
	switch {
	case !s.home.opts.KeepMissingID || stored.Created.IsZero():
		return false
	case s.adopted:
		return stored.Created.After(s.base.Created)
	}
	return s.stored && !stored.Created.Equal(s.base.Created)
}

// plan finds out the work of a save.
func (s *Session) plan(p *plan, stored *Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	on, ends, err := s.check(stored, p.expired)
	if err != nil {
		return err
	}
	s.planKeys(p, on, ends)
	if p.key == "" {
		p.record, p.encoded = s.newRecord(), true
		return nil
	}
	s.planAttributes(p, on)
	if p.changes, err = s.changes(p.few[:0]); err != nil {
		return err
	}
	return s.planFields(p, on)
}

// planKeys decides under which ID the session goes on, and which records end.
func (s *Session) planKeys(p *plan, on *Record, ends bool) {
	renews, destroys := s.asked[toRenew] > 0, s.asked[toDestroy] > 0
	p.clock, p.id, p.renews = s.clock, s.id, on != nil && renews
	if ends || p.renews {
		p.ended = p.key
	}
	if renews || destroys {
		p.lost = s.lost
		if !s.isNew() {
			p.id = s.nextID()
			p.key = s.home.opts.Key(p.id)
		}
	}
	if destroys && s.isEmpty() {
		p.key = ""
	}
}

// nextID makes the ID of the session after a save that renews or destroys it.
func (s *Session) nextID() string {
	if renew := s.home.opts.RenewID; renew != nil && s.asked[toDestroy] == 0 {
		return renew(s.id)
	}
	return s.home.GenerateKey()
}

// planAttributes fills in the record to store, without its values.
func (s *Session) planAttributes(p *plan, on *Record) {
	p.fresh, p.sets = on == nil || p.renews, s.asked.attributes()
	if owner := s.owner; owner != "" && s.asked[toSetOwner] > 0 && (on == nil || on.Owner != owner) {
		p.login = s.ownerSet
	}
	if on == nil {
		p.record = s.newRecord()
		return
	}
	was := on.attributes()
	merged := was
	merged.copyAsked(s.attributes, &s.asked, 0)
	p.record, p.same = merged.record(s.codec.Name()), !p.fresh && merged.equal(was)
	p.version = on.Version
	p.merges = s.stored && (on.Version != s.base.Version || on.Data != s.base.Data)
	p.onBase = s.stored && !p.merges && (on.Version != "" || on.Fields == nil && s.base.Fields == nil)
	p.shares = p.onBase && s.base.parsed != nil // another record may be a part of a large text
}

// newRecord returns a record that builds on none, without values.
func (s *Session) newRecord() Record {
	own := s.attributes
	if s.stored { // it has ended, and a login begins another one
		own = attributes{created: s.created}
		own.copyAsked(s.attributes, &s.asked, 0)
	}
	return own.record(s.codec.Name())
}

// planFields fills in the values to store: those of the record that the change
// builds on, with the changes.
func (s *Session) planFields(p *plan, on *Record) (err error) {
	var list []Field
	if on != nil {
		if list, err = s.parse(on); err != nil {
			return err
		}
	}
	p.cleared = s.asked[toClear] > 0
	switch {
	case p.cleared:
		p.fields = fields.Merge(nil, p.changes, p.shares)
	case on == nil || len(p.changes) > 0:
		p.fields = fields.Merge(list, p.changes, p.shares)
	default:
		p.fields, p.record.Data, p.encoded = list, on.Data, on.Fields == nil
	}
	p.same = p.same && slices.Equal(p.fields, list)
	return nil
}

// parse returns the values of a record, which are most often those that the
// session was loaded from.
func (s *Session) parse(rec *Record) ([]Field, error) {
	if rec == &s.base || s.stored && rec.Fields == nil && s.base.Fields == nil && rec.Data == s.base.Data {
		return s.baseFields(), s.err
	}
	return parseValues(s.codec, rec)
}

// saved notes that p was carried out. Changes since it was made stay
// unsaved.
func (s *Session) saved(p *plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range p.changes {
		switch c := s.cells[ch.Key]; {
		case c == nil || c.changed != ch.Mark.at:
		case ch.Gone:
			delete(s.cells, ch.Key)
		default:
			c.settle(ch.Mark.from, ch.Value)
		}
	}
	for r, at := range s.asked {
		if at <= p.clock {
			s.asked[r] = 0
		}
	}
	s.id, s.key, s.adopted, s.wasSaved = p.id, p.key, false, true
	s.ended = s.ended || p.ended != ""
	s.stored = p.key != ""
	s.modified = s.clock != p.clock
	if !p.encoded {
		p.record.Fields = slices.Clip(p.fields)
	}
	if p.record.Used.IsZero() {
		p.record.Used = time.Now() // for a store that passes Base to Apply
	}
	s.setBase(p.record, p.fields)
	if !p.onBase || p.cleared { // otherwise all fields but those of the changes are the same
		s.forget()
	}
}

// rebase puts another record under the session's changes.
func (s *Session) rebase(rec Record, list []Field) {
	s.setBase(rec, list)
	s.forget()
}

// setBase is rebase without forgetting the values of the record before.
func (s *Session) setBase(rec Record, list []Field) {
	s.base, s.fields, s.parsed = rec, list, true
	if s.asked[toDestroy] > 0 {
		return // which took them away
	}
	own := s.attributes
	s.attributes = rec.attributes()
	s.attributes.copyAsked(own, &s.asked, 0)
}

// forget drops values that were decoded from fields stored no longer.
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

// reload brings the session up to the one that get returns for its ID.
func (s *Session) reload(ctx context.Context, get func(context.Context, string) (*Session, error)) error {
	if err := s.acquire(ctx, s.home); err != nil {
		return err
	}
	defer s.release()
	if !s.isStored() && !s.hasEnded() {
		return nil
	}
	now, err := get(ctx, s.ID())
	if err != nil {
		return err
	}
	if !now.isStored() {
		return ErrDeleted
	}
	return s.takeOver(now)
}

func (s *Session) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// takeOver brings the session up to one that was just loaded. Its unsaved changes
// stay.
func (s *Session) takeOver(now *Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isAnother(&now.base) {
		return ErrDeleted
	}
	list := now.baseFields()
	if now.err != nil {
		return now.err
	}
	s.recordInPlaceChanges()
	s.rebase(now.base, list)
	return nil
}

// isEmpty reports whether there is nothing to store. A login is worth storing,
// with values or without.
func (s *Session) isEmpty() bool { return s.owner == "" && !s.hasAny() }
