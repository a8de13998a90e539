package sessions

import (
	"time"

	"github.com/sessfs/sessions/internal/sessionfile"
)

// A SessionInfo describes a stored session for a page or a command that lists
// sessions. It has neither the session's ID nor its values. All times are in UTC.
type SessionInfo struct {
	PublicID        string    // see the function PublicID
	Created         time.Time // when the session was made or last renewed
	AuthenticatedAt time.Time // of the last Session.Login; zero for none
	Used            time.Time // of the last save or touch; zero where the store does not know
	IdleDeadline    time.Time // when it ends unless it is used before; zero for never
	Deadline        time.Time // when it ends in any case; zero for never
	Persistence     Persistence
	Meta            string // of Session.SetMeta
}

// Info describes the session of a record, for an [OwnerStore]. publicID is the
// [PublicID] of the session's ID, which with the default Key is the record's key.
func (b *Base) Info(publicID string, rec *Record) SessionInfo {
	idle, end := deadlines(b.timeouts.With(rec.timeouts()), rec.Created, rec.Used)
	return SessionInfo{
		PublicID: publicID, Created: rec.Created.UTC(), AuthenticatedAt: rec.AuthenticatedAt.UTC(), Used: rec.Used.UTC(),
		IdleDeadline: idle, Deadline: end, Persistence: rec.Persistence, Meta: rec.Meta,
	}
}

// deadlines returns when a session ends by either timeout.
func deadlines(t sessionfile.Timeouts, created, used time.Time) (idle, end time.Time) {
	if t.Idle > 0 && !used.IsZero() {
		idle = used.Add(t.Idle).UTC()
	}
	if t.Lifetime > 0 {
		end = created.Add(t.Lifetime).UTC()
	}
	return idle, end
}

// IdleDeadline returns when the session ends unless it is used before, in UTC, for
// a page that warns before it logs out; the zero Time for never. A session that is
// new or modified counts as used now, since its save restarts the idle timeout. A
// touch at the end of the request (see CookieOptions.RenewOnAccess) is counted
// after [Save] alone.
func (s *Session) IdleDeadline() time.Time {
	idle, _ := s.deadlines()
	return idle
}

// Deadline returns when the session ends however much it is used, in UTC; the zero
// Time for never.
func (s *Session) Deadline() time.Time {
	_, end := s.deadlines()
	return end
}

func (s *Session) deadlines() (idle, end time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.home == nil {
		return idle, end
	}
	used := s.base.Used
	if used.IsZero() || s.modified || !s.stored {
		used = time.Now()
	}
	return deadlines(s.home.timeouts.With(sessionfile.Timeouts{Idle: s.idleTimeout, Lifetime: s.lifetime}), s.created, used)
}

// touched notes that a store has restarted the idle timeout.
func (s *Session) touched() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base.Used = time.Now()
}
