// Package sessiontest is for tests of applications that use package sessions.
//
// A handler by itself is tried with [NewRequest], which puts a session into the
// request's context. A handler inside a [sessions.Middleware] is tried with
// [NewClient], which keeps cookies as a browser does. Neither needs a server or
// files: [NewStore] keeps sessions in memory.
package sessiontest

import (
	"cmp"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/storetest"
)

// NewStore returns a store in memory, which keeps every rule of
// [sessions.SessionStore]. Its sessions do not expire.
func NewStore() *storetest.Memory { return storetest.NewMemory(0) }

// NewRequest is [httptest.NewRequest] with a new session, of a store in memory, in the
// request's context, where [sessions.FromContext] finds it. The handler's changes are
// in the returned session. [sessions.Save], [sessions.Update] and [sessions.Reload]
// work as after the first byte, and no cookie is set.
func NewRequest(method, target string, body io.Reader) (*http.Request, *sessions.Session) {
	s := NewStore().New()
	r := httptest.NewRequest(method, target, body)
	return r.WithContext(sessions.NewContext(r.Context(), s)), s
}

// NewClient returns a client whose requests the handler answers, with a cookie jar of
// its own. URLs are absolute, with any host, "https://example.com/cart" for example;
// the default cookie needs https. The response is returned after the handler has
// returned. A panic of the handler is a panic of the client's method.
func NewClient(h http.Handler) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // New has none
	}
	return &http.Client{Jar: jar, Transport: transport{h}}
}

// A transport answers requests by a handler.
type transport struct{ handler http.Handler }

// RoundTrip calls the handler.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	target := *r.URL
	target.Fragment, target.RawFragment = "", ""
	sent := httptest.NewRequestWithContext(r.Context(), cmp.Or(r.Method, http.MethodGet), target.String(), r.Body)
	sent.Header, sent.ContentLength = r.Header.Clone(), r.ContentLength
	sent.Host = cmp.Or(r.Host, sent.Host)
	w := httptest.NewRecorder()
	t.handler.ServeHTTP(w, sent)
	res := w.Result()
	res.Request = r
	return res, nil
}
