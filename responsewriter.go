package sessions

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

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
