package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Wrap returns a handler that calls next with sessions.
//
// Middleware that recovers from panics, or that writes in a deferred call as
// some that compress do, belongs around this handler. Inside it, a response is
// begun after the panic, and the session is saved as the panic has left it.
//
// An [http.TimeoutHandler] may be on either side. Inside, when it answers for a
// handler that is too slow, the handler's changes are dropped. It is
// recognised by a status of 503 after the end of the context that the session
// was last asked for with. A handler that writes 503 itself is taken for it only
// when it has asked with a context of its own, and that is over.
//
// Two middlewares around each other share one session if they have the same
// carrier, or carriers of the same store and cookie. With two cookies they have
// two sessions; see [Middleware.FromContext]. Cookies of the same name from two
// stores would overwrite each other: such a request goes to the ErrorHandler.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer := fromContext(r.Context())
		if outer.of(m) != nil || m.excludes(r) {
			next.ServeHTTP(w, r)
			return
		}
		x := &exchange{m: m, outer: outer, w: w, cookies: r.Header["Cookie"]}
		x.r = r.WithContext(context.WithValue(r.Context(), contextKey{}, x))
		if outer.hasCookieOf(m) {
			x.replace(errSameCookie)
			return
		}
		next.ServeHTTP(x.writer(), x.r)
		x.finish() // not deferred: a panic saves nothing, and goes on
	})
}

// of returns the exchange of m, this one or one around it; nil when there is
// none.
func (x *exchange) of(m *Middleware) *exchange {
	for ; x != nil; x = x.outer {
		if x.m == m || x.m.sharesSessions(m) {
			return x
		}
	}
	return nil
}

func (x *exchange) hasCookieOf(m *Middleware) bool {
	own, ok := m.carrier.(cookieNamer)
	for ; ok && x != nil; x = x.outer {
		if other, ok := x.m.carrier.(cookieNamer); ok && other.CookieName() == own.CookieName() {
			return true
		}
	}
	return false
}

var errSameCookie = errors.New("sessions: two middlewares around each other have cookies of the same name on two stores: one needs another Name")

// Skip wraps a handler that is to get no session, though it is inside
// [Middleware].
func Skip(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(withoutSession(r.Context())))
	})
}

// FromContext returns the session of a request whose handler is wrapped in a
// [Middleware], from the request's context. The first call loads it; when that
// fails, the session is empty, [Session.Err] has the reason, and the middleware
// answers the request. The first call should come before the first byte of the
// response, which otherwise lacks the headers that keep it out of shared caches.
//
// Of several middlewares around each other the innermost's session is returned;
// see [Middleware.FromContext] for the others.
//
// It panics when there is no middleware around the handler, or when it, or
// [Skip], excludes the request; see [LookupContext].
func FromContext(ctx context.Context) *Session {
	s, ok := LookupContext(ctx)
	if !ok {
		panic("sessions: FromContext: no session: the handler is not inside a Middleware, or the request is excluded")
	}
	return s
}

// FromContext is the function of that name for the session of this middleware,
// which another one inside it hides from the function, and from [Save]. It
// panics when there is no such session.
func (m *Middleware) FromContext(ctx context.Context) *Session {
	x := fromContext(ctx).of(m)
	if x == nil {
		panic("sessions: Middleware.FromContext: no session: the handler is not inside the Middleware, or the request is excluded")
	}
	return x.load(ctx)
}

// LookupContext is FromContext for code that also runs without a session: it
// returns nil and false where FromContext panics.
func LookupContext(ctx context.Context) (*Session, bool) {
	x := fromContext(ctx)
	if x == nil {
		return nil, false
	}
	return x.load(ctx), true
}

func noSession(function string) error {
	return errors.New("sessions: " + function + ": no session: the handler is not inside a Middleware, or the request is excluded")
}

// Save saves the session of a request now, if it should be saved.
//
// Before the first byte of the response it also sets the session's cookie, so
// that all is done that the middleware would do. Changes after it are saved
// again, by the middleware or by another Save. A panic of the handler does not
// take back a Save. Since it sets headers, it is called where the
// handler may set them: by one goroutine at a time.
//
// After the first byte, in handlers of WebSockets and server-sent events, it
// saves changes for which the browser needs no other cookie; see [LateSaver]. A cookie
// that has an age is not renewed then.
//
// Save does not end with the request: it waits up to 30 seconds for others who
// save the same session. After an error nothing was saved, and the session is as
// it was. The middleware tries again before the first byte, and replaces the
// response if it fails too: a handler that answers the error itself calls
// [Session.Discard] first, or takes back the changes that were too much. A
// session that was not loaded is not saved.
func Save(ctx context.Context) error {
	x := fromContext(ctx)
	if x == nil {
		return noSession("Save")
	}
	return x.save()
}

// save saves the session now.
func (x *exchange) save() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.session.Load()
	switch {
	case s == nil:
		return nil
	case x.stopped != nil:
		return x.stopped
	case !x.begun:
		return x.commit(s)
	case !s.ShouldSave():
		return s.Err()
	}
	late, ok := x.m.carrier.(LateSaver)
	if !ok {
		return errHeaderOnly
	}
	return late.SaveLate(x.request(), s)
}

var errHeaderOnly = errors.New("sessions: the response has begun, and the session can be saved in its header only")

// Update changes and saves the session of a request in one step: a counter
// counts, however many requests do so at once. The session is brought up to the
// stored one, update works on a copy of it, and no other save comes in between;
// see [Updater]. A session without values that was never stored is not stored.
//
// With sessions in sealed cookies nothing is stored that could be read anew:
// update works on the request's session, and the last response wins.
//
// Like [Save] it sets the cookie before the first byte of the response, saves
// earlier changes, and does not end with the request. After the first byte it is
// for changes that need no other cookie; with sealed cookies there are none.
// After an error, update's own or one of Save's, nothing was saved, and update's
// changes are dropped. The error is [errors.ErrUnsupported] with a [Carrier] that
// is no [CarrierUpdater] or a store that is no [Updater].
//
// While update runs, an attempt to save is [ErrUpdating]. So is one to begin the
// response: the ErrorHandler answers, and update's changes are dropped.
func Update(ctx context.Context, update func(*Session) error) error {
	x := fromContext(ctx)
	if x == nil {
		return noSession("Update")
	}
	return x.update(ctx, update)
}

// update changes and saves the session now. The function may do all that a handler
// may, and so runs without the lock.
func (x *exchange) update(ctx context.Context, update func(*Session) error) error {
	s := x.load(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	u, ok := x.m.carrier.(CarrierUpdater)
	switch {
	case x.stopped != nil:
		return x.stopped
	case !ok:
		return fmt.Errorf("sessions: Update: the carrier is no CarrierUpdater: %w", errors.ErrUnsupported)
	}
	begun := x.begun
	unlocked := func(s *Session) error {
		x.mu.Unlock()
		defer x.mu.Lock()
		return update(s)
	}
	checked := func(s *Session) error {
		err := unlocked(s)
		switch {
		case err != nil:
			return err
		case x.stopped != nil:
			return x.stopped
		case x.begun != begun:
			return errLate
		}
		return nil
	}
	if begun {
		return u.Update(nil, x.request(), s, checked)
	}
	return x.withHeader(func() error { return u.Update(x.w, x.request(), s, checked) })
}

// Reload brings the session of a request up to the stored one: for a stream,
// which would otherwise see the session as it was when it began. Unsaved
// changes stay. It counts as no use of the session.
//
// The error is [ErrDeleted] when the session has ended or expired meanwhile, goes
// on under another ID, or is not Valid any more (see [CookieOptions]): time for the
// stream to end. Of a session in sealed cookies that is its Lifetime, NotBefore and
// Valid. After any error the session is as it was. A session that was never
// stored stays as it is. The error is [errors.ErrUnsupported] with a [Carrier] that
// is no [Reloader].
func Reload(ctx context.Context) error {
	x := fromContext(ctx)
	if x == nil {
		return noSession("Reload")
	}
	return x.reload(ctx)
}

// reload brings the session up to the stored one.
func (x *exchange) reload(ctx context.Context) error {
	if x.session.Load() == nil {
		return x.load(ctx).Err()
	}
	r, ok := x.m.carrier.(Reloader)
	if !ok {
		return fmt.Errorf("sessions: Reload: the carrier is no Reloader: %w", errors.ErrUnsupported)
	}
	return r.Reload(ctx, x.load(ctx))
}

// NewContext returns a context in which [FromContext] and the other functions find
// the session, without a request: for tests of handlers (package sessiontest has
// more for those), and for jobs that share code with handlers. [Save], [Update] and
// [Reload] reach the store that made or loaded the session, there is no cookie, and
// nothing is saved but by them. A session of sealed cookies cannot be saved so.
func NewContext(ctx context.Context, s *Session) context.Context {
	x := &exchange{m: noMiddleware, r: new(http.Request).WithContext(ctx), begun: true, hijacked: true}
	x.session.Store(s)
	return context.WithValue(ctx, contextKey{}, x)
}

var noMiddleware = &Middleware{carrier: noCarrier{}}

// noCarrier is that of a session without a request.
type noCarrier struct{}

func (noCarrier) Load(*http.Request) (*Session, error) {
	return nil, noSession("Load")
}

func (c noCarrier) Commit(_ http.ResponseWriter, r *http.Request, s *Session) error {
	return c.SaveLate(r, s)
}

func (noCarrier) SaveLate(r *http.Request, s *Session) error {
	if err := s.reachesStore(); err != nil {
		return err
	}
	ctx, cancel := commitContext(r.Context())
	defer cancel()
	return s.home.SaveIfModified(ctx, s)
}

func (noCarrier) Update(_ http.ResponseWriter, r *http.Request, s *Session, update func(*Session) error) error {
	if err := s.reachesStore(); err != nil {
		return err
	}
	ctx, cancel := commitContext(r.Context())
	defer cancel()
	return s.home.Update(ctx, s, update)
}

func (noCarrier) Reload(ctx context.Context, s *Session) error {
	if err := s.reachesStore(); err != nil {
		return err
	}
	return s.reload(ctx, s.home.Get)
}

// reachesStore returns the reason why the session's store cannot do anything with it.
func (s *Session) reachesStore() error {
	if err := s.ready(); err != nil {
		return err
	}
	if s.home.backend == nil {
		return fmt.Errorf("sessions: a session of sealed cookies without a request: %w", errors.ErrUnsupported)
	}
	return nil
}
