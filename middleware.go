package sessions

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"

	"github.com/sessfs/sessions/internal/httpheader"
)

// MiddlewareOptions choose the requests that get a session, and the answer when
// one cannot be loaded or saved.
type MiddlewareOptions struct {
	_ struct{} // no literal without names

	// Exclude are patterns of [http.ServeMux], "GET /static/" for example.
	// Requests that match one get no session. A path that ServeMux would
	// redirect, "/static" or "/admin/../static/", does not match.
	Exclude []string

	// ExcludeFunc excludes the requests for which it returns true.
	ExcludeFunc func(*http.Request) bool

	// NoHTTP excludes plain HTTP requests, NoWebSocket those that ask for a
	// WebSocket.
	NoHTTP, NoWebSocket bool

	// ErrorHandler answers when the session could not be loaded or saved, in
	// place of the handler. Nothing of the handler's body or header is sent; the
	// headers of middleware around this one stay. A handler that writes nothing
	// answers 500, which is also the default.
	//
	// The error is [ErrDeleted] when the session was ended by another request
	// and this one was about to renew it or to change its owner by
	// [Session.Renew] or [Session.SetOwner]. After [Session.Login] it is not: the
	// login stores a session of its own. [LookupContext] returns the session.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Logger gets a line for each response that is replaced and for each
	// change that is dropped, with the method and the pattern of the route
	// (see [http.Request.Pattern]), and never an ID. The default is
	// [slog.Default].
	Logger *slog.Logger
}

// Middleware brings the sessions of a [Carrier] to handlers, by [FromContext].
//
// The session is loaded when a handler first asks, and saved, with its cookie
// set, before the first byte of the response leaves. A handler that never asks
// costs nothing. When the session was ended meanwhile by another request, the
// changes of this one are dropped, and its response passes. When a handler panics,
// nothing is saved after the last [Save].
//
// A Middleware is made by [NewMiddleware], does not change, and may be used by
// several goroutines at once.
type Middleware struct {
	opts     MiddlewareOptions
	carrier  Carrier
	excluded *http.ServeMux // nil when no pattern is
}

// NewMiddleware makes a Middleware over a carrier. The error lists all that is wrong
// with the options.
func NewMiddleware(c Carrier, o MiddlewareOptions) (*Middleware, error) {
	m := &Middleware{opts: o, carrier: c}
	var errs []error
	if c == nil {
		errs = append(errs, errors.New("the carrier is nil"))
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
	if o.ErrorHandler == nil {
		m.opts.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		}
	}
	if o.Logger == nil {
		m.opts.Logger = slog.Default()
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("sessions: middleware: %w", errors.Join(errs...))
	}
	return m, nil
}

// addPattern turns the panic of a bad or contradictory pattern into an error.
func addPattern(mux *http.ServeMux, pattern string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a pattern of Exclude: %v", p)
		}
	}()
	mux.Handle(pattern, excluded{})
	return nil
}

// excluded is the handler of excluded requests. ServeMux has handlers of
// its own for redirects and for unknown paths.
type excluded struct{}

func (excluded) ServeHTTP(http.ResponseWriter, *http.Request) {}

// sharesSessions reports whether both find the same session in a request.
func (m *Middleware) sharesSessions(other *Middleware) bool {
	a, ok := m.carrier.(*Cookies)
	b, bothOK := other.carrier.(*Cookies)
	if ok && bothOK {
		return a == b || a.template.Name == b.template.Name && sameValue(a.store, b.store)
	}
	return sameValue(m.carrier, other.carrier)
}

// sameValue compares values that may be of a type that cannot be compared.
func sameValue(a, b any) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// A cookieNamer is a carrier that can tell whether another one would overwrite
// its cookie.
type cookieNamer interface{ CookieName() string }

func (m *Middleware) excludes(r *http.Request) bool {
	if m.opts.NoHTTP || m.opts.NoWebSocket {
		if ws := isWebSocket(r); ws && m.opts.NoWebSocket || !ws && m.opts.NoHTTP {
			return true
		}
	}
	if m.excluded != nil {
		if h, _ := m.excluded.Handler(r); h == (excluded{}) {
			return true
		}
	}
	return m.opts.ExcludeFunc != nil && m.opts.ExcludeFunc(r)
}

// isWebSocket recognises the opening handshake: RFC 6455 4.2.1, and over
// HTTP/2 RFC 8441 4.
func isWebSocket(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return strings.EqualFold(r.Header.Get(":protocol"), "websocket")
	}
	return httpheader.HasToken(r.Header["Connection"], "upgrade") && httpheader.HasToken(r.Header["Upgrade"], "websocket")
}
