package sessions

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sessfs/sessions/internal/httpheader"
)

// An exchange is one request and its response, between which the session is
// loaded, changed and saved.
type exchange struct {
	m       *Middleware
	outer   *exchange // of another middleware around m
	w       http.ResponseWriter
	r       *http.Request
	cookies []string // of r; a handler may take them out of its header

	session   atomic.Pointer[Session]         // nil until it is asked for
	askedWith atomic.Pointer[context.Context] // that it was last asked for with, of those that can end before r's

	mu       sync.Mutex // held over loads and saves; guards the fields below
	begun    bool       // the response: the session was saved, and the header is out or about to be
	hijacked bool
	replaced bool   // the handler's response is not sent
	stopped  error  // why nothing is saved any more
	saved    uint64 // the session's clock before it was last saved

	before     http.Header // the response's, before the handler or the carrier changed it
	remembered bool        // before is that
	own        []string    // lines of Set-Cookie that are the carrier's
}

// load returns the session, for a caller with ctx.
func (x *exchange) load(ctx context.Context) *Session {
	if ctx.Done() != x.r.Context().Done() {
		shorter := ctx
		x.askedWith.Store(&shorter)
	}
	if s := x.session.Load(); s != nil {
		return s
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.session.Load(); s != nil {
		return s
	}
	x.cookies = slices.Clone(x.cookies)
	s, err := x.m.carrier.Load(x.request())
	if err != nil {
		s = failedSession(err)
	}
	x.session.Store(s)
	if x.begun && !x.hijacked && ctx.Err() == nil {
		x.log(slog.LevelError, "a session was first asked for after the response had begun: caches cannot be told that it is personal, nor the browser its cookie", err)
	}
	return s
}

// request returns the request with the cookies that it came with.
func (x *exchange) request() *http.Request {
	if slices.Equal(x.r.Header["Cookie"], x.cookies) {
		return x.r
	}
	r := x.r.WithContext(x.r.Context())
	if r.Header = maps.Clone(x.r.Header); r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header["Cookie"] = x.cookies
	return r
}

// begin saves the session before the first byte of the response. Its error is
// the handler's in place of writing: the error handler has answered.
func (x *exchange) begin(status int) error {
	cause, err := x.settle(status)
	if cause != nil {
		x.replace(cause)
	}
	return err
}

// settle decides, the first time, the fate of the session's changes: cause is the
// reason to replace the response. Its err is begin's.
func (x *exchange) settle(status int) (cause, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s, first := x.session.Load(), !x.begun
	x.begun = true
	switch {
	case !first && x.replaced:
		return nil, x.stopped
	case !first || s == nil:
		return nil, nil
	case x.isCutOff(status):
		x.stopped = errCutOff
		httpheader.Personal(x.w.Header())
		x.log(slog.LevelWarn, "a handler was cut off by a timeout; what it changed in its session is dropped", nil)
		return nil, nil
	}
	cause = x.commit(s)
	switch {
	case cause == nil:
		return nil, nil
	case errors.Is(cause, ErrDeleted) && !s.isLogin():
		x.stopped = cause
		x.log(slog.LevelInfo, "a session was ended while a request used it; what it changed is dropped", nil)
		return nil, nil
	}
	x.replaced, x.stopped = true, fmt.Errorf("%w: %w", errReplaced, cause)
	return cause, x.stopped
}

var (
	// errReplaced is the error of a handler's Write when its response is not
	// sent.
	errReplaced = errors.New("sessions: the response was replaced, since its session could not be loaded or saved")

	// errCutOff is the error of a handler's Save when its time is over.
	errCutOff = errors.New("sessions: the handler was cut off by a timeout")
)

// isCutOff recognises http.TimeoutHandler inside the middleware, which answers
// for a handler that is still running, perhaps between two changes: the context
// that it gave the handler is over.
func (x *exchange) isCutOff(status int) bool {
	ctx := x.askedWith.Load()
	return status == http.StatusServiceUnavailable && ctx != nil && (*ctx).Err() != nil
}

// isLogin reports whether the session is about to get another ID or owner: the
// user would take a dropped save for a login that worked. After Login, the store
// keeps a session of its own instead.
func (s *Session) isLogin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[toRenew] > 0 || s.asked[toSetOwner] > 0
}

// commit saves the session and sets the response's header.
func (x *exchange) commit(s *Session) error {
	_, x.saved = s.modifiedAt()
	return x.withHeader(func() error { return x.m.carrier.Commit(x.w, x.request(), s) })
}

// withHeader notes the cookies that save sets in the response's header.
func (x *exchange) withHeader(save func() error) error {
	x.remember()
	h := x.w.Header()
	was := slices.Clone(h["Set-Cookie"])
	if err := save(); err != nil {
		return err
	}
	for _, line := range h["Set-Cookie"] {
		switch {
		case !slices.Contains(was, line):
			x.keep(line)
		case slices.Contains(x.own, line):
			httpheader.NoStore(h) // the handler may have overwritten it since the last commit
		}
	}
	return nil
}

// keep notes a cookie that goes out with whatever response there will be, that
// of a middleware around this one included.
func (x *exchange) keep(line string) {
	x.own = append(x.own, line)
	for o := x.outer; o != nil; o = o.outer {
		o.mu.Lock()
		o.own = append(o.own, line)
		o.mu.Unlock()
	}
}

// remember notes the response's header as it was before the handler.
func (x *exchange) remember() {
	if h := x.w.Header(); !x.remembered && len(h) > 0 {
		x.before = maps.Clone(h)
	}
	x.remembered = true
}

// replace has the error handler answer in place of the handler, none of whose
// headers are sent.
func (x *exchange) replace(err error) {
	level := slog.LevelError
	switch ended := x.r.Context().Err(); {
	case errors.Is(err, errRequestEnded):
		level = slog.LevelWarn
	case ended != nil && errors.Is(err, ended):
		level = slog.LevelDebug // the load was broken off: there is no response
	}
	x.log(level, "a response was replaced, since its session could not be loaded or saved", err)
	x.remember()
	h := x.w.Header()
	httpheader.Restore(h, x.before, x.own)
	httpheader.Personal(h)
	answer := &exchange{m: x.m, w: x.w, r: x.r} // whose session is never asked for
	x.m.opts.ErrorHandler(answer.writer(), x.r, err)
	if !answer.begun {
		answer.WriteHeader(http.StatusInternalServerError)
	}
}

// finish ends the exchange when the handler has returned.
func (x *exchange) finish() {
	if x.begin(http.StatusOK) != nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.session.Load()
	if s == nil || x.stopped != nil {
		return
	}
	modified, at := s.modifiedAt()
	if !modified || at <= x.saved || s.Err() != nil {
		return
	}
	err := errLate
	if late, ok := x.m.carrier.(LateSaver); ok && s.onlyFlashesSince(x.saved) {
		err = late.SaveLate(x.request(), s)
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrDeleted):
		x.log(slog.LevelInfo, "a session was ended while a request used it; what it changed is dropped", nil)
	default:
		x.log(slog.LevelError, "a session was changed after the response had begun, and the change is lost; change it earlier, or call sessions.Save", err)
	}
}

var errLate = errors.New("sessions: the response had begun")

// log writes a line that tells the route, and never the path or a session.
func (x *exchange) log(level slog.Level, message string, err error) {
	args := []any{"method", x.r.Method, "pattern", x.r.Pattern}
	if err != nil {
		args = append(args, "error", err)
	}
	x.m.opts.Logger.Log(x.r.Context(), level, "sessions: "+message, args...)
}

func fromContext(ctx context.Context) *exchange {
	x, _ := ctx.Value(contextKey{}).(*exchange)
	return x
}

// writer returns the handler's writer. It is an http.Hijacker only when
// the server's own writer is: a handler may look for that to find out whether
// it can speak WebSocket. (HTTP/2 push, which browsers have given up, is not
// passed on.)
func (x *exchange) writer() http.ResponseWriter {
	// Through the writers of other middleware, as http.ResponseController does.
	if isOver[http.Hijacker](x.w) {
		return hijacker{x}
	}
	return x
}

// isOver looks for a T through the writers of other middleware, as
// http.ResponseController does. An exchange is as much of one as the writer
// below it.
func isOver[T any](w http.ResponseWriter) bool {
	for {
		_, passes := w.(interface{ passesOn() })
		if _, ok := w.(T); ok && !passes {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

func (x *exchange) passesOn() {}

// Header returns the response's header.
func (x *exchange) Header() http.Header {
	x.remember()
	return x.w.Header()
}

// WriteHeader saves the session first, unless the status is an informational
// one, after which the response is still to come (RFC 9110 15.2). 101 is final.
func (x *exchange) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		x.w.WriteHeader(status)
		return
	}
	if x.begin(status) == nil {
		x.w.WriteHeader(status)
	}
}

func (x *exchange) Write(p []byte) (int, error) {
	if err := x.begin(http.StatusOK); err != nil {
		return 0, err
	}
	return x.w.Write(p)
}

// WriteString spares io.WriteString the copy.
func (x *exchange) WriteString(s string) (int, error) {
	if err := x.begin(http.StatusOK); err != nil {
		return 0, err
	}
	return io.WriteString(x.w, s)
}

// ReadFrom keeps sendfile(2) for http.ServeContent.
func (x *exchange) ReadFrom(src io.Reader) (int64, error) {
	if err := x.begin(http.StatusOK); err != nil {
		return 0, err
	}
	return io.Copy(x.w, src)
}

// Flush is for handlers that look for http.Flusher.
func (x *exchange) Flush() { x.FlushError() }

// FlushError is called by http.ResponseController. Where no writer below can
// flush, the response does not begin.
func (x *exchange) FlushError() error {
	if isOver[http.Flusher](x.w) || isOver[interface{ FlushError() error }](x.w) {
		if err := x.begin(http.StatusOK); err != nil {
			return err
		}
	}
	return http.NewResponseController(x.w).Flush()
}

// Unwrap lets http.ResponseController do the rest: deadlines and full duplex.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// hijacker is an exchange whose connection the handler may take over.
type hijacker struct{ *exchange }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := h.begin(http.StatusSwitchingProtocols); err != nil {
		return nil, nil, err
	}
	conn, buffered, err := http.NewResponseController(h.w).Hijack()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hijacked = err == nil
	return conn, buffered, err
}
