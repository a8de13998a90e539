package securecookie_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

var errDown = errors.New("the database is down")

// accounts are the users of an application.
type accounts struct {
	version atomic.Int64
	down    atomic.Bool
}

const version sessions.Key[int64] = "version"

func (a *accounts) valid(_ context.Context, s *sessions.Session) (bool, error) {
	if a.down.Load() {
		return false, errDown
	}
	return s.Owner() == "" || version.Get(s) == a.version.Load(), nil
}

func TestValidOfASealedSession(t *testing.T) {
	a := new(accounts)
	o := securecookie.CarrierOptions{CookieOptions: sessions.CookieOptions{Valid: a.valid}}
	overBoth(t, o, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		switch r.URL.Path {
		case "/login":
			s.Login("ann")
			version.Set(s, a.version.Load())
		case "/change":
			a.version.Add(1)
			if err := sessions.Reload(r.Context()); !errors.Is(err, sessions.ErrDeleted) {
				t.Errorf("Reload of a session that is not valid any more = %v", err)
			}
			version.Set(s, a.version.Load())
			s.Login("ann")
			if err := sessions.Reload(r.Context()); err != nil {
				t.Errorf("Reload after the login = %v", err)
			}
		case "/down":
			a.down.Store(true)
			if err := sessions.Reload(r.Context()); !errors.Is(err, errDown) {
				t.Errorf("Reload with a database that is down = %v", err)
			}
		}
		fmt.Fprintf(w, "owner %q", s.Owner())
	}, func(t *testing.T, visit func(string) (*http.Response, string), log *bytes.Buffer) {
		a.down.Store(false)
		want := func(path, want string, cookies int) {
			t.Helper()
			if res, body := visit(path); !strings.HasPrefix(body, want) || len(res.Cookies()) != cookies {
				t.Errorf("%s: got %q and %d cookies, want %q and %d", path, body, len(res.Cookies()), want, cookies)
			}
		}
		want("/login", `owner "ann"`, 1)
		want("/", `owner "ann"`, 0)
		want("/change", `owner "ann"`, 1)
		want("/", `owner "ann"`, 0)
		a.version.Add(1)
		want("/", `owner ""`, 0)
		a.version.Add(-1)
		want("/down", `owner "ann"`, 0)
		want("/", "Internal Server Error", 0)
		a.down.Store(false)
		want("/", `owner "ann"`, 0)
	})
}

func TestReloadOfASealedSessionAsksNotBeforeAndTheLifetime(t *testing.T) {
	var from atomic.Int64
	o := securecookie.CarrierOptions{NotBefore: func(context.Context, string) (time.Time, error) {
		return time.Unix(0, from.Load()), nil
	}}
	c := newCarrier(t, newRing(t, "reload"), o)
	s := c.New()
	if err := c.Reload(t.Context(), s); err != nil {
		t.Errorf("of a new session: %v", err)
	}
	s.Login("ann")
	value, err := c.Serialize(s, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = c.Unserialize(t.Context(), value); err != nil || s.Owner() != "ann" {
		t.Fatalf("%v, %v", s, err)
	}
	if err := c.Reload(t.Context(), s); err != nil {
		t.Error(err)
	}
	from.Store(time.Now().UnixNano())
	if err := c.Reload(t.Context(), s); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("after NotBefore: %v", err)
	}
	from.Store(0)
	s.SetLifetime(time.Second)
	time.Sleep(1100 * time.Millisecond)
	if err := c.Reload(t.Context(), s); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("after the lifetime: %v", err)
	}
}

// The function of an Update runs once, and the response carries its changes.
func TestUpdateOfASealedSession(t *testing.T) {
	errOwn := errors.New("the function's own")
	overBoth(t, securecookie.CarrierOptions{}, func(w http.ResponseWriter, r *http.Request) {
		const count sessions.Key[int] = "count"
		s := sessions.FromContext(r.Context())
		runs := 0
		update := func(s *sessions.Session) error {
			runs++
			count.Set(s, count.Get(s)+1)
			switch r.URL.Path {
			case "/clear":
				s.Clear()
			case "/fail":
				return errOwn
			case "/large":
				s.Set("large", strings.Repeat("x", 100_000))
			}
			return nil
		}
		if r.URL.Path == "/late" {
			w.WriteHeader(200)
		}
		err := sessions.Update(r.Context(), update)
		cookies := map[string]int{"/": 1, "/clear": 1}[r.URL.Path]
		failed := map[string]bool{"/fail": true, "/large": true, "/late": true}[r.URL.Path]
		if (err != nil) != failed || runs > 1 || len(w.Header()["Set-Cookie"]) != cookies || s.Modified() {
			t.Errorf("%s: %v, %d runs, %q", r.URL.Path, err, runs, w.Header()["Set-Cookie"])
		}
		fmt.Fprint(w, count.Get(s))
	}, func(t *testing.T, visit func(string) (*http.Response, string), log *bytes.Buffer) {
		for _, step := range []struct{ path, want string }{
			{"/fail", "0"}, {"/", "1"}, {"/", "2"}, {"/fail", "2"}, {"/large", "2"}, {"/late", "2"}, {"/", "3"}, {"/clear", "0"}, {"/", "1"},
		} {
			if res, body := visit(step.path); res.StatusCode != 200 || body != step.want {
				t.Errorf("%s: got %q, want %q", step.path, body, step.want)
			}
		}
	})
}

// Both clicks of a double-clicked login are logins, and so is one beside a logout:
// the last response to arrive is the browser's.
func TestLoginOfASealedSessionBesideOthers(t *testing.T) {
	b := newBrowser(t, securecookie.CarrierOptions{})
	b.put("cart", 1)
	for name, beside := range map[string]func(*sessions.Session){
		"a login":  func(s *sessions.Session) { s.Login("ann") },
		"a logout": (*sessions.Session).Destroy,
	} {
		owner := ""
		b.visit(func(s *sessions.Session) {
			b.visit(beside)
			s.Login("ann")
		})
		b.visit(func(s *sessions.Session) { owner = s.Owner() })
		if owner != "ann" {
			t.Errorf("beside %s: owner %q", name, owner)
		}
	}
}
