package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

const count sessions.Key[int] = "count"

func countOne(s *sessions.Session) error {
	count.Set(s, count.Get(s)+1)
	return nil
}

func TestUpdateInAHandlerCountsEveryRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			if err := sessions.Update(r.Context(), countOne); err != nil {
				t.Error(err)
			}
		})
		first, _ := st.get(t, "/")
		var requests sync.WaitGroup
		for range 20 {
			requests.Go(func() { st.get(t, "/") })
		}
		requests.Wait()
		if s := st.stored(t, first); count.Get(s) != 21 || st.files(t) != 1 {
			t.Errorf("21 requests counted %d, in %d files", count.Get(s), st.files(t))
		}
	})
}

func TestUpdateBeforeTheFirstByteSavesAndSetsTheCookieAtOnce(t *testing.T) {
	var st *site
	st = newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Set("before", 1)
		if err := sessions.Update(r.Context(), countOne); err != nil {
			t.Error(err)
		}
		saved, err := st.store.Get(r.Context(), s.ID())
		if err != nil || count.Get(saved) != 1 || saved.Get("before") == nil || s.Modified() || len(w.Header()["Set-Cookie"]) != 1 {
			t.Errorf("the store has %v (%v), the session is %v, the header has %q", saved, err, s, w.Header()["Set-Cookie"])
		}
		s.Set("after", 1)
	})
	res, _ := st.get(t, "/")
	if s := st.stored(t, res); len(sessionCookies(res)) != 1 || s.Get("after") == nil || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Vary") != "Cookie" {
		t.Errorf("the response's header is %v, the session %v", res.Header, s)
	}
}

var errOwn = errors.New("the function's own")

// Each row has the stored value and the cookie afterwards.
func TestUpdateAndWhatItsFunctionDoes(t *testing.T) {
	for name, test := range map[string]struct {
		first   bool // whether there is a session
		late    bool // whether the response has begun
		update  func(s *sessions.Session) error
		err     error // of Update, or any
		cookies int
		files   int
		want    int // count, in the next request
	}{
		"nothing":                    {update: func(*sessions.Session) error { return nil }},
		"nothing of a session":       {first: true, update: func(*sessions.Session) error { return nil }, files: 1, want: 5},
		"nothing that stays":         {update: func(s *sessions.Session) error { s.Set("a", 1); s.Delete("a"); return nil }},
		"a new ID":                   {first: true, update: func(s *sessions.Session) error { s.Renew(); return countOne(s) }, cookies: 1, files: 1, want: 6},
		"an end":                     {first: true, update: func(s *sessions.Session) error { s.Destroy(); return nil }, cookies: 1},
		"an emptied session":         {first: true, update: func(s *sessions.Session) error { s.Clear(); return nil }, cookies: 1},
		"a failure":                  {first: true, update: func(s *sessions.Session) error { countOne(s); return errOwn }, err: errOwn, files: 1, want: 5},
		"a failure of the first":     {update: func(s *sessions.Session) error { countOne(s); return errOwn }, err: errOwn},
		"late":                       {first: true, late: true, update: countOne, files: 1, want: 6},
		"late, an end":               {first: true, late: true, update: func(s *sessions.Session) error { s.Destroy(); return nil }},
		"late, of a new session":     {late: true, update: countOne, err: errAny},
		"late, a new ID":             {first: true, late: true, update: func(s *sessions.Session) error { s.Renew(); return countOne(s) }, err: errAny, files: 1, want: 5},
		"late, nothing of a new one": {late: true, update: func(*sessions.Session) error { return nil }},
		"a value that has no form":   {first: true, update: func(s *sessions.Session) error { s.Set("f", func() {}); return countOne(s) }, err: errAny, files: 1, want: 5},
		"late, a failure":            {first: true, late: true, update: func(s *sessions.Session) error { countOne(s); return errOwn }, err: errOwn, files: 1, want: 5},
	} {
		t.Run(name, func(t *testing.T) {
			st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
				s := sessions.FromContext(r.Context())
				switch r.URL.Path {
				case "/first":
					count.Set(s, 5)
				case "/update":
					if test.late {
						w.WriteHeader(200)
					}
					err := sessions.Update(r.Context(), test.update)
					if ok := errors.Is(err, test.err); !ok && (test.err != errAny || err == nil) {
						t.Errorf("got %v, want %v", err, test.err)
					}
					if s.Modified() {
						t.Errorf("the session is %v", s)
					}
				default:
					fmt.Fprint(w, count.Get(s))
				}
			})
			if test.first {
				st.get(t, "/first")
			}
			res, _ := st.get(t, "/update")
			if res.StatusCode != 200 || len(sessionCookies(res)) != test.cookies || st.files(t) != test.files {
				t.Errorf("status %d, %d cookies, %d files; want %d and %d", res.StatusCode, len(sessionCookies(res)), st.files(t), test.cookies, test.files)
			}
			if _, body := st.get(t, "/read"); body != fmt.Sprint(test.want) {
				t.Errorf("the next request finds %s, want %d", body, test.want)
			}
			if strings.Contains(st.log.String(), "level=ERROR") {
				t.Errorf("logged: %s", st.log)
			}
		})
	}
}

var errAny = errors.New("any")

// The function may do all that a handler may, and nothing waits for ever.
func TestUpdateWhoseFunctionUsesTheRequest(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		err := sessions.Update(ctx, func(s *sessions.Session) error {
			countOne(s)
			sessions.FromContext(ctx).Get("a")
			switch r.URL.Path {
			case "/save":
				return sessions.Save(ctx)
			case "/update":
				return sessions.Update(ctx, countOne)
			case "/reload":
				return sessions.Reload(ctx)
			case "/write":
				if _, err := fmt.Fprint(w, "never sent"); !errors.Is(err, sessions.ErrUpdating) {
					t.Errorf("Write = %v, want ErrUpdating", err)
				}
			case "/panic":
				panic(http.ErrAbortHandler)
			}
			return nil
		})
		if !errors.Is(err, sessions.ErrUpdating) {
			t.Errorf("%s: got %v, want ErrUpdating", r.URL.Path, err)
		}
	})
	for path, status := range map[string]int{"/save": 200, "/update": 200, "/reload": 200, "/write": 500} {
		if res, body := st.get(t, path); res.StatusCode != status || strings.Contains(body, "never") || st.files(t) != 0 {
			t.Errorf("%s: status %d, body %q, %d files", path, res.StatusCode, body, st.files(t))
		}
	}
	if _, err := st.Client().Get(st.URL + "/panic"); err == nil || st.files(t) != 0 {
		t.Errorf("/panic: %v, %d files", err, st.files(t))
	}
}

func TestUpdateThatIsCutOffByATimeoutSavesNothing(t *testing.T) {
	running, cut := make(chan bool), make(chan bool)
	done := make(chan error, 1)
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done <- sessions.Update(r.Context(), func(s *sessions.Session) error {
			close(running)
			<-cut
			return countOne(s)
		})
	}), 50*time.Millisecond, "too slow").ServeHTTP)
	res, _ := st.get(t, "/")
	<-running
	close(cut)
	if err := <-done; res.StatusCode != 503 || err == nil || st.files(t) != 0 {
		t.Errorf("status %d, Update = %v, %d files", res.StatusCode, err, st.files(t))
	}
}

// plain is a store and a carrier with nothing that is optional.
type plain struct{ sessions.SessionStore }

type plainCarrier struct{ sessions.Carrier }

func TestUpdateAndReloadThatCannotBeAreErrors(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	cookies, err := sessions.NewCookies(plain{store}, sessions.CookieOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, carrier := range map[string]sessions.Carrier{"store": cookies, "carrier": plainCarrier{cookies}} {
		mw, err := sessions.NewMiddleware(carrier, sessions.MiddlewareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := sessions.Update(r.Context(), countOne); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s: Update = %v", name, err)
			}
			if err := sessions.Reload(r.Context()); name == "carrier" && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s: Reload = %v", name, err)
			}
		})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}
	if sessions.Update(t.Context(), countOne) == nil || sessions.Reload(t.Context()) == nil {
		t.Error("without a middleware there is no error")
	}
}

// A stream sees the saves of other requests, keeps its own unsaved changes, and
// learns of the session's end.
func TestReloadBringsAStreamUpToWhatIsStored(t *testing.T) {
	var st *site
	st = newSiteWith(t, siteOptions{store: sessions.FilesystemOptions{IdleTimeout: time.Hour}}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		if r.URL.Path == "/first" {
			s.Set("a", 1)
			s.Set("b", 1)
			return
		}
		w.WriteHeader(200)
		others := get(t, st.store, s.ID())
		others.Set("a", 2)
		others.Set("b", 2)
		others.SetMeta("others")
		save(t, st.store, others)
		s.Set("b", 3)
		file := filepath.Join(st.dir, names(t, st.dir)[0])
		before := time.Now().Add(-time.Minute)
		if err := os.Chtimes(file, before, before); err != nil {
			t.Error(err)
		}
		if err := sessions.Reload(r.Context()); err != nil || s.Get("a") != int64(2) || s.Get("b") != 3 || s.Meta() != "others" {
			t.Errorf("Reload = %v, a = %v, b = %v", err, s.Get("a"), s.Get("b"))
		}
		if info, err := os.Stat(file); err != nil || time.Since(info.ModTime()) < 50*time.Second {
			t.Errorf("Reload counts as use: %v", err)
		}
		if err := sessions.Save(r.Context()); err != nil || get(t, st.store, s.ID()).Get("b") != int64(3) {
			t.Errorf("Save = %v", err)
		}
		switch r.URL.Path {
		case "/logout":
			others.Destroy()
			save(t, st.store, others)
		case "/renew":
			others.Login("ann")
			save(t, st.store, others)
		case "/expire":
			st.age(t, s.ID(), 2*time.Hour)
		case "/own":
			s.Destroy()
			if err := sessions.Save(r.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := sessions.Reload(r.Context()); !errors.Is(err, sessions.ErrDeleted) {
			t.Errorf("%s: Reload = %v, want ErrDeleted", r.URL.Path, err)
		}
	})
	for _, path := range []string{"/logout", "/renew", "/expire", "/own"} {
		st.newBrowser(t)
		if _, err := st.store.DeleteAll(background); err != nil {
			t.Fatal(err)
		}
		st.get(t, "/first")
		st.get(t, path)
	}
}

func TestReloadOfWhatWasNeverStoredIsNoError(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		for range 2 {
			if err := sessions.Reload(r.Context()); err != nil {
				t.Error(err)
			}
		}
		sessions.FromContext(r.Context()).Set("a", 1)
		if err := sessions.Reload(r.Context()); err != nil || sessions.FromContext(r.Context()).Get("a") != 1 {
			t.Errorf("Reload = %v", err)
		}
	})
	if st.get(t, "/"); st.files(t) != 1 {
		t.Errorf("%d files", st.files(t))
	}
}

func TestReloadKeepsWhatWasChangedInPlace(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "m", map[string]any{"n": 1})
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, others := get(t, store, s.ID()), get(t, store, s.ID())
	s.Get("m").(map[string]any)["n"] = 2
	s.MarkModified()
	others.Set("m", "theirs")
	save(t, store, others)
	if err := cookies.Reload(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	save(t, store, s)
	if got := get(t, store, s.ID()).Get("m"); fmt.Sprint(got) != "map[n:2]" {
		t.Errorf("got %v", got)
	}
}

// The browser would not learn of the session's ID.
func TestUpdateOfANewSessionWhoseRequestHasEndedStoresNothing(t *testing.T) {
	dir := t.TempDir()
	mw := newMiddleware(t, newStore(t, sessions.FilesystemOptions{Path: dir}), sessions.CookieOptions{}, sessions.MiddlewareOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		if err := sessions.Update(r.Context(), countOne); !errors.Is(err, context.Canceled) || len(names(t, dir)) != 0 {
			t.Errorf("Update = %v, %d files", err, len(names(t, dir)))
		}
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
}
