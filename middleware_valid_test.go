package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessfs/sessions"
)

// accounts are an application's users: the version of each one's
// password, which a session notes at login.
type accounts struct {
	version atomic.Int64
	down    atomic.Bool
	asked   atomic.Int64
}

var errDown = errors.New("the database is down")

const version sessions.Key[int64] = "version"

func (a *accounts) valid(_ context.Context, s *sessions.Session) (bool, error) {
	a.asked.Add(1)
	if a.down.Load() {
		return false, errDown
	}
	return s.Owner() == "" || version.Get(s) == a.version.Load(), nil
}

// ServeHTTP does to the session the act that the path names.
func (a *accounts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	switch r.URL.Path {
	case "/visit":
		s.Set("cart", 1)
	case "/login":
		s.Login("ann")
		version.Set(s, a.version.Load())
	case "/logout":
		s.Destroy()
	case "/change":
		s.Set("changed", true)
	}
	fmt.Fprintf(w, "%s:%v", s.Owner(), s.Get("cart"))
}

// newAccounts starts a site of accounts whose client keeps no cookies. Before each
// request is handled, before is called with the request.
func newAccounts(t *testing.T, before func(*http.Request)) (a *accounts, st *site, events *eventLog) {
	a, events = new(accounts), new(eventLog)
	st = newSiteWith(t, siteOptions{
		store:   sessions.FilesystemOptions{Observe: events.add},
		cookies: sessions.CookieOptions{Valid: a.valid},
	}, func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context())
		if before != nil {
			before(r)
		}
		a.ServeHTTP(w, r)
	})
	st.Client().Jar = nil
	return a, st, events
}

type eventLog struct {
	mu     sync.Mutex
	events []sessions.Event
}

func (l *eventLog) add(_ context.Context, e sessions.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *eventLog) ended(reason sessions.EndReason) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Kind == sessions.EventEnded && e.Reason == reason {
			n++
		}
	}
	return n
}

// as sends a request with a cookie that a response has set.
func (st *site) as(t *testing.T, res *http.Response, path string) (*http.Response, string) {
	t.Helper()
	c := sessionCookie(res)
	if c == nil {
		t.Fatalf("%s: no cookie to send", path)
	}
	return st.get(t, path, "Cookie", c.Name+"="+c.Value)
}

func TestValidEndsASessionThatDoesNotCountAnyMore(t *testing.T) {
	a, st, events := newAccounts(t, nil)
	login, _ := st.get(t, "/login")
	if _, body := st.as(t, login, "/"); body != "ann:<nil>" || a.asked.Load() != 1 {
		t.Errorf("got %q, asked %d times", body, a.asked.Load())
	}
	a.version.Add(1)
	res, body := st.as(t, login, "/")
	if body != ":<nil>" || len(res.Cookies()) != 0 || st.files(t) != 0 || events.ended(sessions.EndedInvalid) != 1 {
		t.Errorf("got %q, cookies %v, %d files, %d ended as not valid", body, res.Cookies(), st.files(t), events.ended(sessions.EndedInvalid))
	}
	a.version.Add(-1)
	if _, body := st.as(t, login, "/"); body != ":<nil>" {
		t.Errorf("the session came back: %q", body)
	}
	if res, _ := st.as(t, login, "/visit"); sessionCookie(res) == nil || sessionCookie(res).Value == sessionCookie(login).Value {
		t.Error("the next session has the old ID")
	}
}

func TestValidIsAskedOnceForEachStoredSession(t *testing.T) {
	a, st, _ := newAccounts(t, func(r *http.Request) { sessions.FromContext(r.Context()) })
	visit, _ := st.get(t, "/visit")
	st.get(t, "/", "Cookie", "__Host-session="+st.store.GenerateKey())
	if a.asked.Load() != 0 {
		t.Errorf("asked %d times for new sessions", a.asked.Load())
	}
	if st.as(t, visit, "/change"); a.asked.Load() != 1 {
		t.Errorf("asked %d times", a.asked.Load())
	}
}

func TestValidOfADatabaseThatIsDownEndsNothing(t *testing.T) {
	a, st, events := newAccounts(t, nil)
	login, _ := st.get(t, "/login")
	a.down.Store(true)
	res, body := st.as(t, login, "/")
	if res.StatusCode != 500 || len(res.Cookies()) != 0 || strings.Contains(body, "ann") || st.files(t) != 1 || events.ended(sessions.EndedInvalid) != 0 {
		t.Errorf("status %d, %q, cookies %v, %d files", res.StatusCode, body, res.Cookies(), st.files(t))
	}
	if !strings.Contains(st.log.String(), errDown.Error()) {
		t.Errorf("logged %q", st.log)
	}
	a.down.Store(false)
	if _, body := st.as(t, login, "/"); body != "ann:<nil>" {
		t.Errorf("afterwards: %q", body)
	}
}

// Another visitor's cookie of the name comes first; the user's own one is valid.
func TestValidLooksAtTheSecondCookie(t *testing.T) {
	a, st, _ := newAccounts(t, nil)
	old, _ := st.get(t, "/login")
	a.version.Add(1)
	login, _ := st.get(t, "/login")
	own, planted := sessionCookie(login), sessionCookie(old)
	if _, body := st.get(t, "/", "Cookie", planted.Name+"="+planted.Value+"; "+own.Name+"="+own.Value); body != "ann:<nil>" || st.files(t) != 1 {
		t.Errorf("got %q, %d files", body, st.files(t))
	}
}

// A request is under way when the user changes the password in another one.
func TestValidAndAPasswordThatChangesBesideARequest(t *testing.T) {
	var st *site
	var a *accounts
	var login, elsewhere, changed *http.Response
	a, st, _ = newAccounts(t, func(r *http.Request) {
		if r.URL.Path != "/change" {
			return
		}
		a.version.Add(1)
		changed, _ = st.as(t, login, "/login")
		s := st.stored(t, changed)
		if n, err := st.store.DeleteOwner(r.Context(), "ann", s.PublicID()); n != 1 || err != nil {
			t.Errorf("DeleteOwner = %d, %v", n, err)
		}
	})
	login, _ = st.get(t, "/login")
	elsewhere, _ = st.get(t, "/login")
	if res, _ := st.as(t, login, "/change"); res.StatusCode != 200 || len(res.Cookies()) != 0 {
		t.Errorf("the request beside it: status %d, cookies %v", res.StatusCode, res.Cookies())
	}
	for name, test := range map[string]struct {
		res  *http.Response
		want string
	}{"before": {login, ":<nil>"}, "elsewhere": {elsewhere, ":<nil>"}, "changed": {changed, "ann:<nil>"}} {
		if _, body := st.as(t, test.res, "/"); body != test.want {
			t.Errorf("%s: got %q, want %q", name, body, test.want)
		}
	}
	if s := st.stored(t, changed); s.Get("changed") != nil || st.files(t) != 1 {
		t.Errorf("the change that was dropped is stored; %d files", st.files(t))
	}
}

// Both clicks of a double-clicked login, of a visitor with a session and of one
// without, get a session of their own.
func TestLoginThatIsClickedTwice(t *testing.T) {
	for _, first := range []string{"/visit", ""} {
		var st *site
		var inner, visit *http.Response
		var nested atomic.Bool
		click := func() (*http.Response, string) {
			if visit == nil {
				return st.get(t, "/login")
			}
			return st.as(t, visit, "/login")
		}
		_, st, _ = newAccounts(t, func(r *http.Request) {
			if r.URL.Path == "/login" && nested.CompareAndSwap(false, true) {
				inner, _ = click()
			}
		})
		if first != "" {
			visit, _ = st.get(t, first)
		}
		outer, _ := click()
		for name, res := range map[string]*http.Response{"first": inner, "second": outer} {
			if _, body := st.as(t, res, "/"); res.StatusCode != 200 || !strings.HasPrefix(body, "ann:") {
				t.Errorf("after %q, the %s click: status %d, then %q", first, name, res.StatusCode, body)
			}
		}
		if visit != nil {
			if _, body := st.as(t, visit, "/"); body != ":<nil>" {
				t.Errorf("the ID from before the login works: %q", body)
			}
		}
		if sessionCookie(inner).Value == sessionCookie(outer).Value || st.files(t) != 2 || strings.Contains(st.log.String(), "level=ERROR") {
			t.Errorf("after %q: %d files, logged %s", first, st.files(t), st.log)
		}
	}
}

// Whichever of the two is first, the login's session is there afterwards and the
// one that both came with is gone.
func TestLoginBesideALogout(t *testing.T) {
	for _, slow := range []string{"/login", "/logout"} {
		quick := map[string]string{"/login": "/logout", "/logout": "/login"}[slow]
		var st *site
		var visit, inner *http.Response
		_, st, _ = newAccounts(t, func(r *http.Request) {
			if r.URL.Path == slow {
				inner, _ = st.as(t, visit, quick)
			}
		})
		visit, _ = st.get(t, "/visit")
		outer, _ := st.as(t, visit, slow)
		login := map[string]*http.Response{slow: outer, quick: inner}["/login"]
		if _, body := st.as(t, login, "/"); login.StatusCode != 200 || !strings.HasPrefix(body, "ann:") {
			t.Errorf("%s is slow: the login has status %d, and then %q", slow, login.StatusCode, body)
		}
		if _, body := st.as(t, visit, "/"); body != ":<nil>" || st.files(t) != 1 {
			t.Errorf("%s is slow: the old session is %q, %d files", slow, body, st.files(t))
		}
	}
}

// Renew and SetOwner that come second are an error, not a login that seems to have
// worked.
func TestRenewThatComesSecondIsForTheErrorHandler(t *testing.T) {
	for name, use := range map[string]func(*sessions.Session){
		"Renew":    (*sessions.Session).Renew,
		"SetOwner": func(s *sessions.Session) { s.SetOwner("ann") },
	} {
		store := newStore(t, sessions.FilesystemOptions{})
		s := saved(t, store, "a", 1)
		var got error
		mw := newMiddleware(t, store, sessions.CookieOptions{}, sessions.MiddlewareOptions{
			ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { got = err },
		})
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: s.ID()})
		mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			use(sessions.FromContext(r.Context()))
			if err := store.Delete(r.Context(), s); err != nil {
				t.Error(err)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
		if !errors.Is(got, sessions.ErrDeleted) {
			t.Errorf("%s: the ErrorHandler got %v", name, got)
		}
	}
}

func TestReloadAsksValidAgain(t *testing.T) {
	var a *accounts
	var st *site
	a, st, events := newAccounts(t, func(r *http.Request) {
		if r.URL.Path != "/stream" {
			return
		}
		s := sessions.FromContext(r.Context())
		s.Set("kept", 1)
		if err := sessions.Reload(r.Context()); err != nil {
			t.Error(err)
		}
		a.down.Store(true)
		if err := sessions.Reload(r.Context()); !errors.Is(err, errDown) || s.Owner() != "ann" || s.Get("kept") != 1 {
			t.Errorf("a database that is down: %v, owner %q", err, s.Owner())
		}
		a.down.Store(false)
		a.version.Add(1)
		if err := sessions.Reload(r.Context()); !errors.Is(err, sessions.ErrDeleted) {
			t.Errorf("not valid: %v", err)
		}
	})
	login, _ := st.get(t, "/login")
	if st.as(t, login, "/stream"); a.asked.Load() != 4 || st.files(t) != 0 || events.ended(sessions.EndedInvalid) != 1 {
		t.Errorf("asked %d times, %d files", a.asked.Load(), st.files(t))
	}
}

// The session that Valid is asked about is not yet the request's.
func TestValidDoesNotSeeTheRequestsSession(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "a", 1)
	mw := newMiddleware(t, store, sessions.CookieOptions{Valid: func(ctx context.Context, _ *sessions.Session) (bool, error) {
		_, ok := sessions.LookupContext(ctx)
		return !ok, nil
	}}, sessions.MiddlewareOptions{})
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "__Host-session", Value: s.ID()})
	mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sessions.FromContext(r.Context()).New() {
			t.Error("Valid has the session")
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
}
