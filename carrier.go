package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sessfs/sessions/internal/httpheader"
)

// A Carrier brings a session from a request into a handler and back into the
// response. [Cookies] is one, for sessions that a store keeps; package
// securecookie has one for sessions that the browser keeps. Its methods are
// called by several goroutines at once. One with a cookie has a method
// CookieName() string, by which a [Middleware] notices another one of that name.
type Carrier interface {
	// Load returns the session of a request, a new one when it has none that
	// is valid. A failure of the system is an error, never a new session.
	Load(r *http.Request) (*Session, error)

	// Commit saves the session if it should be saved, and sets headers of a
	// response that has not begun. The error is a store's; with one, no
	// cookie is set.
	Commit(w http.ResponseWriter, r *http.Request, s *Session) error
}

// A LateSaver is a Carrier that can save a session when its response has
// begun, for [Save].
type LateSaver interface {
	// SaveLate saves the session, if the browser needs no other cookie for it.
	SaveLate(r *http.Request, s *Session) error
}

// A CarrierUpdater is a Carrier that can change and save a session in one step,
// for the function [Update].
type CarrierUpdater interface {
	// Update changes the session as [Updater] does, where the carrier's sessions
	// are stored, and sets the headers that Commit sets. w is nil when the
	// response has begun; an Update that needs a cookie then is an error, and
	// nothing is saved. The error is [errors.ErrUnsupported] when the store
	// cannot.
	Update(w http.ResponseWriter, r *http.Request, s *Session, update func(*Session) error) error
}

// A Reloader is a Carrier that can bring a session up to the stored one, for the
// function [Reload].
type Reloader interface {
	// Reload brings the session up to the stored one, and asks Valid again. The
	// error is [ErrDeleted] when the session has ended or is not valid.
	Reload(ctx context.Context, s *Session) error
}

// Cookies carries the IDs of a store's sessions in a cookie. A
// [Middleware] uses it, and so do handlers without one:
//
//	s, err := cookies.Load(r)
//	…
//	err = cookies.Commit(w, r, s) // before the first byte of the response
//
// Its methods may be called by several goroutines at once.
type Cookies struct {
	store    SessionStore
	template http.Cookie
	renew    time.Duration
	valid    func(context.Context, *Session) (bool, error)
}

var (
	_ Carrier        = (*Cookies)(nil)
	_ LateSaver      = (*Cookies)(nil)
	_ CarrierUpdater = (*Cookies)(nil)
	_ Reloader       = (*Cookies)(nil)
)

// NewCookies makes the Cookies of a store. The error lists all that is wrong with
// the options.
func NewCookies(store SessionStore, o CookieOptions) (*Cookies, error) {
	template, err := o.Template()
	if store == nil {
		err = errors.Join(err, errors.New("the store is nil"))
	} else if _, ok := store.(Toucher); o.RenewOnAccess > 0 && !ok {
		err = errors.Join(err, errors.New("RenewOnAccess needs a store that is a Toucher"))
	}
	if err != nil {
		return nil, fmt.Errorf("sessions: cannot carry sessions in cookies: %w", err)
	}
	return &Cookies{store, template, o.RenewOnAccess, o.IsValid}, nil
}

// CookieName returns the name of the cookie, its prefix included.
func (c *Cookies) CookieName() string { return c.template.Name }

// Load returns the session whose ID the request's cookie has, a new one when
// there is no such session. Of several cookies of the name, the first two that
// may be an ID are tried: another host of the domain can set one that the
// browser sends before the real one.
func (c *Cookies) Load(r *http.Request) (*Session, error) {
	ids := c.cookieIDs(r)
	s, err := c.loadFirst(r.Context(), ids)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.carrier, s.sent = c, ids
	return s, nil
}

// loadFirst returns the session of the first ID that has one, or else a new one.
func (c *Cookies) loadFirst(ctx context.Context, ids []string) (*Session, error) {
	var first *Session // new, or of an ID that is adopted
	for _, id := range ids {
		s, err := c.get(ctx, id)
		if err != nil {
			return nil, err
		}
		if s.isStored() {
			if ok, err := c.isValid(ctx, s); ok || err != nil {
				return s, err
			}
			continue
		}
		if first == nil || first.lost == "" && s.lost != "" {
			first = s
		}
	}
	if first == nil {
		first = c.store.New()
	}
	return first, nil
}

// get loads a session, and touches it with the same question where the store can.
func (c *Cookies) get(ctx context.Context, id string) (*Session, error) {
	store, ok := c.store.(GetToucher)
	if !ok || c.renew == 0 {
		return c.store.Get(ctx, id)
	}
	s, touched, err := store.GetTouch(ctx, id, c.renew)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.touchAsked, s.touchDone = true, touched
	}
	return s, err
}

// isValid asks Valid about a session that was just loaded, and ends it when it is
// not valid.
func (c *Cookies) isValid(ctx context.Context, s *Session) (bool, error) {
	ok, err := c.valid(ctx, s)
	if ok || err != nil {
		return ok, err
	}
	ctx, cancel := commitContext(withReason(ctx, EndedInvalid))
	defer cancel()
	return false, c.store.Delete(ctx, s)
}

// cookieIDs returns the IDs in the request's cookies that count. It allocates for
// those alone: http.Request.CookiesNamed takes 300 ns and four allocations more. A
// value may be in quotes, as there.
func (c *Cookies) cookieIDs(r *http.Request) (ids []string) {
	const most = 2
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, id, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !ok || strings.Trim(name, " \t") != c.template.Name {
				continue
			}
			if last := len(id) - 1; last > 0 && id[0] == '"' && id[last] == '"' {
				id = id[1:last]
			}
			if len(ids) < most && c.store.IsValidKey(id) && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// sentIDs returns the IDs that the browser has: those that Load found, or for a
// session that was loaded without it, those of the request.
func (c *Cookies) sentIDs(r *http.Request, s *Session) []string {
	s.mu.Lock()
	carrier, sent := s.carrier, s.sent
	s.mu.Unlock()
	if carrier == c {
		return sent
	}
	return c.cookieIDs(r)
}

// commitContext bounds how long a response waits for others who save the same
// session. It takes the place of the request's own end: when the browser goes
// away, the handler's changes are saved all the same.
func commitContext(ctx context.Context) (context.Context, context.CancelFunc) {
	c := &saveContext{Context: context.WithoutCancel(ctx)}
	return c, c.end
}

// Commit saves the session if it should be saved and is not empty and new, and
// sets the cookie if the browser does not have it. A cookie that has an age is
// set with every save and every renewal on access, so that it lives on in the
// browser as the session does in the store. A session whose values were all
// removed by [Session.Clear] is ended, like one that was destroyed, and the
// cookie expires.
//
// It adds Cookie to the response's Vary. It sets Cache-Control to private where
// there is none, and adds no-store to it with Set-Cookie.
//
// The save does not end with the request. But a session that the browser has to
// be told of, since it is new, renewed or destroyed, is an error when the
// request has ended: the response may never arrive. Otherwise the error is the
// store's; with one, no cookie is set and the session is as it was.
//
// A second Commit saves the changes since the first, and sets the same cookie.
func (c *Cookies) Commit(w http.ResponseWriter, r *http.Request, s *Session) error {
	if err := s.ready(); err != nil {
		return err
	}
	defer httpheader.Personal(w.Header())
	s.endIfCleared()
	before := s.standing(c.template.MaxAge)
	touched, err := c.save(r, s, before)
	if err != nil {
		return err
	}
	c.setCookie(w.Header(), c.sentIDs(r, s), before.destroyed, touched, s.standing(c.template.MaxAge))
	return nil
}

// save saves the session or, if there is nothing to save, renews on access and
// reports whether it did.
func (c *Cookies) save(r *http.Request, s *Session, now standing) (touched bool, err error) {
	if !now.worthSaving && (c.renew == 0 || s.New()) {
		return false, nil
	}
	if err := now.reaches(r); err != nil {
		return false, err
	}
	if !now.worthSaving && now.touchAsked {
		return now.touchDone, nil
	}
	ctx, cancel := commitContext(r.Context())
	defer cancel()
	if now.worthSaving {
		return false, c.store.Save(ctx, s)
	}
	touched, err = c.store.(Toucher).Touch(ctx, s, c.renew)
	if errors.Is(err, ErrDeleted) {
		return false, nil // nothing was changed that could be lost
	}
	if touched {
		s.touched()
	}
	return touched, err
}

// reaches returns an error when the browser has to be told of a save, and the
// request has ended.
func (now standing) reaches(r *http.Request) error {
	if err := r.Context().Err(); err != nil && now.worthSaving && now.needsCookie {
		return fmt.Errorf("%w: %w", errRequestEnded, err)
	}
	return nil
}

// errRequestEnded is the error of a save that was not carried out, since the
// browser would not have learned of it.
var errRequestEnded = errors.New("sessions: the request ended before its session was renewed, destroyed or first saved")

// setCookie sets the cookie that the browser needs, if any, after a commit.
func (c *Cookies) setCookie(h http.Header, sent []string, destroyed, touched bool, now standing) {
	cookie := c.template
	switch {
	case now.stored:
		cookie.MaxAge = now.cookieMaxAge
		if !slices.Contains(sent, now.id) || now.ageChanged || cookie.MaxAge > 0 && (touched || now.wasSaved) {
			cookie.Value = now.id
			httpheader.SetCookie(h, cookie)
		}
	case !destroyed && !now.ended:
	case len(sent) > 0:
		cookie.MaxAge = -1
		httpheader.SetCookie(h, cookie)
	default: // made and ended in one request
		httpheader.RemoveCookie(h, cookie.Name)
	}
}

// SaveLate saves the session when the response has begun. It is an error
// when the browser would need a cookie that cannot be set any more: the session
// is new, was renewed, or goes on under another ID after it was destroyed. The
// age of a cookie stays as it is.
func (c *Cookies) SaveLate(r *http.Request, s *Session) error {
	if err := s.ready(); err != nil {
		return err
	}
	s.endIfCleared()
	if err := s.standing(0).late(); err != nil {
		return err
	}
	ctx, cancel := commitContext(r.Context())
	defer cancel()
	return c.store.SaveIfModified(ctx, s)
}

// late returns an error when the browser would need another cookie.
func (now standing) late() error {
	if now.needsCookie && !(now.destroyed && now.empty) {
		return errors.New("sessions: the response has begun, and the browser cannot be told the session's ID any more")
	}
	return nil
}

// Update changes and saves the session in one step, and sets the cookie as Commit
// does; with a nil w it saves as SaveLate does. See [CarrierUpdater].
func (c *Cookies) Update(w http.ResponseWriter, r *http.Request, s *Session, update func(*Session) error) error {
	u, ok := c.store.(Updater)
	if !ok {
		return fmt.Errorf("sessions: Update: the store is no Updater: %w", errors.ErrUnsupported)
	}
	if w != nil {
		defer httpheader.Personal(w.Header())
	}
	ctx, cancel := commitContext(r.Context())
	defer cancel()
	var before standing
	err := u.Update(ctx, s, func(s *Session) error {
		if err := update(s); err != nil {
			return err
		}
		s.endIfCleared()
		before = s.standing(c.template.MaxAge)
		switch {
		case !before.worthSaving && before.needsCookie:
			s.Destroy() // never stored, and empty: it stays so
			return nil
		case w == nil:
			return before.late()
		}
		return before.reaches(r)
	})
	if err == nil && w != nil {
		c.setCookie(w.Header(), c.sentIDs(r, s), before.destroyed, false, s.standing(c.template.MaxAge))
	}
	return err
}

// Reload brings the session up to the stored one, and asks Valid again; see the
// function [Reload].
func (c *Cookies) Reload(ctx context.Context, s *Session) error {
	return s.reload(ctx, func(ctx context.Context, id string) (*Session, error) {
		now, err := c.store.Get(ctx, id)
		if err != nil || !now.isStored() {
			return now, err
		}
		if ok, err := c.isValid(ctx, now); !ok {
			return nil, cmp.Or(err, ErrDeleted)
		}
		return now, nil
	})
}

// A standing is a carrier's view of a session.
type standing struct {
	id          string
	stored      bool // by a store
	ended       bool // it was stored, until it was destroyed
	empty       bool // when it is modified
	worthSaving bool
	destroyed   bool // and not saved yet
	needsCookie bool // to be saved, since the browser does not have the ID it will have

	cookieMaxAge int  // seconds
	ageChanged   bool // since it was loaded
	wasSaved     bool // since it was loaded

	touchAsked, touchDone bool // when it was loaded
}

func (s *Session) standing(template int) standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	empty := s.modified && s.isEmpty()
	return standing{
		id:           s.id,
		stored:       s.stored,
		ended:        s.ended,
		empty:        empty,
		worthSaving:  s.modified && (s.stored || !empty) || s.asked[toDestroy] > 0 && s.lost != "",
		destroyed:    s.asked[toDestroy] > 0,
		needsCookie:  !s.stored && !s.adopted || s.asked[toRenew] > 0 || s.asked[toDestroy] > 0,
		cookieMaxAge: cookieMaxAge(s.home.timeouts, &s.attributes, template),
		ageChanged:   s.cookieAge() != s.loaded,
		wasSaved:     s.wasSaved,
		touchAsked:   s.touchAsked,
		touchDone:    s.touchDone,
	}
}

// endIfCleared destroys a session that was emptied by Clear. One that lost its
// last value otherwise, a flash message perhaps, stays: another request may be
// adding to it.
func (s *Session) endIfCleared() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cleared := s.asked[toClear]; s.stored && cleared > s.asked[toLogin] && s.asked[toDestroy] == 0 && !s.hasAny() {
		s.destroy()
	}
}

// EndIfCleared destroys a session that was emptied by [Session.Clear], for a
// [Carrier]. One that lost its last value otherwise, a flash message perhaps, stays:
// another request may be adding to it.
func (b *Base) EndIfCleared(s *Session) { s.endIfCleared() }

// IsValid asks Valid, for a [Carrier]. Without one every session is valid.
func (o CookieOptions) IsValid(ctx context.Context, s *Session) (bool, error) {
	if o.Valid == nil {
		return true, nil
	}
	ok, err := o.Valid(withoutSession(ctx), s)
	if err != nil {
		return false, fmt.Errorf("sessions: Valid: %w", err)
	}
	return ok, nil
}

// contextKey is the key of a request's exchange in its context.
type contextKey struct{}

// withoutSession returns a context in which no session is found.
func withoutSession(ctx context.Context) context.Context {
	return context.WithValue(ctx, contextKey{}, nil)
}
