package sessions

import (
	"context"
	"iter"
	"time"
)

// A SessionStore makes, keeps and finds sessions. Its methods may be called by
// several goroutines at once; with a store that processes or machines share,
// also by those.
//
// The further abilities of a store are found by asking whether it implements
// [Updater], [Toucher], [GetToucher], [Clearer], [OwnerStore] or [Mover].
//
// A store of one's own is a [Backend], two methods, and a [Base], which does the
// rest. The example of package storetest is one, and the package finds the
// faults that are left in it.
type SessionStore interface {
	// New makes an empty session with a new ID. Nothing is stored yet.
	New() *Session

	// Get loads the session of that ID. For an ID that is not valid, not
	// known, expired or unreadable because damaged it returns a new session
	// with a new ID. A failure of the system is an error, never a new session.
	Get(ctx context.Context, id string) (*Session, error)

	// Save stores the session, or ends it when [Session.Destroy] was called.
	// The values that another request has saved since it was loaded are kept,
	// except for those that this session changed. After a save the session holds
	// the merged values, is not new and not modified; after an error it is
	// as it was, and so is the stored one.
	//
	// The error is [ErrDeleted] when the session was ended or has expired since
	// it was loaded, [ErrExists] when a new session's ID is taken, [ErrTooLarge], or
	// a [*ValueError].
	Save(ctx context.Context, s *Session) error

	// SaveIfModified is Save when [Session.ShouldSave].
	SaveIfModified(ctx context.Context, s *Session) error

	// Delete ends the session at once. That it is not stored is no error.
	Delete(ctx context.Context, s *Session) error

	// List returns the IDs of the stored sessions that Get loads, in no
	// particular order. An error comes with the ID "". After an error about one
	// session the list goes on. It ends with that of ctx, when ctx ends before, and
	// with one of the listing itself.
	List(ctx context.Context) iter.Seq2[string, error]

	// IsValidKey reports whether key has the form of an ID of this store.
	IsValidKey(key string) bool

	// GenerateKey makes an ID that cannot be guessed.
	GenerateKey() string
}

// An Updater is a store that can read, change and save a session in one step.
type Updater interface {
	// Update locks the session, brings it up to the stored one, calls update
	// and saves. No other save comes in between, so that a counter counts.
	//
	// update gets a copy of the session to work on. When it succeeds the
	// session becomes that copy. When update or the save fails, nothing is
	// saved and update's changes to the copy are dropped, nested changes aside;
	// the error is update's or one of Save's. Changes to the session
	// itself meanwhile, by another goroutine, are saved with the Update, and
	// stay when the Update fails. Of a session that has ended, Update is ErrDeleted
	// and update is not called, though it would have called Login.
	//
	// While update runs, every attempt to save or end the session is
	// [ErrUpdating], in update and in other goroutines, and so is the
	// beginning of a response. update must not call the store for another
	// session of the same ID, which would wait for the lock. update may be
	// called again: by a store that cannot lock, and after a login in place of a
	// session that could not be read.
	Update(ctx context.Context, s *Session, update func(*Session) error) error
}

// A Toucher is a store whose sessions can be kept alive without a save.
type Toucher interface {
	// Touch restarts the idle timeout of a stored session, unless that was
	// done less than interval ago, and reports whether it did. It does not
	// wait for others: while one of them saves or updates the session, Touch
	// does nothing, and that is no error. The error is ErrDeleted when the
	// session is not stored or has expired.
	Touch(ctx context.Context, s *Session, interval time.Duration) (bool, error)
}

// A GetToucher is a [Toucher] that can touch a session as it loads it, in one round trip to a
// server. [Cookies] uses it for RenewOnAccess.
type GetToucher interface {
	// GetTouch is Get and, for a stored session, Touch. It reports whether it has
	// restarted the idle timeout.
	GetTouch(ctx context.Context, id string, interval time.Duration) (*Session, bool, error)
}

// A Clearer is a store whose sessions can be ended all at once.
type Clearer interface {
	// DeleteAll ends every stored session and returns how many those were. It
	// goes on after an error and returns all of them joined. A session that is
	// saved or renewed at the same moment is ended, or begins after the end.
	DeleteAll(ctx context.Context) (int, error)
}

// An OwnerStore is a store that finds sessions by their owner: for the page on
// which users see and end their sessions, and for an administrator who ends
// them (ASVS 5.0 7.4.2, 7.4.3, 7.5.2).
//
// It names sessions by their public IDs (see [PublicID]) alone: no ID leaves the
// store. Sessions without an owner are not those of the owner "".
type OwnerStore interface {
	// ListOwner returns the sessions of an owner that Get loads, in no particular
	// order. The one of the current request has its [Session.PublicID]. An error
	// comes with the zero SessionInfo; the list goes on or ends as List does.
	ListOwner(ctx context.Context, owner string) iter.Seq2[SessionInfo, error]

	// DeleteOwner ends the sessions of an owner, apart from those with the
	// public IDs to keep, and returns how many those were. It goes on after an
	// error and returns all of them joined. A session that is saved, renewed or
	// given to the owner at the same moment is ended, or begins after the end.
	DeleteOwner(ctx context.Context, owner string, keep ...string) (int, error)

	// DeleteOne ends the session of that public ID, if it is one of the owner's,
	// and reports whether it did. A session that was renewed since it was listed
	// has another public ID.
	DeleteOne(ctx context.Context, owner, publicID string) (bool, error)
}
