package sessions

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/sessfs/sessions/internal/fields"
)

// A Change is one save, or end, of a session on its way to a [Backend]. It is
// valid during the call of Commit that it was given to, for one goroutine.
type Change struct {
	base    *Base
	s       *Session
	update  func(*Session) error // nil for a save
	deletes bool                 // it ends the session, whatever was changed

	applied bool
	err     error     // Apply's
	updated *updating // nil without update
	plan    plan
}

// Key returns the key under which the session is stored now.
func (c *Change) Key() string { return c.base.keyOf(c.s) }

// New reports whether the session was never stored: no other request has it, and
// there is nothing to lock.
func (c *Change) New() bool { return !c.s.stored && !c.s.adopted }

// Base returns the record that the session was loaded from or last saved as, nil
// for none. It must not be changed.
func (c *Change) Base() *Record {
	if !c.s.stored {
		return nil
	}
	return &c.s.base
}

// Apply brings the change up to the stored record; nil is for none. For an Update
// it calls the function. A store that holds a lock passes the record that it has
// read under it; one that compares versions passes Base first, and calls Apply
// again with the stored record when that has moved.
//
// The error is [ErrDeleted] when the session was ended or has expired,
// [ErrExists] when a new session's key is taken, [ErrCorrupt], a [*ValueError],
// [Session.Err], or the function's own. With an error nothing is to be done.
func (c *Change) Apply(stored *Record) error {
	c.applied = true
	if c.err = c.apply(stored); c.err == nil && c.plan.lost != "" {
		c.err = errLost
	}
	return c.err
}

func (c *Change) apply(stored *Record) error {
	c.end() // of an Update, the function's changes before
	c.plan = plan{key: c.Key(), expired: stored != nil && !stored.Damaged && c.base.Expired(stored)}
	if c.deletes {
		c.s.planEnd(&c.plan, stored)
		return nil
	}
	if c.update == nil {
		return c.s.plan(&c.plan, c.base, stored)
	}
	u := &updating{s: c.s}
	if err := u.begin(stored, c.plan.expired); err != nil {
		return err
	}
	c.updated = u
	if err := c.update(c.updated.work); err != nil {
		return err
	}
	c.updated.join()
	return c.updated.work.plan(&c.plan, c.base, stored)
}

// try calls a Commit.
func (c *Change) try(ctx context.Context, commit func(context.Context, *Change) error) error {
	c.applied, c.err = false, nil
	return commit(ctx, c)
}

// end takes back the changes of an Update's function, unless they were carried out.
func (c *Change) end() {
	if c.updated != nil {
		c.updated.end()
		c.updated = nil
	}
}

// carriedOut makes the session equal to the stored one.
func (c *Change) carriedOut() {
	switch {
	case c.deletes:
	case c.updated != nil:
		c.updated.work.saved(&c.plan)
		c.updated.saved = true
	default:
		c.s.saved(&c.plan)
	}
}

// NewKey returns the key under which Record is to be stored, "" when nothing is.
func (c *Change) NewKey() string { return c.plan.key }

// Ended returns the key of the record that is to be removed, since the session is
// destroyed, deleted or renewed; "" when none is.
func (c *Change) Ended() string { return c.plan.ended }

// Fresh reports whether nothing may be stored under NewKey yet.
func (c *Change) Fresh() bool { return c.plan.fresh }

// Renewed reports whether the session goes on under NewKey: Ended is where it was.
func (c *Change) Renewed() bool { return c.plan.renews }

// Login returns when Login or SetOwner was called, and true, for a change that makes
// the session one of an owner whose it was not in the record passed to Apply. A store
// that has ended the owner's sessions since then returns [ErrDeleted] instead of
// storing it.
func (c *Change) Login() (at time.Time, ok bool) { return c.plan.login, !c.plan.login.IsZero() }

// Same reports whether Record is the one passed to Apply, so that only the idle
// timeout restarts. It does not say so of what is stored when that has moved:
// a server that merges looks at Set, Deleted and Attributes.
func (c *Change) Same() bool { return c.plan.same }

// Record returns the record to store under NewKey, with all values in Data.
func (c *Change) Record() *Record {
	p := &c.plan
	if !p.encoded {
		var buf [1024]byte // on the stack: most sessions fit
		p.record.Data, p.encoded = string(formatOf(c.s.codec).Encode(buf[:0], p.fields)), true
	}
	return &p.record
}

// BuildsOn returns the version of the record that was passed to Apply, "" for
// none, and whether the change holds for that one alone. Exact are an Update, a
// renewal, and each change in a store with KeepMissingID, where another visitor may
// have the ID by now: when another version is stored, or nothing any more, Apply
// is called again with that. What is not exact may be carried out on any state of
// the session that is stored: a save by Cleared, Deleted, Set and Attributes, an
// end by removing Ended. When nothing is stored any more a save needs Apply again,
// since it is ErrDeleted or a login that begins anew, and an end is done.
func (c *Change) BuildsOn() (version string, exact bool) {
	return c.plan.version, c.update != nil || c.plan.renews || c.base.opts.KeepMissingID
}

// Attributes names those attributes of a [Record] that a change sets.
type Attributes struct {
	Created, AuthenticatedAt, IdleTimeout, Lifetime, Persistence, Owner, Meta bool
}

// Attributes returns Record without its values, and which attributes the change
// sets: all when it is Fresh. The others are those of the record that was passed
// to Apply.
func (c *Change) Attributes() (rec Record, set Attributes) {
	p := &c.plan
	rec = p.record
	rec.Data, rec.Fields = "", nil
	if p.fresh {
		return rec, Attributes{true, true, true, true, true, true, true}
	}
	return rec, p.sets
}

// Cleared reports whether the values that are stored go, before those of Set come.
func (c *Change) Cleared() bool { return c.plan.cleared }

// Set returns the values that are set, with their keys.
func (c *Change) Set() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, ch := range c.plan.changes {
			if !ch.Gone && !yield(ch.Field) {
				return
			}
		}
	}
}

// Deleted returns the keys of the values that are deleted.
func (c *Change) Deleted() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, ch := range c.plan.changes {
			if ch.Gone && !yield(ch.Key) {
				return
			}
		}
	}
}

// SetVersion notes the version that the record has now.
func (c *Change) SetVersion(v string) { c.plan.record.Version = v }

// SetCreated notes when the session was made, for a store with a clock of its own.
func (c *Change) SetCreated(t time.Time) { c.plan.record.Created = t }

// SetStored notes the record that is stored now, for a server that merges. The error is
// [ErrCorrupt].
func (c *Change) SetStored(rec Record) (err error) {
	p := &c.plan
	p.record, p.encoded = rec, rec.Fields == nil
	p.fields, err = parseValues(c.s.codec, &rec)
	return err
}

// A plan is the work of a Change, and the session's knowledge of it
// afterwards.
type plan struct {
	id, key string // after the save; key is "" when nothing is stored then
	ended   string // the key of a record that is to be removed
	lost    string // that of another one, which is to end first; see state.lost

	fresh, same, cleared bool
	renews, merges       bool

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
func (s *Session) plan(p *plan, b *Base, stored *Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	on, ends, err := s.check(stored, p.expired)
	if err != nil {
		return err
	}
	p.clock, p.id, p.cleared, p.sets = s.clock, s.id, s.asked[toClear] > 0, s.asked.attributes()
	if s.asked[toDestroy] > 0 || s.asked[toRenew] > 0 {
		p.lost = s.lost
	}
	p.renews = on != nil && s.asked[toRenew] > 0
	if ends || p.renews {
		p.ended = p.key
	}
	if (s.stored || s.adopted) && (s.asked[toDestroy] > 0 || s.asked[toRenew] > 0) {
		p.id = b.renewedID(s)
		p.key = b.opts.Key(p.id)
	}
	p.record = s.attributes.record(s.codec.Name())
	if s.asked[toDestroy] > 0 && s.isEmpty() {
		p.key, p.encoded = "", true
		return nil
	}
	p.fresh = on == nil || p.renews
	if owner := s.owner; owner != "" && s.asked[toSetOwner] > 0 && (on == nil || on.Owner != owner) {
		p.login = s.ownerSet
	}
	if p.changes, err = s.changes(p.few[:0]); err != nil {
		return err
	}
	return s.merge(p, on)
}

// merge fills in the record to store: the stored one, with the changes.
func (s *Session) merge(p *plan, stored *Record) error {
	if stored == nil {
		if s.stored { // it has ended, and a login begins another one
			own := attributes{created: s.created}
			own.set(s.attributes, &s.asked, 0)
			p.record = own.record(s.codec.Name())
		}
		p.fields = fields.Merge(nil, p.changes)
		return nil
	}
	p.version = stored.Version
	was := stored.attributes()
	merged := was
	merged.set(s.attributes, &s.asked, 0)
	p.record = merged.record(s.codec.Name())
	list, err := s.parse(stored)
	if err != nil {
		return err
	}
	p.merges = s.stored && (stored.Version != s.base.Version || stored.Data != s.base.Data)
	switch {
	case s.asked[toClear] > 0:
		p.fields = fields.Merge(nil, p.changes)
	case len(p.changes) > 0:
		p.fields = fields.Merge(list, p.changes)
	default:
		p.fields, p.record.Data, p.encoded = list, stored.Data, stored.Fields == nil
	}
	p.same = !p.fresh && merged.equal(was) && slices.Equal(p.fields, list)
	return nil
}

// parse returns the values of a record, which are most often those that the
// session was loaded from.
func (s *Session) parse(rec *Record) ([]Field, error) {
	if s.stored && rec.Fields == nil && s.base.Fields == nil && rec.Data == s.base.Data {
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
	s.stored, s.isNew = p.key != "", p.key == ""
	s.modified = s.clock != p.clock
	if !p.encoded {
		p.record.Fields = slices.Clip(p.fields)
	}
	if p.record.Used.IsZero() {
		p.record.Used = time.Now() // for a store that passes Base to Apply
	}
	s.rebase(p.record, p.fields)
}

// rebase puts another record under the session's changes.
func (s *Session) rebase(rec Record, list []Field) {
	s.base, s.fields, s.parsed = rec, list, true
	s.forget()
	if s.asked[toDestroy] > 0 {
		return // which took them away
	}
	own := s.attributes
	s.attributes = rec.attributes()
	s.attributes.set(own, &s.asked, 0)
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
