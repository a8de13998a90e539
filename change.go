package sessions

import (
	"context"
	"errors"
	"iter"
	"time"
)

// A Change is one save, or end, of a session on its way to a [Backend]. It is
// valid during the call of Commit that it was given to, for one goroutine.
type Change struct {
	s        *Session
	update   func(*Session) error // nil for a save
	imported *imported            // nil but for an import
	deletes  bool                 // it ends the session, whatever was changed

	applied bool
	err     error       // Apply's
	updated *updateCall // nil without update
	plan    plan
}

// Key returns the key under which the session is stored now.
func (c *Change) Key() string { return c.s.storedUnder() }

// New reports whether the session was never stored: no other request has it, and
// there is nothing to lock.
func (c *Change) New() bool { return c.s.isNew() }

// Base returns the record that the session was loaded from or last saved as, nil
// for none. It must not be changed, nor kept after Commit. Its Used is the last
// use at that time, by which Apply judges expiry when it is passed Base, unless the
// store is SelfExpiring.
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

// errLost is the error of Apply when another record is to end first.
var errLost = errors.New("sessions: the damaged record is to end first")

func (c *Change) apply(stored *Record) error {
	c.end() // of an Update, the function's changes before
	c.plan = plan{key: c.Key(), expired: stored != nil && !stored.Damaged && c.s.home.Expired(stored)}
	switch {
	case c.imported != nil:
		return c.imported.plan(&c.plan, c.s.home, stored)
	case c.deletes:
		c.s.planEnd(&c.plan, stored)
		return nil
	}
	if c.update == nil {
		return c.s.plan(&c.plan, stored)
	}
	u := &updateCall{s: c.s}
	if err := u.begin(stored, c.plan.expired); err != nil {
		return err
	}
	c.updated = u
	if err := c.update(c.updated.work); err != nil {
		return err
	}
	c.updated.join()
	return c.updated.work.plan(&c.plan, stored)
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
// timeout restarts. The stored record may have moved since: a server that merges
// looks at Set, Deleted and Attributes.
func (c *Change) Same() bool { return c.plan.same }

// Record returns the record to store under NewKey, with all values in Data. It
// must not be changed, nor kept after Commit; its strings may be kept.
func (c *Change) Record() *Record {
	p := &c.plan
	if !p.encoded {
		p.record.Data, p.encoded = formatOf(c.s.codec).Text(p.fields), true
		if p.shares {
			p.record.parsed = newParsedData(c.s.codec, p.record.Data, p.fields)
		}
	}
	return &p.record
}

// Size returns how many bytes the values of Record and their keys have, for a server
// that keeps each by itself.
func (c *Change) Size() (n int) {
	for _, f := range c.plan.fields {
		n += len(f.Key) + len(f.Value)
	}
	return n
}

// BuildsOn returns the version of the record that was passed to Apply, "" for
// none, and whether the change holds for that one alone. Exact are an Update, a
// renewal, and each change in a store with KeepMissingID, where another visitor may
// have the ID by now: when another version is stored, or nothing any more, Apply
// is called again with that. Any other change may be carried out on each state of
// the session that is stored: a save by Cleared, Deleted, Set and Attributes, an
// end by removing Ended. When nothing is stored any more a save needs Apply again,
// since it is ErrDeleted or a login that begins anew, and an end is done.
func (c *Change) BuildsOn() (version string, exact bool) {
	return c.plan.version, c.update != nil || c.plan.renews || c.s.home.opts.KeepMissingID
}

// Attributes returns a copy of Record without its values, and which attributes
// the change sets: all when it is Fresh. The others are those of the record that
// was passed to Apply.
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

// Set returns the values that are set, with their keys, in the order of the keys.
func (c *Change) Set() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, ch := range c.plan.changes {
			if !ch.Gone && !yield(ch.Field) {
				return
			}
		}
	}
}

// Deleted returns the keys of the values that are deleted, sorted.
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
	p.record, p.encoded, p.onBase = rec, rec.Fields == nil, false
	p.fields, err = parseValues(c.s.codec, &rec)
	return err
}

// A Backend keeps the records of a store, each under a key. It is all that a
// store of one's own has to write: a [Base] does the rest. Its methods are
// called by several goroutines at once.
type Backend interface {
	// Load returns the record stored under a key. The error is [ErrNotStored] when
	// nothing is, and [ErrCorrupt] when it is no session; a Record that is Damaged
	// may then say when that began and was last used. Any other error is a
	// failure of the system, and the caller's; it never becomes a new session.
	Load(ctx context.Context, key string) (Record, error)

	// Commit carries out one change: all of it, or nothing.
	//
	// It calls c.Apply with the record stored under c.Key, and then either stores
	// c.Record under c.NewKey and removes c.Ended, or sends the parts of
	// the change to a server that does. From before Apply until that is done, no
	// other request may change the record; a store that cannot lock compares
	// versions, and calls Apply again when another has changed the record.
	// Apply runs code of the application, which may panic: locks are released
	// by defer. The session is used now, unless Record has a time of last use: it is
	// one of another store then (see [Mover]), and its idle timeout goes on.
	//
	// It returns Apply's error as it is. Its own are [ErrExists] when NewKey is
	// taken, [ErrDeleted] when the session is gone, [ErrTooLarge], and the
	// system's, after which the outcome may be unknown: the session stays
	// modified, and the same values may be saved again.
	Commit(ctx context.Context, c *Change) error
}

var (
	// ErrNotStored is a [Backend]'s error for a key that has no record. Get does
	// not return it: it answers with a new session.
	ErrNotStored = errors.New("sessions: not stored")

	// ErrTooManySessions is the error for a login that would give an owner more
	// sessions than the store allows. Nothing was stored.
	ErrTooManySessions = errors.New("sessions: the owner has too many sessions")

	// ErrTooLarge is the error for a session larger than its store, or its
	// cookies, can keep.
	ErrTooLarge = errors.New("sessions: the session is too large")
)
