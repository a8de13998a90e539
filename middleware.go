package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/sessfs/sessions/internal/httpheader"
)

// MiddlewareOptions says which requests get a session, and what happens when
// one cannot be loaded or saved.
type MiddlewareOptions struct {
	// CookieOptions is for [Middleware]; with [CarrierMiddleware] the carrier
	// has its own.
	CookieOptions

	// Exclude are patterns of [http.ServeMux], "GET /static/" for example.
	// Requests that match one get no session.
	Exclude []string

	// ExcludeFunc excludes the requests for which it returns true.
	ExcludeFunc func(*http.Request) bool

	// NoHTTP gives no session to plain HTTP requests, NoWebSocket none to
	// those that ask for a WebSocket.
	NoHTTP, NoWebSocket bool

	// ErrorHandler answers when the session could not be loaded or saved, in
	// place of the handler, nothing of whose body has been sent. The default
	// is a bare 500.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger gets what the ErrorHandler gets, and changes that came too late
	// to be saved. The default is [slog.Default].
	Logger *slog.Logger
}

// Middleware gives handlers the sessions of a store, by [FromContext]. The
// error lists all that is wrong with the options.
//
// The session is loaded when a handler first asks, and saved, with its cookie
// set, before the first byte of the response leaves. A handler that never asks
// costs nothing. When the session was ended meanwhile by another request, what
// this one changed is dropped, and its response passes. When a handler panics,
// nothing is saved.
func Middleware(store SessionStore, o MiddlewareOptions) (func(http.Handler) http.Handler, error) {
	cookies, err := NewCookies(store, o.CookieOptions)
	o.CookieOptions = CookieOptions{}
	m, otherErr := newMiddleware(cookies, o)
	if err := errors.Join(err, otherErr); err != nil {
		return nil, err
	}
	return m.wrap, nil
}

// CarrierMiddleware is Middleware for sessions of any [Carrier].
func CarrierMiddleware(c Carrier, o MiddlewareOptions) (func(http.Handler) http.Handler, error) {
	m, err := newMiddleware(c, o)
	if err != nil {
		return nil, err
	}
	return m.wrap, nil
}

type middleware struct {
	MiddlewareOptions
	carrier  Carrier
	excluded *http.ServeMux // nil when no pattern is
}

func newMiddleware(c Carrier, o MiddlewareOptions) (*middleware, error) {
	m := &middleware{MiddlewareOptions: o, carrier: c}
	var errs []error
	if c == nil {
		errs = append(errs, errors.New("the carrier is nil"))
	}
	if o.hasCookieOptions() {
		errs = append(errs, errors.New("CookieOptions are the carrier's own"))
	}
	if o.NoHTTP && o.NoWebSocket {
		errs = append(errs, errors.New("NoHTTP and NoWebSocket leave no request with a session"))
	}
	for _, pattern := range o.Exclude {
		if m.excluded == nil {
			m.excluded = http.NewServeMux()
		}
		if err := addPattern(m.excluded, pattern); err != nil {
			errs = append(errs, err)
		}
	}
	if m.ErrorHandler == nil {
		m.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		}
	}
	if m.Logger == nil {
		m.Logger = slog.Default()
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("sessions: middleware: %w", errors.Join(errs...))
	}
	return m, nil
}

func (o MiddlewareOptions) hasCookieOptions() bool {
	c := o.CookieOptions
	return c.InsecureAllowHTTP || c.InsecureAllowScript || c.RenewOnAccess != 0 || c.Cookie.String() != "" ||
		c.Cookie.Path != "" || c.Cookie.Domain != "" || c.Cookie.MaxAge != 0
}

// addPattern turns the panic of a bad or contradictory pattern into an error.
func addPattern(mux *http.ServeMux, pattern string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a pattern of Exclude: %v", p)
		}
	}()
	mux.Handle(pattern, http.NotFoundHandler())
	return nil
}

func (m *middleware) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.excludes(r) {
			next.ServeHTTP(w, r)
			return
		}
		x := &exchange{m: m, w: w, r: r}
		next.ServeHTTP(x.writer(), r.WithContext(context.WithValue(r.Context(), contextKey{}, x)))
		x.finish() // not deferred: a panic saves nothing, and goes on
	})
}

func (m *middleware) excludes(r *http.Request) bool {
	if m.NoHTTP || m.NoWebSocket {
		if ws := isWebSocket(r); ws && m.NoWebSocket || !ws && m.NoHTTP {
			return true
		}
	}
	if m.excluded != nil {
		if _, pattern := m.excluded.Handler(r); pattern != "" {
			return true
		}
	}
	return m.ExcludeFunc != nil && m.ExcludeFunc(r)
}

// isWebSocket recognises the opening handshake: RFC 6455 4.2.1, and over
// HTTP/2 RFC 8441 4.
func isWebSocket(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return strings.EqualFold(r.Header.Get(":protocol"), "websocket")
	}
	return httpheader.HasToken(r.Header["Connection"], "upgrade") && httpheader.HasToken(r.Header["Upgrade"], "websocket")
}

type contextKey struct{}

func fromContext(ctx context.Context) *exchange {
	x, _ := ctx.Value(contextKey{}).(*exchange)
	return x
}

// FromContext returns the session of a request whose handler is wrapped in
// [Middleware], from the request's context. The first call loads it; when that
// fails, the session is empty, [Session.Err] says why, and the middleware
// answers the request.
//
// It panics when there is no middleware around the handler, or when it, or
// [Skip], excludes the request; see [LookupContext].
func FromContext(ctx context.Context) *Session {
	s, ok := LookupContext(ctx)
	if !ok {
		panic("sessions: FromContext: no session: the handler is not inside Middleware, or the request is excluded")
	}
	return s
}

// LookupContext is FromContext for code that also runs without a session.
func LookupContext(ctx context.Context) (*Session, bool) {
	x := fromContext(ctx)
	if x == nil {
		return nil, false
	}
	return x.load(), true
}

// Save saves the session of a request at once, if it was loaded and should be
// saved. A handler that goes on after its response has begun, one of a
// WebSocket or of server-sent events, calls it for what it changes then; all
// others can leave it to the middleware. The error says so when the session
// cannot be saved any more; see [LateSaver].
func Save(ctx context.Context) error {
	x := fromContext(ctx)
	if x == nil {
		return errors.New("sessions: Save: no session: the handler is not inside Middleware, or the request is excluded")
	}
	return x.save()
}

// Skip wraps a handler that is to get no session, though it is inside
// [Middleware].
func Skip(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, (*exchange)(nil))))
	})
}

// An exchange is one request and its response, between which the session is
// loaded, changed and saved.
type exchange struct {
	m *middleware
	w http.ResponseWriter
	r *http.Request

	mu      sync.Mutex
	session *Session // nil until somebody asks
	begun   bool     // the response: the session was saved, and the header is out or about to be
	saved   uint64   // the session's clock then
	failed  error    // why the handler's response is not sent
}

// load returns the session.
func (x *exchange) load() *Session {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.session == nil {
		s, err := x.m.carrier.Load(x.r)
		if err != nil {
			s = failedSession(err)
		}
		x.session = s
	}
	return x.session
}

// begin saves the session before the first byte of the response. Its error is
// what the handler gets in place of writing: the error handler has answered.
func (x *exchange) begin() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.begun {
		return x.failed
	}
	x.begun = true
	if x.session == nil {
		return nil
	}
	err := x.m.carrier.Commit(x.w, x.r, x.session)
	_, x.saved = x.session.modifiedAt()
	switch {
	case errors.Is(err, ErrDeleted):
		x.m.Logger.Debug("sessions: a session was ended while a request used it; what it changed is dropped")
	case err != nil:
		x.failed = errReplaced
		x.m.Logger.Error("sessions: a response was replaced, since its session could not be loaded or saved", "error", err)
		for _, name := range entityHeaders {
			delete(x.w.Header(), name)
		}
		x.m.ErrorHandler(x.w, x.r, err)
	}
	return x.failed
}

// errReplaced is what a handler gets from Write when its response is not sent.
var errReplaced = errors.New("sessions: the session could not be loaded or saved; the response was replaced")

// entityHeaders describe the body that is not sent, and would be wrong for the
// error's.
var entityHeaders = []string{
	"Content-Type", "Content-Length", "Content-Encoding", "Content-Range", "Content-Disposition", "Content-Language",
	"Accept-Ranges", "Etag", "Last-Modified", "Location", "Trailer", "Transfer-Encoding", "Cache-Control", "Expires",
}

// finish ends the exchange when the handler has returned.
func (x *exchange) finish() {
	if err := x.begin(); err != nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.session == nil {
		return
	}
	modified, at := x.session.modifiedAt()
	switch err := x.session.Err(); {
	case err != nil:
		x.m.Logger.Error("sessions: a session was first asked for after the response had begun, and could not be loaded", "error", err)
	case modified && at > x.saved:
		x.m.Logger.Error("sessions: a session was changed after the response had begun, and the change is lost; change it earlier, or call sessions.Save")
	}
}

// save saves the session now.
func (x *exchange) save() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch late, ok := x.m.carrier.(LateSaver); {
	case x.session == nil || !x.begun:
		return nil // in time: begin will
	case x.failed != nil:
		return x.failed
	case !ok:
		return errors.New("sessions: the response has begun, and the session can be saved in its header only")
	default:
		return late.SaveLate(x.r, x.session)
	}
}
