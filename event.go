package sessions

import (
	"context"
	"time"
)

// An Event is something that happened to a session of a store: for metrics and
// logs. It has no ID, key or value. See [FilesystemOptions.Observe].
type Event struct {
	Kind EventKind

	// Reason is why a session ended; "" for other kinds.
	Reason EndReason

	// Duration is the time that the call of the store has taken so far.
	Duration time.Duration

	// Err is the error of an EventLoaded or EventSaved that failed, nil otherwise.
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
	EndedByLimit  EndReason = "limit"   // a login beyond FilesystemOptions.MaxSessions
	EndedByExpiry EndReason = "expiry"  // a request came with the ID of a session that had expired
	EndedInvalid  EndReason = "invalid" // the Valid function of a carrier
)

// An observer is an Observe function, nil for none, which then costs nothing.
type observer func(context.Context, Event)

// observe reports an event of a call that began at started.
func (o observer) observe(ctx context.Context, started time.Time, err error, kind EventKind, reason EndReason) {
	if o != nil {
		o(ctx, Event{Kind: kind, Reason: reason, Duration: time.Since(started), Err: err})
	}
}

// now returns the time where it is observed, and otherwise does not ask for it.
func (o observer) now() (t time.Time) {
	if o != nil {
		t = time.Now()
	}
	return t
}

// reasonKey is the key of an EndReason in the context of a Delete.
type reasonKey struct{}

// withReason returns a context in which a Delete ends a session for that reason.
func withReason(ctx context.Context, reason EndReason) context.Context {
	return context.WithValue(ctx, reasonKey{}, reason)
}
