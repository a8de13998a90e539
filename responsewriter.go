package sessions

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// writer returns what the handler writes to. It is an http.Hijacker only when
// the server's own writer is: a handler may look for that to find out whether
// it can speak WebSocket. (HTTP/2 push, which browsers have given up, is not
// passed on.)
func (x *exchange) writer() http.ResponseWriter {
	// Through the writers of other middleware, as http.ResponseController does.
	for w := x.w; ; {
		if _, ok := w.(http.Hijacker); ok {
			return hijacker{x}
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return x
		}
		w = u.Unwrap()
	}
}

// Header returns the response's header.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader saves the session first, unless the status is an informational
// one, after which the response is still to come (RFC 9110 15.2). 101 is final.
func (x *exchange) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		x.w.WriteHeader(status)
		return
	}
	if x.begin() == nil {
		x.w.WriteHeader(status)
	}
}

func (x *exchange) Write(p []byte) (int, error) {
	if err := x.begin(); err != nil {
		return 0, err
	}
	return x.w.Write(p)
}

// WriteString spares io.WriteString the copy.
func (x *exchange) WriteString(s string) (int, error) {
	if err := x.begin(); err != nil {
		return 0, err
	}
	return io.WriteString(x.w, s)
}

// ReadFrom keeps sendfile(2) for http.ServeContent.
func (x *exchange) ReadFrom(src io.Reader) (int64, error) {
	if err := x.begin(); err != nil {
		return 0, err
	}
	return io.Copy(x.w, src)
}

// Flush is for handlers that look for http.Flusher.
func (x *exchange) Flush() { x.FlushError() }

// FlushError is what http.ResponseController calls.
func (x *exchange) FlushError() error {
	if err := x.begin(); err != nil {
		return err
	}
	return http.NewResponseController(x.w).Flush()
}

// Unwrap lets http.ResponseController do the rest: deadlines and full duplex.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// hijacker is an exchange whose connection the handler may take over.
type hijacker struct{ *exchange }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := h.begin(); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(h.w).Hijack()
}
