package sessions

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
)

type contextKey struct{}

func fromContext(ctx context.Context) *exchange {
	x, _ := ctx.Value(contextKey{}).(*exchange)
	return x
}

// FromContext returns the session of a request whose handler is wrapped in a
// [Middleware], from the request's context. The first call loads it; when that
// fails, the session is empty, [Session.Err] says why, and the middleware
// answers the request.
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

// LookupContext is FromContext for code that also runs without a session.
func LookupContext(ctx context.Context) (*Session, bool) {
	x := fromContext(ctx)
	if x == nil {
		return nil, false
	}
	return x.load(), true
}

// Save saves the session of a request whose response has begun, if it should be
// saved: for handlers of WebSockets and server-sent events, which go on after
// the middleware has saved. Before that, it does nothing and leaves it to the
// middleware. The error says so when the session cannot be saved any more; see
// [LateSaver].
func Save(ctx context.Context) error {
	x := fromContext(ctx)
	if x == nil {
		return errors.New("sessions: Save: no session: the handler is not inside a Middleware, or the request is excluded")
	}
	return x.save()
}

// An exchange is one request and its response, between which the session is
// loaded, changed and saved.
type exchange struct {
	m *Middleware
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
		x.m.opts.Logger.Debug("sessions: a session was ended while a request used it; what it changed is dropped")
	case err != nil:
		x.failed = errReplaced
		level := slog.LevelError
		if x.r.Context().Err() != nil {
			level = slog.LevelDebug // the client has gone, or the server ends: nobody gets a response
		}
		x.m.opts.Logger.Log(x.r.Context(), level, "sessions: a response was replaced, since its session could not be loaded or saved", "error", err)
		for _, name := range entityHeaders {
			delete(x.w.Header(), name)
		}
		x.m.opts.ErrorHandler(x.w, x.r, err)
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
		x.m.opts.Logger.Error("sessions: a session was first asked for after the response had begun, and could not be loaded", "error", err)
	case modified && at > x.saved:
		x.m.opts.Logger.Error("sessions: a session was changed after the response had begun, and the change is lost; change it earlier, or call sessions.Save")
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
