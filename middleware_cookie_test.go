package sessions_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// A cookie with an age lives as long as its session is used.
func TestCookiesSendAPersistentCookieWithEverySaveAndRenewal(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		o.cookies = sessions.CookieOptions{Cookie: http.Cookie{MaxAge: 3600}, RenewOnAccess: time.Minute}
		o.store.IdleTimeout = time.Hour
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
		// A visitor who comes once a day and whose every visit saves.
		st.age(t, id, 30*time.Minute)
		if res, _ := st.get(t, "/get=b"); sessionCookie(res) == nil {
			t.Error("renewed on access, but the cookie is not")
		}
	})
}

func TestSetIdleTimeoutReachesTheBrowser(t *testing.T) {
	var st *site
	st = newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/by-the-store" {
			s := sessions.FromContext(r.Context())
			s.SetIdleTimeout(2 * time.Hour)
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

// A sibling domain can set a cookie that the browser sends before the real one.
func TestCookiesFindTheSessionBesideATossedCookie(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		for _, keepMissing := range []bool{false, true} {
			o.store.KeepMissingID = keepMissing
			st := newSiteWith(t, o, steps)
			res, _ := st.get(t, "/set=a")
			real := sessionCookie(res).Value
			st.newBrowser(t)
			cookies := func(ids ...string) []string {
				return []string{"Cookie", "__Host-session=" + strings.Join(ids, "; __Host-session=")}
			}
			unknown := st.store.GenerateKey
			for _, row := range []struct {
				name    string
				cookies []string
				want    string
			}{
				{"one before", cookies(unknown(), real), "value of a"},
				{"one before, twice", cookies("junk", real[1:]+"0", real), "value of a"},
				{"one behind", cookies(real, unknown()), "value of a"},
				{"two before: no more are tried", cookies(unknown(), unknown(), real), "<nil>"},
			} {
				res, body := st.get(t, "/get=a", row.cookies...)
				if body != row.want || sessionCookie(res) != nil {
					t.Errorf("%s: got %q, and set a cookie %v; want %q and none", row.name, body, sessionCookie(res) != nil, row.want)
				}
			}
			tossed := unknown()
			if res, _ := st.get(t, "/set=b", cookies(tossed, real)...); sessionCookie(res) != nil || st.files(t) != 1 {
				t.Errorf("a save: set a cookie %v, %d files; want the browser's own to be found", sessionCookie(res) != nil, st.files(t))
			}
			if res, _ := st.get(t, "/destroy", cookies(tossed, real)...); sessionCookie(res) == nil || sessionCookie(res).MaxAge >= 0 || st.files(t) != 0 {
				t.Errorf("after logout %d files are left", st.files(t))
			}
			if _, body := st.get(t, "/get=a", cookies(tossed, real)...); body != "<nil>" {
				t.Errorf("after logout: got %q", body)
			}
		}
	})
}

// The cookies of a request are those of its beginning, whatever becomes of its
// header.
func TestMiddlewareRemembersTheCookieHeaderThatAHandlerChanges(t *testing.T) {
	for name, change := range map[string]func(r *http.Request){
		"deleted":  func(r *http.Request) { r.Header.Del("Cookie") },
		"replaced": func(r *http.Request) { r.Header.Set("Cookie", "a=b") },
		"in place": func(r *http.Request) { r.Header["Cookie"][0] = "a=b" },
		"no map":   func(r *http.Request) { r.Header = nil },
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				o.cookies.Cookie.MaxAge = 3600
				st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Before") != "" && name != "in place" {
						change(r) // before anybody has asked
					}
					s := sessions.FromContext(r.Context())
					if r.Header.Get("X-After") != "" {
						change(r)
					}
					switch r.URL.Path {
					case "/save":
						s.Set("b", 1)
					case "/logout":
						s.Destroy()
					case "/login":
						s.Renew()
						s.SetOwner("ann")
						s.Set("a", 1)
					}
					fmt.Fprint(w, s.Get("a"))
				})
				for _, when := range []string{"X-Before", "X-After"} {
					st.newBrowser(t)
					st.get(t, "/login")
					var former string
					for _, step := range []struct {
						path, body string
						files      int
						maxAge     int // of the cookie that is set; zero for none
					}{
						{"/read", "1", 1, 0},
						{"/save", "1", 1, 3600},
						{"/login", "1", 1, 3600},
						{"/logout", "<nil>", 0, -1},
					} {
						res, body := st.get(t, step.path, when, "yes")
						c := sessionCookie(res)
						if body != step.body || st.files(t) != step.files || (c != nil) != (step.maxAge != 0) || c != nil && c.MaxAge != step.maxAge {
							t.Errorf("%s, %s: got %q, %d files, cookie %v", when, step.path, body, st.files(t), c)
						}
						if c != nil && c.Value != "" {
							if s, err := st.store.Get(t.Context(), former); step.path == "/login" && (err != nil || !s.New()) {
								t.Errorf("%s: the ID of before the login still works", when)
							}
							former = c.Value
						}
					}
				}
			})
		})
	}
}

func TestExcludeLeavesPathsThatServeMuxRedirects(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		o.middleware.Exclude = []string{"/static/", "GET /only/{$}", "example.com/host/"}
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			_, ok := sessions.LookupContext(r.Context())
			fmt.Fprint(w, ok)
		})
		for path, want := range map[string]string{
			"/static/":           "false",
			"/static/x":          "false",
			"/static/x/y":        "false",
			"/static":            "true",
			"/admin/../static/x": "true",
			"//static/x":         "true",
			"/static//x":         "true",
			"/static/../admin":   "true",
			"/static/./x":        "true",
			"/static%2Fx":        "true",
			"/staticx":           "true",
			"/only/":             "false",
			"/only":              "true",
			"/host/":             "true",
		} {
			if _, body := st.get(t, path); body != want {
				t.Errorf("%s: the request has a session: %s, want %s", path, body, want)
			}
		}
	})
}

// The IDs of a request are read once, by Load; those of another cookie do not count.
func TestCookiesCommitByTheIDsThatTheyFoundThemselves(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	carry := func(name string) *sessions.Cookies {
		c, err := sessions.NewCookies(store, insecure(http.Cookie{Name: name}))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before, now := carry("before"), carry("now")
	for _, row := range []struct {
		name   string
		load   func(r *http.Request, id string) (*sessions.Session, error)
		change func(r *http.Request, s *sessions.Session)
		want   int // the cookie's MaxAge; 1 for none
	}{
		{"loaded and saved", func(r *http.Request, _ string) (*sessions.Session, error) { return now.Load(r) },
			func(r *http.Request, s *sessions.Session) { s.Set("a", 2) }, 1},
		{"loaded and destroyed, the header is gone", func(r *http.Request, _ string) (*sessions.Session, error) { return now.Load(r) },
			func(r *http.Request, s *sessions.Session) { r.Header.Del("Cookie"); s.Destroy() }, -1},
		{"loaded by another cookie", func(r *http.Request, _ string) (*sessions.Session, error) { return before.Load(r) },
			func(r *http.Request, s *sessions.Session) { r.Header.Set("Cookie", "before="+s.ID()); s.Set("a", 2) }, 0},
		{"loaded by its ID and saved", func(r *http.Request, id string) (*sessions.Session, error) { return store.Get(r.Context(), id) },
			func(r *http.Request, s *sessions.Session) { s.Set("a", 2) }, 1},
		{"loaded by its ID and destroyed", func(r *http.Request, id string) (*sessions.Session, error) { return store.Get(r.Context(), id) },
			func(r *http.Request, s *sessions.Session) { s.Destroy() }, -1},
	} {
		r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
		id := saved(t, store, "a", 1).ID()
		r.Header.Set("Cookie", "before="+id+"; now="+id)
		s, err := row.load(r, id)
		if err != nil || s.ID() != id {
			t.Fatalf("%s: %v, %v", row.name, s, err)
		}
		row.change(r, s)
		if err := now.Commit(w, r, s); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		got := 1
		for _, cookie := range w.Result().Cookies() {
			got = cookie.MaxAge
		}
		if got != row.want {
			t.Errorf("%s: got a cookie of age %d, want %d", row.name, got, row.want)
		}
	}
}
