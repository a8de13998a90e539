package sessions

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Created returns when the session was made, or renewed, in UTC. An absolute
// timeout counts from then.
func (s *Session) Created() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.created
}

// AuthenticatedAt returns when [Session.Login] was called last, in UTC; the zero
// Time when it never was. A handler that changes a password or an
// address asks for the password again when that is long ago (ASVS 5.0 7.5.1 and
// 7.5.3).
func (s *Session) AuthenticatedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.authenticatedAt
}

// Renew makes a new ID for the session with the next save, and ends it under the
// old one. To be called at any change of privilege (ASVS 5.0 7.2.4), when the
// user has just proved who they are: the absolute timeout counts anew from here.
// [Session.Login] does it.
func (s *Session) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renew()
}

func (s *Session) renew() {
	s.asked[toRenew] = s.markChanged()
	s.created = time.Now().UTC()
}

// Login makes the session that of an owner who has just been authenticated, the
// ID of a user for example. With the next save it has a new ID, and the old one
// has ended (ASVS 5.0 7.2.4); both timeouts count from here.
//
// An anonymous session keeps its values, and so does that of the same owner. That
// of another owner ends, with its values, timeouts and Meta, and a new one begins.
//
// When the session has ended meanwhile, by a logout, a second click on the login
// or a timeout, the save stores a session of its own, with the owner and the
// values that this request has set. Not so in the function of an Update: the
// Update of a session that has ended is [ErrDeleted] before its function is
// called.
//
// Login panics when the owner is empty. It does no I/O, and a second one of the same
// owner before the save only counts the timeouts anew.
func (s *Session) Login(owner string) {
	if owner == "" {
		panic("sessions: Login: the owner is empty")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != "" && s.owner != owner {
		s.destroy()
	}
	s.renew()
	s.authenticatedAt, s.asked[toLogin] = s.created, s.markChanged()
	s.owner, s.ownerSet, s.asked[toSetOwner] = owner, time.Now(), s.markChanged()
}

// Destroy ends the session with the next save, and its cookie with it. To be
// called at logout (ASVS 5.0 7.4.1). All values are gone at once. A value that is set
// afterwards, a farewell flash message say, goes into a session of a new ID.
func (s *Session) Destroy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.destroy()
}

// destroy leaves nothing of the requests before.
func (s *Session) destroy() {
	s.clear()
	s.asked = asked{toClear: s.asked[toClear], toDestroy: s.markChanged()}
	s.attributes = attributes{created: time.Now().UTC()}
}

// IdleTimeout returns the session's own idle timeout; zero means that of its store.
func (s *Session) IdleTimeout() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idleTimeout
}

// SetIdleTimeout sets an idle timeout of the session's own: "remember me". Its
// cookie is kept by the browser for as long, but no longer than 400 days. A
// fraction of a second is rounded up. Zero, and less, means the store's.
func (s *Session) SetIdleTimeout(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d = wholeSeconds(d); d != s.idleTimeout {
		s.idleTimeout, s.asked[toSetIdleTimeout] = d, s.markChanged()
	}
}

// Lifetime returns the session's own absolute timeout; zero means that of its
// store.
func (s *Session) Lifetime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lifetime
}

// SetLifetime sets an absolute timeout of the session's own, which counts from
// [Session.Created]. A fraction of a second is rounded up. Zero, and less, means
// the store's.
func (s *Session) SetLifetime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d = wholeSeconds(d); d != s.lifetime {
		s.lifetime, s.asked[toSetLifetime] = d, s.markChanged()
	}
}

// wholeSeconds rounds up: a cookie has whole seconds. Less than zero
// becomes zero, and the largest Duration, which has a fraction of a second, loses
// that.
func wholeSeconds(d time.Duration) time.Duration {
	whole := max(0, d.Truncate(time.Second))
	if whole < d && whole <= math.MaxInt64-time.Second {
		whole += time.Second
	}
	return whole
}

// Persistence returns how long a browser keeps the session's cookie.
func (s *Session) Persistence() Persistence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.persistence
}

// SetPersistence sets how long a browser keeps the session's cookie.
func (s *Session) SetPersistence(p Persistence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != s.persistence {
		s.persistence, s.asked[toSetPersistence] = p, s.markChanged()
	}
}

// Owner returns whose session it is, "" when it is anonymous.
func (s *Session) Owner() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owner
}

// SetOwner sets the owner, "" for none, without a new ID, so that an [OwnerStore]
// finds all sessions of that owner. At a login, call [Session.Login] instead.
func (s *Session) SetOwner(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner != s.owner {
		s.owner, s.ownerSet, s.asked[toSetOwner] = owner, time.Now(), s.markChanged()
	}
}

// MaxMeta is the greatest length of [Session.Meta], in bytes: enough for a
// User-Agent and an address.
const MaxMeta = 1024

// Meta returns the text of SetMeta, "" for none.
func (s *Session) Meta() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta
}

// SetMeta notes a text, in place of the one before, for pages that list an
// owner's sessions, the device and the address for example, in any form. It is
// cut at [MaxMeta] bytes, between two characters, and bytes that are not UTF-8
// are left out.
func (s *Session) SetMeta(text string) {
	text = strings.ToValidUTF8(text, "")
	if len(text) > MaxMeta {
		n := MaxMeta
		for !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if text != s.meta {
		s.meta, s.asked[toSetMeta] = text, s.markChanged()
	}
}
