package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sessfs/sessions/internal/httpheader"
)

// A Carrier brings a session from a request into a handler and back into the
// response. [Cookies] is one, for sessions that a store keeps; package
// securecookie has one for sessions that the browser keeps. Its methods are
// called by several goroutines at once.
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

// Cookies carries the IDs of a store's sessions in a cookie. It is what
// a [Middleware] uses, and what to use without it:
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
}

var (
	_ Carrier   = (*Cookies)(nil)
	_ LateSaver = (*Cookies)(nil)
)

// NewCookies checks the options. The error lists all that is wrong with them.
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
	return &Cookies{store, template, o.RenewOnAccess}, nil
}

// Load returns the session whose ID the request's cookie has, a new one when
// there is no such session.
func (c *Cookies) Load(r *http.Request) (*Session, error) {
	if id := c.sent(r); id != "" {
		return c.store.Get(r.Context(), id)
	}
	return c.store.New(), nil
}

// sent returns the ID in the request's cookie, "" when there is none.
func (c *Cookies) sent(r *http.Request) string {
	for _, cookie := range r.CookiesNamed(c.template.Name) {
		if c.store.IsValidKey(cookie.Value) {
			return cookie.Value
		}
	}
	return ""
}

// commitTimeout bounds how long a response waits for others who save the same
// session. It takes the place of the request's own end: when the browser goes
// away, what the handler did is saved all the same.
const commitTimeout = 30 * time.Second

// Commit saves the session if it should be saved and is not empty and new, and
// sets the cookie if the browser does not have it. A session whose values were
// all removed by [Session.Clear] is ended, like one that was destroyed, and
// the cookie expires.
//
// It adds Cookie to the response's Vary, and with Set-Cookie no-store to its
// Cache-Control.
func (c *Cookies) Commit(w http.ResponseWriter, r *http.Request, s *Session) error {
	if err := s.Err(); err != nil {
		return err
	}
	httpheader.VaryCookie(w.Header())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), commitTimeout)
	defer cancel()
	sent := c.sent(r)
	renewed, err := c.touch(ctx, s)
	if err != nil {
		return err
	}
	before := s.prepareCommit()
	if before.worthSaving {
		if err := c.store.Save(ctx, s); err != nil {
			return err
		}
	}
	cookie := c.template
	switch after := s.prepareCommit(); {
	case after.stored:
		if after.maxAge > 0 {
			cookie.MaxAge = int(min(after.maxAge/time.Second, maxCookieAge))
		}
		if after.id != sent || before.aged || renewed && cookie.MaxAge > 0 {
			cookie.Value = after.id
			httpheader.SetCookie(w.Header(), cookie)
		}
	case sent != "" && (before.destroyed || after.ended):
		cookie.MaxAge = -1
		httpheader.SetCookie(w.Header(), cookie)
	}
	return nil
}

// touch renews on access, and reports whether it did.
func (c *Cookies) touch(ctx context.Context, s *Session) (bool, error) {
	if c.renew == 0 || s.New() {
		return false, nil
	}
	renewed, err := c.store.(Toucher).Touch(ctx, s, c.renew)
	if errors.Is(err, ErrDeleted) {
		return false, nil // that is for Save to say, if there is anything to save
	}
	return renewed, err
}

// SaveLate saves the session when the response has begun. The error says so
// when the browser would need a cookie that cannot be set any more: the
// session is new, or was renewed.
func (c *Cookies) SaveLate(r *http.Request, s *Session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), commitTimeout)
	defer cancel()
	if now := s.prepareCommit(); !now.stored || now.renewed {
		return errors.New("sessions: the response has begun, and the browser cannot be told the session's ID any more")
	}
	return c.store.SaveIfModified(ctx, s)
}

// committing is what a carrier has to know of a session.
type committing struct {
	id            string
	stored, ended bool // kept by a store; was, until it was destroyed
	worthSaving   bool
	maxAge        time.Duration

	aged, renewed, destroyed bool // asked for, and not saved yet
}

// prepareCommit makes a session that was emptied one to be destroyed, and
// tells what is to be done. One that lost its last value otherwise, a flash
// message perhaps, stays: another request may be adding to it.
func (s *Session) prepareCommit() committing {
	s.mu.Lock()
	defer s.mu.Unlock()
	empty := len(s.keys()) == 0
	if s.stored && s.cleared > 0 && s.destroyed == 0 && empty {
		s.destroy()
	}
	return committing{
		id:          s.id,
		stored:      s.stored,
		ended:       s.ended,
		worthSaving: s.modified && (s.stored || !empty),
		aged:        s.aged > 0,
		renewed:     s.renewed > 0,
		destroyed:   s.destroyed > 0,
		maxAge:      s.maxAge,
	}
}
