package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"
)

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
	return &Base{IDs: o.IDs, opts: o, timeouts: t, observer: o.Observe, backend: b}, nil
}

// New makes an empty session. Nothing is stored before it is saved.
func (b *Base) New() *Session { return b.make(b.GenerateKey()) }

func (b *Base) make(id string) *Session {
	return &Session{state: state{
		home: b, id: id, values: values{codec: b.opts.Codec, parsed: true}, attributes: attributes{created: time.Now().UTC()},
	}}
}

// Get loads a session; see [SessionStore].
func (b *Base) Get(ctx context.Context, id string) (*Session, error) {
	return b.GetFrom(ctx, id, b.backend.Load)
}

// GetFrom is Get by a function in place of the Backend's Load: for a [GetToucher].
func (b *Base) GetFrom(ctx context.Context, id string, load func(ctx context.Context, key string) (Record, error)) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	started := b.now()
	if !b.IsValidKey(id) {
		b.observe(ctx, started, nil, EventMissing, "")
		return b.New(), nil
	}
	key := b.opts.Key(id)
	rec, err := load(ctx, key)
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
		s.adopted, s.base.Created = true, s.created
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
		home: b, id: id, key: key, stored: true, values: values{codec: codec, base: rec}, attributes: a, loaded: a.cookieAge(),
	}}
	if !b.opts.Intact {
		s.baseFields()
	}
	return s, s.err
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
	return s.storedUnder(), nil
}

// Save stores the session; see [SessionStore].
func (b *Base) Save(ctx context.Context, s *Session) error {
	return b.commit(ctx, &Change{s: s}, b.backend.Commit)
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
	return b.commit(ctx, &Change{s: s, update: update}, b.backend.Commit)
}

// Delete ends the session at once; see [SessionStore].
func (b *Base) Delete(ctx context.Context, s *Session) error {
	return b.commit(ctx, &Change{s: s, deletes: true}, b.backend.Commit)
}

// CommitTo saves the session by a function in place of the Backend's Commit: for
// a [Carrier] that keeps sessions in the response.
func (b *Base) CommitTo(ctx context.Context, s *Session, to func(context.Context, *Change) error) error {
	return b.commit(ctx, &Change{s: s}, to)
}

// UpdateTo is Update by a function in place of the Backend's Commit, for a
// [Carrier].
func (b *Base) UpdateTo(ctx context.Context, s *Session, update func(*Session) error, to func(context.Context, *Change) error) error {
	return b.commit(ctx, &Change{s: s, update: update}, to)
}

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
		ctx = withReason(ctx, EndedByLogout)
	}
	lost := &Session{state: state{home: b, key: c.plan.lost, adopted: true}}
	if err := b.commit(ctx, &Change{s: lost, deletes: true}, to); err != nil && !errors.Is(err, ErrCorrupt) {
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

var errNotApplied = errors.New("sessions: the store's Commit did not call Apply")

// observeCommit reports the outcome of a change.
func (b *Base) observeCommit(ctx context.Context, started time.Time, c *Change, err error) {
	if b.observer == nil {
		return
	}
	p := &c.plan
	switch {
	case errors.Is(err, ErrDeleted):
		b.observe(ctx, started, nil, EventDropped, "")
	case err != nil:
		b.observe(ctx, started, err, EventSaved, "")
	case c.deletes:
		if p.ended != "" {
			reason, _ := ctx.Value(reasonKey{}).(EndReason)
			if reason == "" {
				reason = EndedByDelete
			}
			b.observe(ctx, started, nil, EventEnded, reason)
		}
	default:
		b.observeSave(ctx, started, p)
	}
}

func (b *Base) observeSave(ctx context.Context, started time.Time, p *plan) {
	switch {
	case p.renews:
		b.observe(ctx, started, nil, EventSaved, "")
		b.observe(ctx, started, nil, EventRenewed, "")
	case p.ended != "":
		reason := EndedByLogout
		if p.expired {
			reason = EndedByExpiry
		}
		b.observe(ctx, started, nil, EventEnded, reason)
		if p.key != "" {
			b.observe(ctx, started, nil, EventCreated, "")
		}
	case p.fresh:
		b.observe(ctx, started, nil, EventCreated, "")
	case p.key != "":
		b.observe(ctx, started, nil, EventSaved, "")
	}
	if p.merges {
		b.observe(ctx, started, nil, EventMerged, "")
	}
}
