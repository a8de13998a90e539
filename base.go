package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sessfs/sessions/internal/sessionfile"
)

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
	// by defer.
	//
	// It returns Apply's error as it is. Its own are [ErrExists] when NewKey is
	// taken, [ErrDeleted] when the session is gone, [ErrTooLarge], and the
	// system's, after which the outcome may be unknown: the session stays
	// modified, and the same values may be saved again.
	Commit(ctx context.Context, c *Change) error
}

// BaseOptions are the properties of a store's sessions.
type BaseOptions struct {
	_ struct{} // no literal without names

	// IDs makes the IDs. The default is 32 random bytes.
	IDs IDs

	// Codec encodes the values of new sessions. The default is [JSON].
	Codec Codec

	// IdleTimeout and Lifetime are as in [FilesystemOptions], with the same
	// defaults.
	IdleTimeout, Lifetime time.Duration

	// Key names the record of an ID. The default is [PublicID], with which a
	// backend never sees an ID.
	Key func(id string) string

	// RenewID makes the ID of a session that is renewed. The default is a new
	// one of Keys. It is for servers that change two keys in one step only
	// when they are alike.
	RenewID func(old string) string

	// KeepMissingID makes Get adopt a valid ID that is not stored; see
	// [FilesystemOptions].
	KeepMissingID bool

	// SelfExpiring is for a backend that ends sessions itself. Its clock alone
	// counts then.
	SelfExpiring bool

	// Intact is for a backend that checks its records. Values are then found
	// when one is first read, not by Get.
	Intact bool

	// Damaged is called with the key of a record that Get finds damaged, and
	// with the error that said so.
	Damaged func(key string, err error)

	// Observe is called for each event of a session; see [FilesystemOptions].
	Observe func(context.Context, Event)
}

// Never, as an IdleTimeout or a Lifetime of a store, switches it off. Sealed
// cookies refuse it: a stolen one has no other end.
const Never = time.Duration(math.MaxInt64)

// The defaults of both carriers: Litestar's 14 days, and the 30 days that NIST SP
// 800-63B-4 names for AAL1.
const (
	DefaultIdleTimeout = 14 * 24 * time.Hour
	DefaultLifetime    = 30 * 24 * time.Hour
)

// newTimeouts fills in the defaults of a store's timeouts.
func newTimeouts(idle, lifetime time.Duration) (sessionfile.Timeouts, error) {
	t := sessionfile.Timeouts{Idle: cmp.Or(idle, DefaultIdleTimeout), Lifetime: cmp.Or(lifetime, DefaultLifetime)}
	err := errors.Join(sessionfile.CheckTimeout("IdleTimeout", t.Idle), sessionfile.CheckTimeout("Lifetime", t.Lifetime))
	if t.Idle == Never {
		t.Idle = 0
	}
	if t.Lifetime == Never {
		t.Lifetime = 0
	}
	return t, err
}

// ErrNotStored is a [Backend]'s error for a key that has no record. Get does
// not return it: it answers with a new session.
var ErrNotStored = errors.New("sessions: not stored")

// A Base is the common part of all stores. A store of one's own embeds one, for
// all of [SessionStore] but List, and for [Updater]. Its sessions are those that
// it made or loaded: others are [ErrForeign]. Its methods may be called by
// several goroutines at once.
type Base struct {
	IDs
	opts     BaseOptions
	timeouts sessionfile.Timeouts
	backend  Backend
}

// NewBase makes the Base of a store. The error lists all that is wrong with the
// options. A nil Backend is for a [Carrier], which uses Load and CommitTo alone.
func NewBase(b Backend, o BaseOptions) (*Base, error) {
	if o.Codec == nil {
		o.Codec = JSON()
	}
	if o.Key == nil {
		o.Key = PublicID
	}
	t, err := newTimeouts(o.IdleTimeout, o.Lifetime)
	if err = errors.Join(checkCodec(o.Codec), err); err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	return &Base{IDs: o.IDs, opts: o, timeouts: t, backend: b}, nil
}

// New makes an empty session. Nothing is stored before it is saved.
func (b *Base) New() *Session { return b.make(b.GenerateKey()) }

func (b *Base) make(id string) *Session {
	return &Session{state: state{
		home: b, id: id, codec: b.opts.Codec, isNew: true, parsed: true, attributes: attributes{created: time.Now().UTC()},
	}}
}

// Get loads a session; see [SessionStore].
func (b *Base) Get(ctx context.Context, id string) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	started := b.now()
	if !b.IsValidKey(id) {
		b.observe(ctx, started, nil, EventMissing, "")
		return b.New(), nil
	}
	key := b.opts.Key(id)
	rec, err := b.backend.Load(ctx, key)
	if err == nil {
		var s *Session
		if s, err = b.Load(id, key, rec); s != nil {
			b.observe(ctx, started, nil, EventLoaded, "")
			return s, nil
		}
	}
	switch {
	case err == nil, errors.Is(err, ErrCorrupt) && rec.Damaged && !rec.Created.IsZero() && b.Expired(&rec):
		b.observe(ctx, started, nil, EventEnded, EndedByExpiry)
		return b.New(), nil
	case errors.Is(err, ErrNotStored):
		b.observe(ctx, started, nil, EventMissing, "")
		if !b.opts.KeepMissingID {
			return b.New(), nil
		}
		s := b.make(id)
		s.isNew, s.adopted, s.base.Created = false, true, s.created
		return s, nil
	case errors.Is(err, ErrCorrupt):
		b.observe(ctx, started, nil, EventDamaged, "")
		if b.opts.Damaged != nil {
			b.opts.Damaged(key, err)
		}
		s := b.New()
		s.lost = key
		return s, nil
	}
	err = fmt.Errorf("sessions: load: %w", err)
	b.observe(ctx, started, err, EventLoaded, "")
	return nil, err
}

// Load makes a session of a record that is stored under key: not new, and
// unmodified. It returns nil, and no error, when the record has expired. The error
// is [ErrCorrupt] when the values were not written by the codec. A store that
// knows the key and not the ID, in a list, passes the key for both.
func (b *Base) Load(id, key string, rec Record) (*Session, error) {
	if rec.Damaged {
		return nil, ErrCorrupt
	}
	if b.Expired(&rec) {
		return nil, nil
	}
	codec := codecNamed(rec.Codec, b.opts.Codec)
	if codec == nil {
		return nil, fmt.Errorf("the session is encoded by codec %q, which is not this store's %q", rec.Codec, b.opts.Codec.Name())
	}
	a := rec.attributes()
	s := &Session{state: state{
		home: b, id: id, key: key, codec: codec, stored: true, attributes: a, loaded: a, base: rec,
	}}
	if !b.opts.Intact {
		s.baseFields()
	}
	return s, s.err
}

// Expired reports whether a record has expired by the timeouts of the store and
// its own.
func (b *Base) Expired(rec *Record) bool {
	return !b.opts.SelfExpiring && b.timeouts.With(rec.timeouts()).Ended(time.Now(), rec.Created, rec.Used)
}

// renewedID makes the ID that a session has after a save which renews it.
func (b *Base) renewedID(s *Session) string {
	if b.opts.RenewID != nil && s.asked[toDestroy] == 0 {
		return b.opts.RenewID(s.id)
	}
	return b.GenerateKey()
}

// CookieMaxAge returns the Max-Age, in seconds, of a cookie for the session of a
// record, 0 for none: that of the template, unless the session has an idle timeout
// or a [Persistence] of its own; no longer than the session can live, or than 400
// days. It is for a [Carrier].
func (b *Base) CookieMaxAge(rec *Record, template int) int {
	a := rec.attributes()
	return cookieMaxAge(b.timeouts, &a, template)
}

// KeyOf returns the key under which a session is stored, or would be: for the
// methods of a store beside Save, Touch for example. The error is [ErrForeign] for
// another store's session, [ErrUpdating], or [Session.Err].
func (b *Base) KeyOf(s *Session) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(b); err != nil {
		return "", err
	}
	return b.keyOf(s), nil
}

func (b *Base) keyOf(s *Session) string {
	if s.key != "" {
		return s.key
	}
	return b.opts.Key(s.id)
}

// Save stores the session; see [SessionStore].
func (b *Base) Save(ctx context.Context, s *Session) error {
	return b.commit(ctx, &Change{base: b, s: s}, b.backend.Commit)
}

// SaveIfModified is Save when [Session.ShouldSave].
func (b *Base) SaveIfModified(ctx context.Context, s *Session) error {
	if !s.ShouldSave() {
		return nil
	}
	return b.Save(ctx, s)
}

// Update reads, changes and saves the session in one step; see [Updater].
func (b *Base) Update(ctx context.Context, s *Session, update func(*Session) error) error {
	return b.commit(ctx, &Change{base: b, s: s, update: update}, b.backend.Commit)
}

// Delete ends the session at once; see [SessionStore].
func (b *Base) Delete(ctx context.Context, s *Session) error {
	return b.commit(ctx, &Change{base: b, s: s, deletes: true}, b.backend.Commit)
}

// CommitTo saves the session by a function in place of the Backend's Commit: for
// a [Carrier] that keeps sessions in the response.
func (b *Base) CommitTo(ctx context.Context, s *Session, to func(context.Context, *Change) error) error {
	return b.commit(ctx, &Change{base: b, s: s}, to)
}

// UpdateTo is Update by a function in place of the Backend's Commit, for a
// [Carrier].
func (b *Base) UpdateTo(ctx context.Context, s *Session, update func(*Session) error, to func(context.Context, *Change) error) error {
	return b.commit(ctx, &Change{base: b, s: s, update: update}, to)
}

// EndIfCleared destroys a session that was emptied by [Session.Clear], for a
// [Carrier]. One that lost its last value otherwise, a flash message perhaps, stays:
// another request may be adding to it.
func (b *Base) EndIfCleared(s *Session) { s.endIfCleared() }

// maxAdopted is how often a save of an adopted ID is tried that others save at
// the same time. An Update's function is called once.
const maxAdopted = 3

func (b *Base) commit(ctx context.Context, c *Change, to func(context.Context, *Change) error) error {
	if err := c.s.acquire(ctx, b); err != nil {
		return err
	}
	defer c.s.release()
	if err := ctx.Err(); err != nil {
		return err
	}
	defer c.end()
	started := b.now()
	err := b.carryOut(ctx, c, to)
	b.observeCommit(ctx, started, c, err)
	return err
}

// endLost ends the record that the Get which made the session found damaged, when
// the session ends or is renewed: the visitor logs out, or in, and another process
// may be able to read it, one that has a newer key for example. It comes before
// the change itself, so that the change can be tried again when this fails.
func (b *Base) endLost(ctx context.Context, c *Change, to func(context.Context, *Change) error) error {
	c.end()
	if !c.deletes {
		ctx = context.WithValue(ctx, reasonKey{}, EndedByLogout)
	}
	lost := &Session{state: state{home: b, key: c.plan.lost, adopted: true}}
	if err := b.commit(ctx, &Change{base: b, s: lost, deletes: true}, to); err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.lost = ""
	return nil
}

// carryOut is commit for those who have the session's turn.
func (b *Base) carryOut(ctx context.Context, c *Change, to func(context.Context, *Change) error) error {
	err := c.try(ctx, to)
	if c.err == errLost {
		if err := b.endLost(ctx, c, to); err != nil {
			return err
		}
		err = c.try(ctx, to)
	}
	for n := 1; n < maxAdopted && errors.Is(err, ErrExists) && c.s.adopted && c.update == nil; n++ {
		err = c.try(ctx, to)
	}
	switch {
	case err != nil:
	case !c.applied:
		return errNotApplied
	default:
		err = c.err // which Commit did not return
	}
	switch {
	case err == nil:
		c.carriedOut()
		return nil
	case c.err != nil, errors.Is(err, ErrExists), errors.Is(err, ErrDeleted), errors.Is(err, ErrTooManySessions), errors.Is(err, ErrTooLarge), errors.Is(err, ErrCorrupt):
		return err
	case c.deletes:
		return fmt.Errorf("sessions: delete: %w", err)
	}
	return fmt.Errorf("sessions: save: %w", err)
}

// errLost is the error of Apply when another record is to end first.
var errLost = errors.New("sessions: the damaged record is to end first")

var errNotApplied = errors.New("sessions: the store's Commit did not call Apply")
