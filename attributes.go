package sessions

import (
	"time"
)

// attributes are the parts of a session beside its values.
type attributes struct {
	created         time.Time
	authenticatedAt time.Time
	idleTimeout     time.Duration
	lifetime        time.Duration
	persistence     Persistence
	owner           string
	meta            string
	ownerSet        time.Time // when Login or SetOwner was called; no part of a record
}

func (a *attributes) record(codec string) Record {
	return Record{
		Codec: codec, Created: a.created, AuthenticatedAt: a.authenticatedAt, IdleTimeout: a.idleTimeout, Lifetime: a.lifetime,
		Persistence: a.persistence, Owner: a.owner, Meta: a.meta,
	}
}

func (a *attributes) equal(b attributes) bool {
	times := a.created.Equal(b.created) && a.authenticatedAt.Equal(b.authenticatedAt)
	b.created, b.authenticatedAt, b.ownerSet = a.created, a.authenticatedAt, a.ownerSet
	return times && *a == b
}

// A cookieAge is the part of attributes that decides how long a browser keeps the
// session's cookie.
type cookieAge struct {
	idleTimeout, lifetime time.Duration
	persistence           Persistence
}

func (a *attributes) cookieAge() cookieAge {
	return cookieAge{a.idleTimeout, a.lifetime, a.persistence}
}

// A request is a change of the session other than that of one value. The
// later ones are for its attributes.
type request int

const (
	toClear request = iota
	toCompareInPlace
	toRenew // and to begin anew
	toLogin
	toDestroy
	toSetIdleTimeout
	toSetLifetime
	toSetPersistence
	toSetOwner
	toSetMeta
	requests
)

// asked has the time of each last request, by the clock of the session that
// counts changes; zero when it was not. A save resets the requests from before it
// began, and no later ones.
type asked [requests]uint64

// last returns when the last request was made.
func (q *asked) last() (at uint64) {
	for _, t := range q {
		at = max(at, t)
	}
	return at
}

// A tracker counts the changes of a session.
type tracker struct {
	clock    uint64 // of changes
	modified bool   // since it was loaded or last saved
	asked    asked
}

// markChanged counts a change and returns the time of it.
func (t *tracker) markChanged() uint64 {
	t.modified = true
	t.clock++
	return t.clock
}

// attributes returns which attributes were asked for.
func (q *asked) attributes() Attributes {
	return Attributes{
		Created: q[toRenew] > 0, AuthenticatedAt: q[toLogin] > 0, IdleTimeout: q[toSetIdleTimeout] > 0, Lifetime: q[toSetLifetime] > 0,
		Persistence: q[toSetPersistence] > 0, Owner: q[toSetOwner] > 0, Meta: q[toSetMeta] > 0,
	}
}

// copyAsked takes over those attributes of b that were asked for after that time.
func (a *attributes) copyAsked(b attributes, q *asked, after uint64) {
	if q[toRenew] > after {
		a.created = b.created
	}
	if q[toLogin] > after {
		a.authenticatedAt = b.authenticatedAt
	}
	if q[toSetIdleTimeout] > after {
		a.idleTimeout = b.idleTimeout
	}
	if q[toSetLifetime] > after {
		a.lifetime = b.lifetime
	}
	if q[toSetPersistence] > after {
		a.persistence = b.persistence
	}
	if q[toSetOwner] > after {
		a.owner, a.ownerSet = b.owner, b.ownerSet
	}
	if q[toSetMeta] > after {
		a.meta = b.meta
	}
}

// Attributes names those attributes of a [Record] that a change sets.
type Attributes struct {
	Created, AuthenticatedAt, IdleTimeout, Lifetime, Persistence, Owner, Meta bool
}

func (rec *Record) attributes() attributes {
	return attributes{rec.Created, rec.AuthenticatedAt, rec.IdleTimeout, rec.Lifetime, rec.Persistence, rec.Owner, rec.Meta, time.Time{}}
}
