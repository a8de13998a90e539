package sessions

import (
	"context"
	"errors"
	"time"
)

// An Event is something that happened to a session of a store: for metrics and
// logs. It has no ID, key or value. See [FilesystemOptions.Observe].
type Event struct {
	Kind EventKind

	// Reason is why a session ended; "" for other kinds.
	Reason EndReason

	// Duration is how long the call of the store took that the event is of.
	Duration time.Duration

	// Err is why an EventLoaded or EventSaved failed. It is nil when it did not.
	Err error
}

// EventKind is the kind of an event. Of one call of a store there may be several
// events: a save that renews is an EventSaved and an EventRenewed.
type EventKind string

const (
	EventLoaded  EventKind = "loaded"  // a stored session was loaded, or could not be; see Err
	EventMissing EventKind = "missing" // an ID that is not stored, or has no valid form
	EventDamaged EventKind = "damaged" // a session that is stored could not be read
	EventCreated EventKind = "created" // a new session was stored
	EventSaved   EventKind = "saved"   // a stored session was saved, or any could not be; see Err
	EventMerged  EventKind = "merged"  // a save found, and kept, another request's changes
	EventDropped EventKind = "dropped" // a save was ErrDeleted: another request had ended the session
	EventRenewed EventKind = "renewed" // a session got a new ID
	EventEnded   EventKind = "ended"   // a session was ended; see Reason
)

// EndReason is why a session ended.
type EndReason string

const (
	EndedByLogout EndReason = "logout"  // Session.Destroy, or a login of another owner
	EndedByDelete EndReason = "delete"  // the store's Delete
	EndedByOwner  EndReason = "owner"   // DeleteOwner or DeleteAll
	EndedByExpiry EndReason = "expiry"  // a request came with the ID of a session that had expired
	EndedInvalid  EndReason = "invalid" // the Valid function of a carrier
)

// observe calls Observe, if it is set.
func (b *Base) observe(ctx context.Context, started time.Time, err error, kind EventKind, reason EndReason) {
	if b.opts.Observe != nil {
		b.opts.Observe(ctx, Event{Kind: kind, Reason: reason, Duration: time.Since(started), Err: err})
	}
}

// now returns the time where it is observed, and otherwise does not ask for it.
func (b *Base) now() (t time.Time) {
	if b.opts.Observe != nil {
		t = time.Now()
	}
	return t
}

// observeCommit reports the outcome of a change.
func (b *Base) observeCommit(ctx context.Context, started time.Time, c *Change, err error) {
	if b.opts.Observe == nil {
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

// reasonKey is the key of an EndReason in the context of a Delete.
type reasonKey struct{}
