package sessions_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
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

// stored returns what the store has under the ID in a response's cookie.
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
		// Somebody around who answers for it tells the browser, too.
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

// withOuterHeaders is middleware that sets headers of its own.
func withOuterHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "outer")
		w.Header().Set("X-Outer", "kept")
		next.ServeHTTP(w, r)
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

// After the first byte, what the browser would need another cookie for is an
// error, and nothing is done.
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
		{"/set=a", func(s *sessions.Session) { s.SetMaxAge(time.Hour) }, true, 1},
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

func TestLoginThatIsOutrunGoesToTheErrorHandler(t *testing.T) {
	for name, login := range map[string]func(s *sessions.Session){
		"Renew":    (*sessions.Session).Renew,
		"SetOwner": func(s *sessions.Session) { s.SetOwner("ann") },
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				loaded, goOn := make(chan bool), make(chan bool)
				o.middleware.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
					if !errors.Is(err, sessions.ErrDeleted) {
						t.Errorf("the error handler got %v, want ErrDeleted", err)
					}
					http.Error(w, "try again", http.StatusConflict)
				}
				st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
					s := sessions.FromContext(r.Context())
					switch r.URL.Path {
					case "/first":
						s.Set("a", 1)
					case "/second click":
						loaded <- true
						<-goOn
						login(s)
					case "/click":
						s.Renew()
					}
					fmt.Fprint(w, "welcome")
				})
				st.get(t, "/first")
				second := make(chan *http.Response)
				go func() {
					res, _ := st.get(t, "/second click")
					second <- res
				}()
				<-loaded
				if res, body := st.get(t, "/click"); res.StatusCode != 200 || body != "welcome" {
					t.Errorf("the first click: status %d, %q", res.StatusCode, body)
				}
				goOn <- true
				if res := <-second; res.StatusCode != http.StatusConflict || len(res.Cookies()) != 0 {
					t.Errorf("the second click: status %d, %d cookies; want the error handler's", res.StatusCode, len(res.Cookies()))
				}
				if st.files(t) != 1 {
					t.Errorf("got %d files, want the first click's", st.files(t))
				}
			})
		})
	}
}

// A cookie with an age lives as long as its session is used.
func TestPersistentCookieIsSentWithEverySaveAndRenewal(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		o.cookies = sessions.CookieOptions{Cookie: http.Cookie{MaxAge: 3600}, RenewOnAccess: time.Minute}
		o.store.MaxAge = time.Hour
		var st *site
		st = newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/by-the-store" {
				err := st.store.Update(r.Context(), sessions.FromContext(r.Context()), func(s *sessions.Session) error {
					s.Set("n", 1)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				return
			}
			steps(w, r)
		})
		res, _ := st.get(t, "/set=a")
		id := sessionCookie(res).Value
		for _, path := range []string{"/set=b", "/set=b", "/set=b/save", "/delete=a", "/by-the-store"} {
			res, _ := st.get(t, path)
			if c := sessionCookie(res); c == nil || c.MaxAge != 3600 || c.Value != id || len(sessionCookies(res)) != 1 {
				t.Errorf("%s: got cookies %d, want the session's with its age", path, len(sessionCookies(res)))
			}
		}
		if res, _ := st.get(t, "/get=b"); sessionCookie(res) != nil {
			t.Error("a request that only reads, right after a save, sets the cookie")
		}
		// Somebody who visits once a day and whose every visit saves.
		old := time.Now().Add(-30 * time.Minute)
		if err := os.Chtimes(st.dir+"/session_"+id+".sess", old, old); err != nil {
			t.Fatal(err)
		}
		if res, _ := st.get(t, "/get=b"); sessionCookie(res) == nil {
			t.Error("renewed on access, but the cookie is not")
		}
	})
}

func TestOwnTimeoutThatChangesReachesTheBrowser(t *testing.T) {
	var st *site
	st = newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/by-the-store" {
			s := sessions.FromContext(r.Context())
			s.SetMaxAge(2 * time.Hour)
			if err := st.store.Save(r.Context(), s); err != nil {
				t.Error(err)
			}
			return
		}
		steps(w, r)
	})
	for _, step := range []struct {
		path   string
		cookie bool
		maxAge int
	}{
		{"/set=a", true, 0},
		{"/age=1h", true, 3600},
		{"/set=b", true, 3600},
		{"/by-the-store", true, 7200},
		{"/get=a", false, 0},
		{"/age=0", true, 0},
		{"/set=b", false, 0},
	} {
		res, _ := st.get(t, step.path)
		if c := sessionCookie(res); (c != nil) != step.cookie || c != nil && c.MaxAge != step.maxAge {
			t.Errorf("%s: got cookie %v, want %v with Max-Age %d", step.path, c, step.cookie, step.maxAge)
		}
	}
}

func TestFlashesReadWhileTheResponseIsWrittenDoNotComeAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			s := sessions.FromContext(r.Context())
			if r.URL.Path == "/add" {
				s.Set("a", 1)
				s.AddFlash("hello")
				return
			}
			io.WriteString(w, "flashes: ") // as a template does that ranges over them
			fmt.Fprint(w, s.Flashes())
			if r.URL.Path == "/and-more" {
				s.Set("b", 1)
			}
		})
		st.get(t, "/add")
		if _, body := st.get(t, "/"); body != "flashes: [hello]" {
			t.Errorf("got %q", body)
		}
		if _, body := st.get(t, "/"); body != "flashes: []" {
			t.Errorf("on the next page: got %q, want none", body)
		}
		if got := st.log.String(); strings.Contains(got, "level=ERROR") {
			t.Errorf("logged: %s", got)
		}
		// Another change, which the handler should have made earlier, is not
		// hidden by them.
		st.get(t, "/add")
		st.get(t, "/and-more")
		if got := st.log.String(); !strings.Contains(got, "the change is lost") {
			t.Errorf("logged: %s; want the lost change", got)
		}
		// In the request that added them they need a cookie.
		st.newBrowser(t)
		res, _ := st.get(t, "/get")
		if sessionCookie(res) != nil {
			t.Error("a session without values was saved")
		}
	})
}

func TestFlashesReadLateOfAnEndedSessionAreNoError(t *testing.T) {
	var st *site
	st = newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		if r.URL.Path == "/add" {
			s.AddFlash("hello")
			return
		}
		fmt.Fprint(w, "begun")
		if _, err := st.store.DeleteAll(r.Context()); err != nil {
			t.Error(err)
		}
		s.Flashes()
	})
	st.get(t, "/add")
	st.get(t, "/")
	if got := st.log.String(); strings.Contains(got, "level=ERROR") || !strings.Contains(got, "level=INFO") || st.files(t) != 0 {
		t.Errorf("%d files, logged: %s; want a line at INFO and none at ERROR", st.files(t), got)
	}
}

func TestLogLinesTellTheRouteAndNeverAnID(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		var st *site
		var ids []string
		o.store = smallStore()
		mux := http.NewServeMux()
		handle := func(pattern string, f func(w http.ResponseWriter, r *http.Request, s *sessions.Session)) {
			mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
				s := sessions.FromContext(r.Context())
				f(w, r, s)
				ids = append(ids, s.ID())
			})
		}
		handle("GET /first", func(w http.ResponseWriter, r *http.Request, s *sessions.Session) { s.Set("a", 1) })
		handle("GET /late/{secret}", func(w http.ResponseWriter, r *http.Request, s *sessions.Session) {
			fmt.Fprint(w, "begun")
			s.Set("a", 2)
		})
		handle("GET /large/{secret}", func(w http.ResponseWriter, r *http.Request, s *sessions.Session) {
			s.Set("a", strings.Repeat("a", tooMuch))
		})
		handle("GET /ended/{secret}", func(w http.ResponseWriter, r *http.Request, s *sessions.Session) {
			if _, err := st.store.DeleteAll(r.Context()); err != nil {
				t.Error(err)
			}
			s.Set("a", 3)
		})
		st = newSiteWith(t, o, mux.ServeHTTP)
		for _, row := range []struct{ path, level, pattern, want string }{
			{"/late/hidden", "ERROR", "GET /late/{secret}", "the change is lost"},
			{"/large/hidden", "ERROR", "GET /large/{secret}", "limit 512"},
			{"/ended/hidden", "INFO", "GET /ended/{secret}", "ended while a request used it"},
		} {
			st.get(t, "/first")
			st.log.Reset()
			st.get(t, row.path)
			got := st.log.String()
			for _, want := range []string{"level=" + row.level, "method=GET", `pattern="` + row.pattern + `"`, row.want} {
				if !strings.Contains(got, want) {
					t.Errorf("%s: logged %q, want %q in it", row.path, got, want)
				}
			}
			if strings.Contains(got, "hidden") || slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(got, id) }) {
				t.Errorf("%s: logged a path or an ID: %q", row.path, got)
			}
		}
	})
}
