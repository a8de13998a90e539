package sessions_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// overBoth runs a test over HTTP/1.1 and over HTTP/2.
func overBoth(t *testing.T, run func(t *testing.T, o siteOptions)) {
	t.Helper()
	t.Run("HTTP/1.1", func(t *testing.T) { run(t, siteOptions{}) })
	t.Run("HTTP/2.0", func(t *testing.T) { run(t, siteOptions{http2: true}) })
}

// sessionCookies are the cookies of the session that a response sets.
func sessionCookies(res *http.Response) (cookies []*http.Cookie) {
	for _, c := range res.Cookies() {
		if strings.HasSuffix(c.Name, "session") {
			cookies = append(cookies, c)
		}
	}
	return cookies
}

// stored returns the session that the store has under the ID in a response's cookie.
func (st *site) stored(t *testing.T, res *http.Response) *sessions.Session {
	t.Helper()
	c := sessionCookie(res)
	if c == nil {
		t.Fatal("the response sets no session cookie")
	}
	s, err := st.store.Get(t.Context(), c.Value)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSaveBeforeTheFirstByteSavesAndSetsTheCookieAtOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		var st *site
		st = newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			s := sessions.FromContext(r.Context())
			s.Set("a", "by Save")
			if err := sessions.Save(r.Context()); err != nil {
				t.Error("Save:", err)
			}
			if saved, err := st.store.Get(r.Context(), s.ID()); err != nil || saved.Get("a") != "by Save" || s.Modified() {
				t.Errorf("after Save the store has %v (%v), and the session is %v", saved, err, s)
			}
			if n := len(w.Header()["Set-Cookie"]); n != 1 {
				t.Errorf("after Save the response sets %d cookies, want one", n)
			}
			s.Set("b", "by the middleware")
			fmt.Fprint(w, "done")
		})
		res, body := st.get(t, "/")
		if s := st.stored(t, res); body != "done" || len(sessionCookies(res)) != 1 || s.Get("a") != "by Save" || s.Get("b") != "by the middleware" {
			t.Errorf("body %q, %d cookies, a = %v, b = %v", body, len(sessionCookies(res)), s.Get("a"), s.Get("b"))
		}
	})
}

// Whatever comes after a Save, the browser has at most one session cookie set,
// and it is that of the one session that is stored.
func TestSaveAndWhatComesAfterIt(t *testing.T) {
	for _, test := range []struct {
		first, path string
		cookies     int // that the response sets
		files       int
		want        string // of a, in the next request
	}{
		{"", "/set=a/save/save", 1, 1, "value of a"},
		{"", "/set=a/save/renew", 1, 1, "value of a"},
		{"", "/set=a/renew/save/renew/save/renew", 1, 1, "value of a"},
		{"", "/set=a/save/destroy", 0, 0, "<nil>"},
		{"", "/set=a/save/clear", 0, 0, "<nil>"},
		{"", "/set=a/save/destroy/save", 0, 0, "<nil>"},
		{"", "/set=a/save/destroy/set=a", 1, 1, "value of a"},
		{"", "/save/set=a", 1, 1, "value of a"},
		{"", "/save", 0, 0, "<nil>"},
		{"/set=a", "/set=b/save/save", 0, 1, "value of a"},
		{"/set=a", "/set=b/save/renew", 1, 1, "value of a"},
		{"/set=a", "/renew/save/set=b", 1, 1, "value of a"},
		{"/set=a", "/destroy/save", 1, 0, "<nil>"},
		{"/set=a", "/destroy/save/set=a", 1, 1, "value of a"},
		{"/set=a", "/destroy/save/set=a/save/destroy", 1, 0, "<nil>"},
		{"/set=a", "/save/delete=a", 0, 1, "<nil>"},
		{"/set=a", "/delete=a/save/discard", 0, 1, "<nil>"},
		{"/set=a", "/delete=a/discard", 0, 1, "value of a"},
	} {
		t.Run(test.first+" "+test.path, func(t *testing.T) {
			st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, steps)
			if test.first != "" {
				st.get(t, test.first)
			}
			res, body := st.get(t, test.path)
			if body != "" || res.StatusCode != 200 || len(sessionCookies(res)) != test.cookies || st.files(t) != test.files {
				t.Errorf("status %d, body %q, %d cookies, %d files; want %d and %d", res.StatusCode, body, len(sessionCookies(res)), st.files(t), test.cookies, test.files)
			}
			if _, body := st.get(t, "/get=a"); body != test.want {
				t.Errorf("the next request finds %q, want %q", body, test.want)
			}
			if strings.Contains(st.log.String(), "level=ERROR") {
				t.Errorf("logged: %s", st.log)
			}
		})
	}
}

func TestSaveStaysThoughTheHandlerPanics(t *testing.T) {
	var id string
	panics := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Set("a", "saved")
		if err := sessions.Save(r.Context()); err != nil {
			t.Error("Save:", err)
		}
		s.Set("b", "not saved")
		id = s.ID()
		panic("the handler's own")
	}
	overBoth(t, func(t *testing.T, o siteOptions) {
		st := newSiteWith(t, o, panics)
		if _, err := st.Client().Get(st.URL); err == nil {
			t.Error("got a response, want a broken connection")
		}
		if s, err := st.store.Get(t.Context(), id); err != nil || s.Get("a") != "saved" || s.Get("b") != nil {
			t.Errorf("stored: a = %v, b = %v (%v); want only what Save has saved", s.Get("a"), s.Get("b"), err)
		}
		// A recover around it that answers tells the browser, too.
		o.around = recovering
		st = newSiteWith(t, o, panics)
		res, _ := st.get(t, "/")
		if s := st.stored(t, res); res.StatusCode != 500 || s.Get("a") != "saved" || s.Get("b") != nil {
			t.Errorf("status %d, a = %v, b = %v; want 500 and what Save has saved", res.StatusCode, s.Get("a"), s.Get("b"))
		}
	})
}

// recovering answers a panic with a 500.
func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				http.Error(w, "recovered", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

const tooMuch = 1 << 10 // bytes; more than the stores of these tests keep

func smallStore() sessions.FilesystemOptions { return sessions.FilesystemOptions{MaxSize: tooMuch / 2} }

func TestSaveThenFailureAnswersWithTheCookieOfWhatIsSaved(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		o.store = smallStore()
		o.around = withOuterHeaders
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			s := sessions.FromContext(r.Context())
			s.Renew()
			s.Set("a", "saved")
			if err := sessions.Save(r.Context()); err != nil {
				t.Error("Save:", err)
			}
			http.SetCookie(w, &http.Cookie{Name: "handler", Value: "its own"})
			w.Header().Set("Cache-Control", "public")
			s.Set("b", strings.Repeat("b", tooMuch))
			fmt.Fprint(w, "handler's body")
		})
		for range 2 { // a new session, then one that is renewed
			res, body := st.get(t, "/")
			if s := st.stored(t, res); res.StatusCode != 500 || len(res.Cookies()) != 1 || s.Get("a") != "saved" || s.Get("b") != nil || st.files(t) != 1 {
				t.Errorf("status %d, cookies %v, body %q, %d files; want 500 with the session's cookie alone", res.StatusCode, len(res.Cookies()), body, st.files(t))
			}
			if got := res.Header["Cache-Control"]; !slices.Equal(got, []string{"outer", "no-store"}) {
				t.Errorf("Cache-Control: got %q, want what was around and no-store", got)
			}
		}
	})
}

func TestSaveReturnsAnErrorThatTheHandlerCanAnswer(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(s *sessions.Session)
		status int
		a, b   any // afterwards
	}{
		{"not at all", func(s *sessions.Session) {}, 500, "before", nil},
		{"by Discard", (*sessions.Session).Discard, 413, "before", nil},
		{"by taking back what was too much", func(s *sessions.Session) { s.Delete("big") }, 413, "changed", nil},
		{"by Discard and another change", func(s *sessions.Session) { s.Discard(); s.Set("b", "new") }, 413, "before", "new"},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				o.store = smallStore()
				st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
					s := sessions.FromContext(r.Context())
					if r.URL.Path == "/first" {
						s.Set("a", "before")
						return
					}
					s.Set("a", "changed")
					s.Set("big", strings.Repeat("b", tooMuch))
					if err := sessions.Save(r.Context()); !errors.Is(err, sessions.ErrTooLarge) {
						t.Errorf("Save: got %v, want ErrTooLarge", err)
					}
					test.answer(s)
					http.Error(w, "too much", http.StatusRequestEntityTooLarge)
				})
				first, _ := st.get(t, "/first")
				res, _ := st.get(t, "/")
				if res.StatusCode != test.status {
					t.Errorf("got status %d, want %d", res.StatusCode, test.status)
				}
				if s := st.stored(t, first); s.Get("a") != test.a || s.Get("b") != test.b || s.Get("big") != nil {
					t.Errorf("stored: a = %v, b = %v; want %v and %v", s.Get("a"), s.Get("b"), test.a, test.b)
				}
			})
		})
	}
}

func TestSaveOfAnEndedSessionIsErrDeletedAndTheResponsePasses(t *testing.T) {
	var st *site
	st = newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Set("a", 1)
		if r.URL.Path == "/ended" {
			if _, err := st.store.DeleteAll(r.Context()); err != nil {
				t.Error(err)
			}
			if err := sessions.Save(r.Context()); !errors.Is(err, sessions.ErrDeleted) {
				t.Errorf("Save: got %v, want ErrDeleted", err)
			}
		}
		fmt.Fprint(w, "done")
	})
	st.get(t, "/")
	if res, body := st.get(t, "/ended"); res.StatusCode != 200 || body != "done" || st.files(t) != 0 {
		t.Errorf("status %d, body %q, %d files", res.StatusCode, body, st.files(t))
	}
}

func TestSaveByManyGoroutines(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				s.Set(fmt.Sprint(i), i)
				if err := sessions.Save(r.Context()); err != nil {
					t.Error("Save:", err)
				}
			})
		}
		all.Wait()
		fmt.Fprint(w, s.Len())
	})
	res, body := st.get(t, "/")
	if s := st.stored(t, res); body != "20" || s.Len() != 20 || st.files(t) != 1 || len(sessionCookies(res)) != 1 {
		t.Errorf("got %s values, %d stored in %d files, %d cookies", body, s.Len(), st.files(t), len(sessionCookies(res)))
	}
}

// The browser has chosen the ID, and needs no cookie to know it.
func TestSaveAfterTheFirstByteOfAnAdoptedSession(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{KeepMissingID: true}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		fmt.Fprint(w, "begun")
		s.Set("a", 1)
		if err := sessions.Save(r.Context()); err != nil {
			t.Error("Save:", err)
		}
	})
	id := st.store.GenerateKey()
	st.get(t, "/", "Cookie", "__Host-session="+id)
	if s, err := st.store.Get(t.Context(), id); err != nil || s.Get("a") != int64(1) || st.files(t) != 1 {
		t.Errorf("a = %v (%v), %d files", s.Get("a"), err, st.files(t))
	}
}

func TestSaveWithoutASession(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.Save(r.Context()); err != nil {
			t.Error("a session that nobody asked for:", err)
		}
		sessions.Skip(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := sessions.Save(r.Context()); err == nil || !strings.Contains(err.Error(), "excluded") {
				t.Errorf("under Skip: got %v, want an error that says so", err)
			}
		})).ServeHTTP(w, r)
	})
	if res, _ := st.get(t, "/"); res.Header.Get("Vary") != "" {
		t.Error("the session was loaded")
	}
	if err := sessions.Save(t.Context()); err == nil {
		t.Error("without the middleware there was no error")
	}
}

// After the first byte, a change for which the browser would need another cookie is
// an error, and nothing is done.
func TestSaveAfterTheFirstByte(t *testing.T) {
	for _, test := range []struct {
		first string
		late  func(s *sessions.Session)
		ok    bool
		files int
	}{
		{"/set=a", func(s *sessions.Session) { s.Set("b", 1) }, true, 1},
		{"/set=a", func(s *sessions.Session) { s.Delete("a") }, true, 1},
		{"/set=a", func(s *sessions.Session) {}, true, 1},
		{"", func(s *sessions.Session) {}, true, 0},
		{"", func(s *sessions.Session) { s.Set("a", 1) }, false, 0},
		{"/set=a", (*sessions.Session).Renew, false, 1},
		{"/set=a", (*sessions.Session).Destroy, true, 0},
		{"/set=a", (*sessions.Session).Clear, true, 0},
		{"/set=a", func(s *sessions.Session) { s.Destroy(); s.AddFlash("bye") }, false, 1},
		{"/set=a", func(s *sessions.Session) { s.Clear(); s.AddFlash("empty") }, true, 1},
		{"/age=720h/set=a", func(s *sessions.Session) { s.Set("b", 1) }, true, 1},
		{"/set=a", func(s *sessions.Session) { s.SetIdleTimeout(time.Hour) }, true, 1},
	} {
		var err error
		st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/late" {
				steps(w, r)
				return
			}
			s := sessions.FromContext(r.Context())
			fmt.Fprint(w, "begun")
			test.late(s)
			if err = sessions.Save(r.Context()); err != nil && !s.Modified() {
				t.Error("after the error the session is as if it had been saved")
			}
		})
		if test.first != "" {
			st.get(t, test.first)
		}
		res, _ := st.get(t, "/late")
		if (err == nil) != test.ok || st.files(t) != test.files || len(res.Cookies()) != 0 {
			t.Errorf("%s, then late: got error %v, %d files, %d cookies; want success %v and %d files",
				test.first, err, st.files(t), len(res.Cookies()), test.ok, test.files)
		}
		if got := strings.Contains(st.log.String(), "the change is lost"); got == test.ok {
			t.Errorf("%s, then late: logged a lost change: %v", test.first, got)
		}
	}
}
