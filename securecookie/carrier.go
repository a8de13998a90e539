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

// A Carrier keeps sessions in cookies, and nothing on the server. Give it to
// [sessions.NewMiddleware], or use it without, in the way of werkzeug's
// load_cookie and save_cookie:
//
//	s, err := carrier.Load(r)
//	…
//	err = carrier.Commit(w, r, s) // before the first byte of the response
//
// Handlers cannot tell such a session from one that a store keeps, but it is
// worth less, and no program can change that:
//
//   - It cannot be ended on the server. Destroy and Renew take the old cookie
//     away from the browser; a copy of it works until it expires. The remedies
//     are short timeouts, [CarrierOptions.NotBefore], and a
//     [sessions.FilesystemSessionStore] instead.
//   - An old cookie can be sent again, and brings back the values of its time.
//     What must happen once, a payment or the use of a coupon, does not belong
//     here; neither does a counter of failed logins.
//   - Of requests that overlap, the last response wins with all of its values,
//     and what the others set is lost: there is nothing to merge with.
//   - It travels with every request, and has to fit in the cookies.
//   - The response's header is the only way to save it: what changes after the
//     first byte, in a WebSocket for example, is lost, and [sessions.Save] says
//     so.
//
// A Carrier is made by [NewCarrier], does not change, and may be used by
// several goroutines.
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

// CookieName returns the name of the cookie, and what those of chunks begin with.
func (c *Carrier) CookieName() string { return c.template.Name }

// New returns a new, empty session.
func (c *Carrier) New() *sessions.Session {
	return c.base.New()
}

// Load returns the session that the request's cookies hold, a new one when
// they hold none that may be trusted. When they hold two, which happens when
// the Path or the Domain of the cookie was changed, the one that was sealed
// last counts. The error is that of [CarrierOptions.NotBefore].
//
// Cookies that may not be trusted stay in the browser until a session is saved
// over them: where processes get a new key one after the other, another one may
// know the key.
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

// load makes a session of a token; nil when it may not be trusted.
func (c *Carrier) load(ctx context.Context, t token) (*sessions.Session, error) {
	if ok, err := c.counts(ctx, t.record.Owner, t.record.Created); !ok {
		return nil, err
	}
	s, err := c.base.Load(t.id, t.id, t.record)
	if err != nil {
		return nil, nil // sealed by us, but not what the codec writes
	}
	if ok, err := c.valid(ctx, s); !ok {
		return nil, err
	}
	return s, nil
}

// counts asks NotBefore.
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
// error is [sessions.ErrDeleted] when it does not count any more, or its Lifetime
// has ended. There is nothing that it could be brought up to.
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
// renewed on access. A new session without values is not worth a cookie, and
// one that has lost all of its values and has no owner is destroyed, like one that
// was emptied by [sessions.Session.Clear]: then the cookies that the request had
// expire. So do those that a smaller session needs no longer.
//
// It adds Cookie to the response's Vary. It sets Cache-Control to private where
// there is none, and adds no-store to it with Set-Cookie. With an error it sets
// no cookie and leaves the session as it was; that is [sessions.ErrTooLarge], a
// [*sessions.ValueError], [sessions.Session.Err], or [sessions.ErrDeleted] when
// the session's Lifetime has ended since it was loaded. The idle timeout counts
// between requests: one that takes longer than that has used the session
// meanwhile.
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

// Update changes the session once, as it came with the request, and seals it as
// Commit does. It is an error when the response has begun, and w is nil.
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

// endIfEmpty destroys a session that is not worth a cookie.
func (c *Carrier) endIfEmpty(s *sessions.Session) {
	c.base.EndIfCleared(s)
	if s.Len() == 0 && s.Owner() == "" {
		s.Destroy()
	}
}

// commit seals what a change leaves into cookies.
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

// apply has the session say what is to be written. What is stored is what it was
// loaded from: nobody else can have changed that. Nothing is when its lifetime has
// ended since.
func (c *Carrier) apply(change *sessions.Change) error {
	stored := change.Base()
	if stored != nil && over(c.times(stored).Absolute, c.ring.now()) {
		stored = nil
	}
	return change.Apply(stored)
}

// due reports whether the session's idle time has to begin anew.
func (c *Carrier) due(r *http.Request, s *sessions.Session) bool {
	if c.renew == 0 || s.New() {
		return false
	}
	t, ok := c.sent(r)
	return ok && t.id == s.ID() && c.ring.now().Sub(t.issued) >= c.renew
}

// cookies returns the template of the cookies for a session and the values of
// them: none for a session that ends.
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

// times says how long a session that is sealed now is valid.
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
	// The timeouts inside were those of the time of sealing. If they have been
	// shortened since, the shorter ones count.
	now, today := c.ring.now(), c.times(&t.record)
	idle := today.Idle.Sub(today.IssuedAt)
	if over(t.issued.Add(idle), now) || over(today.Absolute, now) {
		return token{}, ErrInvalid
	}
	return t, nil
}

// Serialize returns the session as one value, for elsewhere than the cookies
// that Commit sets; werkzeug's serialize. It expires at that time, and when the
// session's timeouts say so; the zero Time leaves those alone. The session
// stays as it is, modified or not. [MaxCookieData] is the limit, whatever
// MaxCookies says.
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

// Unserialize returns the session of a value that Serialize made, or of a
// single cookie; werkzeug's unserialize. What may not be trusted gives an
// empty session. Neither is new or modified. The error is that of
// [CarrierOptions.NotBefore].
func (c *Carrier) Unserialize(ctx context.Context, value string) (*sessions.Session, error) {
	if t, err := c.open(c.template.Name, value); err == nil {
		if s, err := c.load(ctx, t); s != nil || err != nil {
			return s, err
		}
	}
	id := c.base.GenerateKey()
	return c.base.Load(id, id, sessions.Record{Codec: c.codec.Name(), Created: c.ring.now().UTC(), Fields: []sessions.Field{}})
}

// seal is SealCookie with the error that callers of a [sessions.Carrier] know.
func (c *Carrier) seal(name string, plaintext []byte, t Times) (string, error) {
	value, err := c.ring.SealCookie(name, plaintext, t)
	if errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%w: %w", sessions.ErrTooLarge, err)
	}
	return value, err
}
