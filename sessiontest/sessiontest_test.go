package sessiontest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
	"github.com/sessfs/sessions/sessiontest"
)

func TestNewRequestHasASessionThatCanBeSaved(t *testing.T) {
	r, s := sessiontest.NewRequest("POST", "/cart?a=1", strings.NewReader("body"))
	ctx := r.Context()
	if sessions.FromContext(ctx) != s || r.URL.RawQuery != "a=1" || !s.New() {
		t.Errorf("got %v, %v", r.URL, s)
	}
	if err := sessions.Reload(ctx); err != nil {
		t.Error(err)
	}
	s.Set("n", 1)
	if err := sessions.Save(ctx); err != nil || s.New() || s.Modified() {
		t.Errorf("Save = %v, %v", err, s)
	}
	errOwn := errors.New("own")
	if err := sessions.Update(ctx, func(s *sessions.Session) error { s.Set("n", 3); return errOwn }); !errors.Is(err, errOwn) || s.Get("n") != 1 {
		t.Errorf("Update = %v, n = %v", err, s.Get("n"))
	}
	if err := sessions.Update(ctx, func(s *sessions.Session) error { s.Set("n", 2); return nil }); err != nil || s.Get("n") != 2 {
		t.Errorf("Update = %v, n = %v", err, s.Get("n"))
	}
	s.Set("m", 1)
	if err := sessions.Reload(ctx); err != nil || s.Get("m") != 1 {
		t.Errorf("Reload = %v, %v", err, s)
	}
	s.Destroy()
	if err := sessions.Save(ctx); err != nil {
		t.Error(err)
	}
	if err := sessions.Reload(ctx); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("Reload after the end = %v", err)
	}
}

func TestNewContextOfASessionWithoutAStoreIsAnError(t *testing.T) {
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: []securecookie.Key{securecookie.GenerateKey()}, Audience: "test"})
	if err != nil {
		t.Fatal(err)
	}
	carrier, err := securecookie.NewCarrier(ring, securecookie.CarrierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := sessions.NewContext(t.Context(), carrier.New())
	sessions.FromContext(ctx).Set("a", 1)
	update := func(*sessions.Session) error { return nil }
	for name, err := range map[string]error{"Save": sessions.Save(ctx), "Update": sessions.Update(ctx, update), "Reload": sessions.Reload(ctx)} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s = %v", name, err)
		}
	}
}

func TestNewRequestGoesThroughAMiddleware(t *testing.T) {
	r, s := sessiontest.NewRequest("GET", "/", nil)
	cookies, err := sessions.NewCookies(sessiontest.NewStore(), sessions.CookieOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if inner := sessions.FromContext(r.Context()); inner == s {
			t.Error("the middleware has no session of its own")
		} else {
			inner.Set("a", 1)
		}
	})).ServeHTTP(w, r)
	if len(w.Result().Cookies()) != 1 {
		t.Errorf("got %v", w.Result().Header)
	}
}

func TestNewClientSendsWhatABrowserSends(t *testing.T) {
	client := sessiontest.NewClient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/login":
			http.SetCookie(w, &http.Cookie{Name: "__Host-a", Value: r.FormValue("user"), Path: "/", Secure: true})
			http.Redirect(w, r, "/home", http.StatusSeeOther)
		case "/home":
			c, _ := r.Cookie("__Host-a")
			fmt.Fprint(w, r.Method, " ", r.Host, " ", r.TLS != nil, " ", r.Header.Get("X"), " ", c.String())
		case "/panic":
			panic("own")
		}
	}))
	res, err := client.PostForm("https://example.com/login#top", url.Values{"user": {"ann"}})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "GET example.com true  __Host-a=ann" || res.Request.URL.Path != "/home" {
		t.Errorf("got %q, %v", body, err)
	}
	defer func() {
		if recover() != "own" {
			t.Error("the panic is lost")
		}
	}()
	client.Get("https://example.com/panic")
}
