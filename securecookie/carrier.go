package securecookie

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/httpheader"
)

// A Carrier keeps sessions in cookies, and nothing on the server. It is for
// [sessions.NewMiddleware], or for direct use like werkzeug's load_cookie and
// save_cookie:
//
//	s, err := carrier.Load(r)
//	…
//	err = carrier.Commit(w, r, s) // before the first byte of the response
//
// A handler uses such a session like one in a store. But any session in a cookie has
// these limits:
//
//   - It cannot be ended on the server. Destroy and Renew remove the old cookie from
//     the browser; a copy of it works until it expires. The remedies are short
//     timeouts, [CarrierOptions.NotBefore], and a [sessions.FilesystemSessionStore]
//     instead.
//   - An old cookie can be sent again, and brings back the values of its time.
//     Payments, coupons and counters of failed logins do not belong here.
//   - Of requests that overlap, the last response wins with all of its values, and
//     the changes of the others are lost: there is nothing to merge with.
//   - It travels with every request, and has to fit in the cookies.
//   - It can be saved in the response's header only. Changes after the first byte, in
//     a WebSocket for example, are lost, and [sessions.Save] returns an error.
//
// A Carrier is made by [NewCarrier], does not change, and may be used by several
// goroutines at once.
type Carrier struct {
	ring       *KeyRing
	base       *sessions.Base
	template   http.Cookie
	renew      time.Duration
	maxAge     time.Duration
	lifetime   time.Duration
	codec      sessions.Codec
	maxCookies int
	notBefore  func(ctx context.Context, owner string) (time.Time, error)
	valid      func(context.Context, *sessions.Session) (bool, error)
}

var (
	_ sessions.Carrier        = (*Carrier)(nil)
	_ sessions.CarrierUpdater = (*Carrier)(nil)
	_ sessions.Reloader       = (*Carrier)(nil)
)

// CookieName returns the name of the cookie. The names of chunks begin with it.
func (c *Carrier) CookieName() string { return c.template.Name }

// New returns a new, empty session.
func (c *Carrier) New() *sessions.Session {
	return c.base.New()
}

// Load returns the session in the request's cookies, or a new one when they hold
// none that is valid. Of two, as after a change of the cookie's Path or Domain, it
// returns the one that was sealed last. The error is that of
// [CarrierOptions.NotBefore] or of Valid.
//
// Invalid cookies stay in the browser until a session is saved over them: where
// processes get a new key one after the other, another one may know the key.
func (c *Carrier) Load(r *http.Request) (*sessions.Session, error) {
	t, ok := c.sent(r)
	if !ok {
		return c.New(), nil
	}
	s, err := c.load(r.Context(), t)
	if s == nil && err == nil {
		s = c.New()
	}
	return s, err
}

// load returns the session of a token, or nil when it is not valid.
func (c *Carrier) load(ctx context.Context, t token) (*sessions.Session, error) {
	if ok, err := c.counts(ctx, t.record.Owner, t.record.Created); !ok {
		return nil, err
	}
	s, err := c.base.Load(t.id, t.id, t.record)
	if err != nil {
		return nil, nil // sealed under our key, but not written by the codec
	}
	if ok, err := c.valid(ctx, s); !ok {
		return nil, err
	}
	return s, nil
}

// counts reports whether NotBefore allows a session.
func (c *Carrier) counts(ctx context.Context, owner string, created time.Time) (bool, error) {
	if c.notBefore == nil || owner == "" {
		return true, nil
	}
	from, err := c.notBefore(ctx, owner)
	if err != nil {
		return false, fmt.Errorf("securecookie: NotBefore: %w", err)
	}
	return !created.Before(from), nil
}

// Reload asks NotBefore and Valid again about a session that came in a cookie. The
// error is theirs, or [sessions.ErrDeleted] when one of them refuses the session or
// its Lifetime has ended. The values stay as they are, since there is no newer state
// on the server.
func (c *Carrier) Reload(ctx context.Context, s *sessions.Session) error {
	if err := s.Err(); err != nil || s.New() {
		return err
	}
	if over(s.Created().Add(cmp.Or(s.Lifetime(), c.lifetime)), c.ring.now()) {
		return sessions.ErrDeleted
	}
	ok, err := c.counts(ctx, s.Owner(), s.Created())
	if ok {
		ok, err = c.valid(ctx, s)
	}
	if !ok {
		return cmp.Or(err, sessions.ErrDeleted)
	}
	return nil
}

// sent returns the token in the request's cookies that was sealed last.
func (c *Carrier) sent(r *http.Request) (newest token, ok bool) {
	found := c.find(r.Header["Cookie"])
	for name, value := range found.candidates {
		if t, err := c.open(name, value); err == nil && (!ok || t.issued.After(newest.issued)) {
			newest, ok = t, true
		}
	}
	return newest, ok
}

// Commit seals the session into cookies if it is modified, or if it is to be
// renewed on access. A new session without values and owner gets no cookie. One that
// has lost all of its values and has no owner is destroyed, and so is one that was
// emptied by [sessions.Session.Clear]: the request's cookies of the session then
// expire. So do chunks that a smaller session does not need any more.
//
// Commit adds Cookie to the response's Vary. It sets Cache-Control to private where
// there is none, and adds no-store to it with Set-Cookie. After an error it has set
// no cookie and the session is as it was. The error is [sessions.ErrTooLarge], a
// [*sessions.ValueError], [sessions.Session.Err], [sessions.ErrForeign] for a session
// of another carrier or store, or [sessions.ErrDeleted] when the session's Lifetime
// has ended since it was loaded. The idle timeout counts between requests: a request
// that takes longer has used the session meanwhile.
func (c *Carrier) Commit(w http.ResponseWriter, r *http.Request, s *sessions.Session) error {
	if err := s.Err(); err != nil {
		return err
	}
	defer httpheader.Personal(w.Header())
	if !s.ShouldSave() && !c.due(r, s) {
		return nil
	}
	return c.base.CommitTo(r.Context(), s, func(_ context.Context, change *sessions.Change) error {
		c.endIfEmpty(s)
		return c.commit(w, r, change)
	})
}

// Update calls update once, on the session as it came with the request, and seals it
// like Commit. The error is update's or one of Commit's. After the response has
// begun w is nil, which is an error.
func (c *Carrier) Update(w http.ResponseWriter, r *http.Request, s *sessions.Session, update func(*sessions.Session) error) error {
	if w == nil {
		return errors.New("securecookie: the response has begun, and the session can be saved in its header only")
	}
	defer httpheader.Personal(w.Header())
	changed := func(s *sessions.Session) error {
		if err := update(s); err != nil {
			return err
		}
		c.endIfEmpty(s)
		return nil
	}
	return c.base.UpdateTo(r.Context(), s, changed, func(_ context.Context, change *sessions.Change) error {
		return c.commit(w, r, change)
	})
}

// endIfEmpty destroys a session that was cleared, or that has no values and no owner.
func (c *Carrier) endIfEmpty(s *sessions.Session) {
	c.base.EndIfCleared(s)
	if s.Len() == 0 && s.Owner() == "" {
		s.Destroy()
	}
}

// commit seals the session after a change into cookies.
func (c *Carrier) commit(w http.ResponseWriter, r *http.Request, change *sessions.Change) error {
	if err := c.apply(change); err != nil {
		return err
	}
	cookie, parts, err := c.cookies(change)
	if err != nil {
		return err
	}
	c.set(w.Header(), r.Header["Cookie"], cookie, parts)
	return nil
}

// apply applies a change to the stored record. That is the one that the session was
// loaded from, since no other request can change it, or none when its lifetime has
// ended since.
func (c *Carrier) apply(change *sessions.Change) error {
	stored := change.Base()
	if stored != nil && over(c.times(stored).Absolute, c.ring.now()) {
		stored = nil
	}
	return change.Apply(stored)
}

// due reports whether the idle timeout has to be restarted.
func (c *Carrier) due(r *http.Request, s *sessions.Session) bool {
	if c.renew == 0 || s.New() {
		return false
	}
	t, ok := c.sent(r)
	return ok && t.id == s.ID() && c.ring.now().Sub(t.issued) >= c.renew
}

// cookies returns the template of a session's cookies and their values: none for a
// session that ends.
func (c *Carrier) cookies(change *sessions.Change) (http.Cookie, parts, error) {
	cookie := c.template
	if change.NewKey() == "" {
		return cookie, parts{}, nil
	}
	rec := change.Record()
	cookie.MaxAge = c.base.CookieMaxAge(rec, cookie.MaxAge)
	plaintext, err := appendSession(nil, change.NewKey(), rec)
	if err != nil {
		return cookie, parts{}, err
	}
	p, err := c.split(plaintext, c.times(rec))
	return cookie, p, err
}

// times returns the times of a session that is sealed now.
func (c *Carrier) times(rec *sessions.Record) Times {
	now := c.ring.now()
	return Times{
		IssuedAt: now,
		Idle:     now.Add(cmp.Or(rec.IdleTimeout, c.maxAge)),
		Absolute: rec.Created.Add(cmp.Or(rec.Lifetime, c.lifetime)),
	}
}

// open opens a value that was sealed for a name: the cookie's, or that of a set
// of chunks.
func (c *Carrier) open(name, value string) (token, error) {
	plaintext, times, err := c.ring.OpenCookie(name, value)
	if err != nil {
		return token{}, err
	}
	t, ok := parseSession(plaintext)
	if !ok {
		return token{}, ErrInvalid
	}
	t.issued, t.record.Used = times.IssuedAt, times.IssuedAt
	// The times in the seal follow from the timeouts of then. If the timeouts were
	// shortened since, the shorter ones count.
	now, today := c.ring.now(), c.times(&t.record)
	idle := today.Idle.Sub(today.IssuedAt)
	if over(t.issued.Add(idle), now) || over(today.Absolute, now) {
		return token{}, ErrInvalid
	}
	return t, nil
}

// Serialize returns the session as one value, for other places than cookies, like
// werkzeug's serialize. The value expires at the given time, or earlier by the
// session's timeouts; the zero Time leaves it to those. The session does not change.
// The limit is [MaxCookieData], independent of MaxCookies. The errors are those of
// Commit, and one for a destroyed session.
//
// To serialise a map, put it into a new session:
//
//	s := carrier.New()
//	s.SetAll(maps.All(values))
//	value, err := carrier.Serialize(s, time.Now().Add(time.Hour))
func (c *Carrier) Serialize(s *sessions.Session, expires time.Time) (value string, err error) {
	if err := s.Err(); err != nil {
		return "", err
	}
	err = c.base.CommitTo(context.Background(), s.Clone(), func(_ context.Context, change *sessions.Change) error {
		if err := c.apply(change); err != nil {
			return err
		}
		if change.NewKey() == "" {
			return errors.New("securecookie: the session is destroyed")
		}
		plaintext, err := appendSession(nil, change.NewKey(), change.Record())
		if err != nil {
			return err
		}
		times := c.times(change.Record())
		if !expires.IsZero() && expires.Before(times.Absolute) {
			times.Absolute = expires
		}
		value, err = c.seal(c.template.Name, plaintext, times)
		return err
	})
	return value, err
}

// Unserialize returns the session of a value from Serialize or from a single cookie,
// like werkzeug's unserialize. For an invalid value it returns an empty session.
// Neither is new or modified. The error is that of [CarrierOptions.NotBefore] or of
// Valid.
func (c *Carrier) Unserialize(ctx context.Context, value string) (*sessions.Session, error) {
	if t, err := c.open(c.template.Name, value); err == nil {
		if s, err := c.load(ctx, t); s != nil || err != nil {
			return s, err
		}
	}
	id := c.base.GenerateKey()
	return c.base.Load(id, id, sessions.Record{Codec: c.codec.Name(), Created: c.ring.now().UTC(), Fields: []sessions.Field{}})
}

// seal is SealCookie with [sessions.ErrTooLarge] for [ErrTooLarge].
func (c *Carrier) seal(name string, plaintext []byte, t Times) (string, error) {
	value, err := c.ring.SealCookie(name, plaintext, t)
	if errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%w: %w", sessions.ErrTooLarge, err)
	}
	return value, err
}
