package sessions_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
)

func TestMiddlewareInsideAnother(t *testing.T) {
	named := func(name string) sessions.CookieOptions {
		return sessions.CookieOptions{Cookie: http.Cookie{Name: name}}
	}
	one, two := newStore(t, sessions.FilesystemOptions{}), newStore(t, sessions.FilesystemOptions{})
	mw := func(store sessions.SessionStore, o sessions.CookieOptions) *sessions.Middleware {
		return newMiddleware(t, store, o, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	}
	onOne := mw(one, named(""))
	for _, test := range []struct {
		name         string
		outer, inner *sessions.Middleware
		status       int
		cookies      int
	}{
		{"the same one", onOne, onOne, 200, 1},
		{"on one store", onOne, mw(one, named("")), 200, 1},
		{"on two stores", mw(one, named("outer-session")), mw(two, named("inner-session")), 200, 2},
		{"on one store, with two cookies", mw(one, named("outer-session")), mw(one, named("inner-session")), 200, 2},
		{"on two stores, with one cookie", onOne, mw(two, named("")), 500, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					outer, inner := test.outer.FromContext(r.Context()), test.inner.FromContext(r.Context())
					if sessions.FromContext(r.Context()) != inner {
						t.Error("FromContext does not return the innermost session")
					}
					if (outer == inner) != (test.cookies == 1) {
						t.Errorf("one session: %v", outer == inner)
					}
					if r.URL.Path == "/set" {
						outer.Set("outer", 1)
						inner.Set("inner", 1)
						return
					}
					fmt.Fprint(w, outer.Get("outer"), inner.Get("inner"))
				})
				site := newSiteWith(t, o, steps)
				site.Config.Handler = withOuterHeaders(test.outer.Wrap(test.inner.Wrap(handler)))
				res, _ := site.get(t, "/set")
				if res.StatusCode != test.status || len(sessionCookies(res)) != test.cookies || res.Header.Get("X-Outer") != "kept" {
					t.Fatalf("got status %d with %d cookies, want %d with %d", res.StatusCode, len(sessionCookies(res)), test.status, test.cookies)
				}
				if _, body := site.get(t, "/get"); test.status == 200 && body != "1 1" {
					t.Errorf("afterwards: got %q, want both values", body)
				}
			})
		})
	}
}

func TestMiddlewareThatFailsKeepsTheCookieOfOneInsideIt(t *testing.T) {
	one, two := newStore(t, smallStore()), newStore(t, sessions.FilesystemOptions{})
	outer := newMiddleware(t, one, sessions.CookieOptions{Cookie: http.Cookie{Name: "outer-session"}}, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	inner := newMiddleware(t, two, sessions.CookieOptions{}, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)}, steps)
	st.Config.Handler = outer.Wrap(inner.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outer.FromContext(r.Context()).Set("a", strings.Repeat("a", tooMuch))
		inner.FromContext(r.Context()).Set("a", 1)
	})))
	res, _ := st.get(t, "/")
	if c := sessionCookies(res); res.StatusCode != 500 || len(c) != 1 || c[0].Name != "__Host-session" {
		t.Errorf("got status %d and cookies %v, want 500 with the inner session's", res.StatusCode, c)
	}
}

func TestMiddlewareFromContextPanicsWithoutIt(t *testing.T) {
	mw := newMiddleware(t, newStore(t, sessions.FilesystemOptions{}), sessions.CookieOptions{}, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	defer func() {
		if p, ok := recover().(string); !ok || !strings.Contains(p, "not inside the Middleware") {
			t.Errorf("got panic %q, want one that says what is wrong", p)
		}
	}()
	mw.FromContext(t.Context())
}
