package sessions_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// A site is a server over TLS, which the default cookie needs, with a store in
// a directory and a browser's cookie jar.
type site struct {
	*httptest.Server
	store *sessions.FilesystemSessionStore
	dir   string
	log   *safeBuffer
}

// safeBuffer collects the log of several goroutines.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Reset()
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newMiddleware carries the sessions of a store in cookies.
func newMiddleware(t testing.TB, store sessions.SessionStore, co sessions.CookieOptions, mo sessions.MiddlewareOptions) *sessions.Middleware {
	t.Helper()
	cookies, err := sessions.NewCookies(store, co)
	if err != nil {
		t.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(cookies, mo)
	if err != nil {
		t.Fatal(err)
	}
	return mw
}

// newSite is newSiteWith the default cookie.
func newSite(t *testing.T, so sessions.FilesystemOptions, mo sessions.MiddlewareOptions, handler http.HandlerFunc) *site {
	t.Helper()
	return newSiteWith(t, siteOptions{store: so, middleware: mo}, handler)
}

type siteOptions struct {
	store      sessions.FilesystemOptions
	cookies    sessions.CookieOptions
	middleware sessions.MiddlewareOptions
	around     func(http.Handler) http.Handler // the middleware; nil for nothing
	http2      bool
}

func newSiteWith(t *testing.T, o siteOptions, handler http.HandlerFunc) *site {
	t.Helper()
	so, mo := o.store, o.middleware
	st := &site{log: &safeBuffer{}}
	if so.Path == "" {
		so.Path = t.TempDir()
		os.Chmod(so.Path, 0o700)
	}
	st.dir = so.Path
	logger := slog.New(slog.NewTextHandler(st.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	so.Logger, mo.Logger = logger, logger
	var err error
	if st.store, err = sessions.NewFilesystemSessionStore(timeless(so)); err != nil {
		t.Fatal(err)
	}
	wrapped := newMiddleware(t, st.store, o.cookies, mo).Wrap(handler)
	if o.around != nil {
		wrapped = o.around(wrapped)
	}
	st.Server = httptest.NewUnstartedServer(wrapped)
	st.EnableHTTP2 = o.http2
	st.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelError)
	st.StartTLS()
	t.Cleanup(func() {
		st.Server.Close()
		st.store.Close()
	})
	st.newBrowser(t)
	return st
}

// newBrowser is the site's client with an empty cookie jar.
func (st *site) newBrowser(t *testing.T) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	st.Client().Jar = jar
}

// get returns the response and its body.
func (st *site) get(t *testing.T, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", st.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := st.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if st.EnableHTTP2 != (res.ProtoMajor == 2) {
		t.Errorf("the response came over %s", res.Proto)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func (st *site) files(t *testing.T) int {
	t.Helper()
	return len(names(t, st.dir))
}

func sessionCookie(res *http.Response) *http.Cookie {
	for _, c := range res.Cookies() {
		if strings.HasSuffix(c.Name, "session") {
			return c
		}
	}
	return nil
}

// steps is a handler that does to the session as the path tells.
func steps(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	for step := range strings.SplitSeq(strings.Trim(r.URL.Path, "/"), "/") {
		verb, arg, _ := strings.Cut(step, "=")
		switch verb {
		case "set":
			s.Set(arg, "value of "+arg)
		case "delete":
			s.Delete(arg)
		case "clear":
			s.Clear()
		case "renew":
			s.Renew()
		case "destroy":
			s.Destroy()
		case "age":
			d, _ := time.ParseDuration(arg)
			s.SetIdleTimeout(d)
		case "save":
			if err := sessions.Save(r.Context()); err != nil {
				fmt.Fprint(w, "Save: ", err)
			}
		case "discard":
			s.Discard()
		case "id":
			fmt.Fprint(w, s.ID())
		case "get":
			fmt.Fprint(w, s.Get(arg))
		}
	}
}

func TestMiddlewareCostsNothingWhereTheHandlerNeverAsks(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello")
	})
	res, body := st.get(t, "/")
	if body != "hello" || len(res.Cookies()) != 0 || res.Header.Get("Vary") != "" || res.Header.Get("Cache-Control") != "" {
		t.Errorf("got %q with header %v, want the bare response", body, res.Header)
	}
	if n := st.files(t); n != 0 {
		t.Errorf("got %d files, want none", n)
	}
}

func TestMiddlewareOverTheLifeOfASession(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, steps)

	res, body := st.get(t, "/get=a")
	if c := sessionCookie(res); c != nil || body != "<nil>" || st.files(t) != 0 {
		t.Fatalf("reading an empty session: cookie %v, body %q, %d files; want none of them", c, body, st.files(t))
	}
	if got := res.Header.Get("Vary"); got != "Cookie" {
		t.Errorf("Vary after reading: got %q, want Cookie", got)
	}

	res, _ = st.get(t, "/set=a")
	c := sessionCookie(res)
	if c == nil {
		t.Fatal("no cookie after the first value was set")
	}
	if c.Name != "__Host-session" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge != 0 {
		t.Errorf("default cookie: got %s with MaxAge %d", c.String()[:20], c.MaxAge)
	}
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control with a cookie: got %q, want no-store", got)
	}
	first := c.Value

	res, body = st.get(t, "/set=b/get=a")
	if c := sessionCookie(res); c != nil || body != "value of a" {
		t.Errorf("second request: body %q, cookie again %v", body, c != nil)
	}

	res, _ = st.get(t, "/renew")
	second := sessionCookie(res).Value
	if second == first {
		t.Error("renewed, but the ID is the old one")
	}
	if _, body := st.get(t, "/get=b"); body != "value of b" {
		t.Errorf("after renewal: got %q", body)
	}
	if s, err := st.store.Get(t.Context(), first); err != nil || !s.New() {
		t.Errorf("the old ID still gives a session (%v)", err)
	}

	res, _ = st.get(t, "/destroy")
	if c := sessionCookie(res); c == nil || c.MaxAge >= 0 || c.Value != "" {
		t.Error("destroyed, but the cookie does not expire")
	}
	if n := st.files(t); n != 0 {
		t.Errorf("destroyed, but %d files are left", n)
	}
	if _, body := st.get(t, "/get=b"); body != "<nil>" {
		t.Errorf("after the end: got %q", body)
	}
}

func TestClearEndsTheSessionAndTheNextHasAnotherID(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, steps)
	res, _ := st.get(t, "/set=a")
	first := sessionCookie(res).Value
	res, _ = st.get(t, "/clear")
	if c := sessionCookie(res); c == nil || c.MaxAge >= 0 || st.files(t) != 0 {
		t.Errorf("cleared: cookie %v, %d files; want it expired and none", c, st.files(t))
	}
	res, _ = st.get(t, "/set=a")
	if second := sessionCookie(res).Value; second == first {
		t.Error("the session after the end has the ID of the one before")
	}
	// Losing its last value otherwise does not end it.
	res, _ = st.get(t, "/delete=a")
	if c := sessionCookie(res); c != nil || st.files(t) != 1 {
		t.Errorf("last value deleted: cookie %v, %d files; want none and one", c, st.files(t))
	}
}

func TestDestroyOfAnAnonymousSessionMakesNoFile(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, steps)
	for _, path := range []string{"/destroy", "/clear", "/renew", "/set=a/clear", "/set=a/destroy", "/set=a/delete=a"} {
		st.newBrowser(t)
		if res, _ := st.get(t, path); sessionCookie(res) != nil || st.files(t) != 0 {
			t.Errorf("%s: cookie %v, %d files", path, sessionCookie(res), st.files(t))
		}
	}
}

func TestCookiesAreSetAgainOnlyWhenTheBrowserNeedsIt(t *testing.T) {
	persistent := sessions.CookieOptions{Cookie: http.Cookie{MaxAge: 3600}}
	renewing := persistent
	renewing.RenewOnAccess = time.Nanosecond
	rarely := persistent
	rarely.RenewOnAccess = time.Hour
	for _, test := range []struct {
		name   string
		o      sessions.CookieOptions
		path   string
		cookie bool
		maxAge int
	}{
		{"read", sessions.CookieOptions{}, "/get=a", false, 0},
		{"saved", sessions.CookieOptions{}, "/set=b", false, 0},
		{"read, persistent", persistent, "/get=a", false, 0},
		{"saved, persistent", persistent, "/set=b", true, 3600},
		{"a flash message read, persistent", persistent, "/delete=a", true, 3600},
		{"saved, persistent by its own timeout", sessions.CookieOptions{}, "/age=720h/set=b", true, 720 * 3600},
		{"renewed on access", renewing, "/get=a", true, 3600},
		{"not yet to be renewed", rarely, "/get=a", false, 0},
		{"remembered", sessions.CookieOptions{}, "/age=720h", true, 720 * 3600},
		{"remembered for longer than browsers do", sessions.CookieOptions{}, "/age=20000h", true, 400 * 24 * 3600},
		{"a new ID", persistent, "/renew", true, 3600},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := newSiteWith(t, siteOptions{cookies: test.o}, steps)
			st.get(t, "/set=a")
			res, _ := st.get(t, test.path)
			c := sessionCookie(res)
			if (c != nil) != test.cookie {
				t.Fatalf("cookie: got %v, want %v", c != nil, test.cookie)
			}
			if c != nil && c.MaxAge != test.maxAge {
				t.Errorf("Max-Age: got %d, want %d", c.MaxAge, test.maxAge)
			}
		})
	}
}

func TestCookiesOfOthersAreLeftAlone(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
		http.SetCookie(w, &http.Cookie{Name: "__Host-session-not", Value: "x", Path: "/", Secure: true})
		sessions.FromContext(r.Context()).Set("a", 1)
	})
	res, _ := st.get(t, "/", "Cookie", "thisisnnotasessioncookie=1")
	if got := len(res.Cookies()); got != 3 {
		t.Errorf("got %d cookies in the response, want 3: %v", got, res.Header["Set-Cookie"])
	}
}

func TestCookiesOfSimilarNamesAreNotConfused(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, steps)
	res, _ := st.get(t, "/set=a")
	id := sessionCookie(res).Value
	st.newBrowser(t)
	for _, header := range []string{"=__Host-session=" + id, "x__Host-session=" + id, "__host-session=" + id, "__Host-session" + id} {
		if _, body := st.get(t, "/get=a", "Cookie", header); body != "<nil>" {
			t.Errorf("the session was found through another cookie's name")
		}
	}
	if _, body := st.get(t, "/get=a", "Cookie", `__Host-session=junk; __Host-session="`+id+`"`); body != "value of a" {
		t.Errorf("a valid, quoted cookie behind a junk one: got %q", body)
	}
}

func TestMiddlewareNeverWeakensTheHandlersHeaders(t *testing.T) {
	for _, test := range []struct{ cacheControl, vary, wantCache, wantVary string }{
		{"", "", "no-store", "Cookie"},
		{"public, idle-timeout=60", "Accept", "public, idle-timeout=60, no-store", "Accept, Cookie"},
		{"private, No-Store", "accept, cookie", "private, No-Store", "accept, cookie"},
		{"no-transform", "*", "no-transform, no-store", "*"},
	} {
		st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
			if test.cacheControl != "" {
				w.Header().Set("Cache-Control", test.cacheControl)
			}
			if test.vary != "" {
				w.Header().Set("Vary", test.vary)
			}
			sessions.FromContext(r.Context()).Set("a", 1)
		})
		res, _ := st.get(t, "/")
		if got := strings.Join(res.Header["Cache-Control"], ", "); got != test.wantCache {
			t.Errorf("Cache-Control: got %q, want %q", got, test.wantCache)
		}
		if got := strings.Join(res.Header["Vary"], ", "); got != test.wantVary {
			t.Errorf("Vary: got %q, want %q", got, test.wantVary)
		}
	}
}

func TestMiddlewareMakesNoFileForAHundredThousandReaders(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	mw := newMiddleware(t, store, sessions.CookieOptions{}, sessions.MiddlewareOptions{})
	h := mw.Wrap(http.HandlerFunc(steps))
	for i := range 100_000 {
		r := httptest.NewRequest("GET", "/get=a", nil)
		if i%2 == 0 {
			r.Header.Set("Cookie", "__Host-session="+store.GenerateKey())
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || w.Header().Get("Set-Cookie") != "" {
			t.Fatalf("request %d: status %d, cookie %v", i, w.Code, w.Header().Get("Set-Cookie") != "")
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("got %d files (%v), want none", len(entries), err)
	}
}

func TestMiddlewareDropsTheChangesOfASlowRequestAfterALogout(t *testing.T) {
	loaded, loggedOut := make(chan bool), make(chan bool)
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			s := sessions.FromContext(r.Context())
			loaded <- true
			<-loggedOut
			s.Set("b", "too late")
			fmt.Fprint(w, "done")
			return
		}
		steps(w, r)
	})
	st.get(t, "/set=a")
	var body string
	var res *http.Response
	finished := make(chan bool)
	go func() {
		defer close(finished)
		res, body = st.get(t, "/slow")
	}()
	<-loaded
	st.get(t, "/destroy")
	loggedOut <- true
	<-finished
	if res.StatusCode != 200 || body != "done" || sessionCookie(res) != nil {
		t.Errorf("the slow request: status %d, body %q, cookie %v; want it to pass without one", res.StatusCode, body, sessionCookie(res) != nil)
	}
	if n := st.files(t); n != 0 {
		t.Errorf("the session was revived: %d files", n)
	}
}

func TestMiddlewareSavesThoughTheBrowserWentAway(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Set("paid", true)
		if r.URL.Path == "/pay" {
			entered <- true
			<-r.Context().Done()
			defer close(leave)
		}
	})
	res, _ := st.get(t, "/")
	id := sessionCookie(res).Value
	s, _ := st.store.Get(t.Context(), id)
	s.Delete("paid")
	if err := st.store.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	req, _ := http.NewRequestWithContext(ctx, "GET", st.URL+"/pay", nil)
	if _, err := st.Client().Do(req); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	<-leave
	st.Server.Close() // waits for the handler's end
	if s, _ := st.store.Get(t.Context(), id); s.Get("paid") != true {
		t.Error("what the handler did was not saved")
	}
}

func TestMiddlewareExcludesRequests(t *testing.T) {
	const upgrade = "websocket"
	for _, test := range []struct {
		name   string
		o      sessions.MiddlewareOptions
		path   string
		header []string
		want   bool
	}{
		{"nothing excluded", sessions.MiddlewareOptions{}, "/a", nil, true},
		{"pattern", sessions.MiddlewareOptions{Exclude: []string{"GET /static/"}}, "/static/x.css", nil, false},
		{"another path", sessions.MiddlewareOptions{Exclude: []string{"GET /static/", "/health"}}, "/a", nil, true},
		{"predicate", sessions.MiddlewareOptions{ExcludeFunc: func(r *http.Request) bool { return r.URL.Path == "/a" }}, "/a", nil, false},
		{"HTTP", sessions.MiddlewareOptions{NoHTTP: true}, "/a", nil, false},
		{"WebSocket where only HTTP is off", sessions.MiddlewareOptions{NoHTTP: true}, "/a", []string{"Connection", "keep-alive, Upgrade", "Upgrade", upgrade}, true},
		{"WebSocket", sessions.MiddlewareOptions{NoWebSocket: true}, "/a", []string{"Connection", "Upgrade", "Upgrade", upgrade}, false},
		{"HTTP where only WebSocket is off", sessions.MiddlewareOptions{NoWebSocket: true}, "/a", nil, true},
		{"a route that skips", sessions.MiddlewareOptions{}, "/skip", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := func(w http.ResponseWriter, r *http.Request) {
				_, ok := sessions.LookupContext(r.Context())
				fmt.Fprint(w, ok)
			}
			skip := sessions.Skip(http.HandlerFunc(found))
			st := newSite(t, sessions.FilesystemOptions{}, test.o, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/skip" {
					skip.ServeHTTP(w, r)
					return
				}
				found(w, r)
			})
			if _, body := st.get(t, test.path, test.header...); body != fmt.Sprint(test.want) {
				t.Errorf("session: got %s, want %v", body, test.want)
			}
		})
	}
}

func TestFromContextWithoutMiddlewarePanics(t *testing.T) {
	defer func() {
		if p, ok := recover().(string); !ok || !strings.Contains(p, "not inside a Middleware") {
			t.Errorf("got panic %q, want one that says what is wrong", p)
		}
	}()
	sessions.FromContext(t.Context())
}

func TestCookieOptionsThatContradictAreListedAllAtOnce(t *testing.T) {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: t.TempDir() + "/s"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, test := range []struct {
		o    sessions.CookieOptions
		want []string // parts of the one error
	}{
		{cookie(http.Cookie{Name: "__Host-x", Domain: "example.com"}), []string{"__Host-", "no Domain"}},
		{cookie(http.Cookie{Name: "__HOST-x", Path: "/app"}), []string{"__Host-", "Path=/"}},
		{insecure(http.Cookie{Name: "__Secure-x"}), []string{"__Secure-"}},
		{insecure(http.Cookie{Name: "__Http-x"}), []string{"__Http-", "Secure"}},
		{scripted(http.Cookie{Name: "__Http-x"}), []string{"__Http-", "HttpOnly"}},
		{scripted(http.Cookie{Name: "__HTTP-x"}), []string{"__Http-", "HttpOnly"}},
		{scripted(http.Cookie{Name: "__Host-Http-x"}), []string{"__Host-Http-", "HttpOnly"}},
		{cookie(http.Cookie{Name: "__Host-Http-x", Path: "/app"}), []string{"__Host-Http-", "Path=/"}},
		{insecure(http.Cookie{Partitioned: true}), []string{"Partitioned"}},
		{insecure(http.Cookie{SameSite: http.SameSiteNoneMode}), []string{"SameSite=None"}},
		{insecure(http.Cookie{Secure: true}), []string{"InsecureAllowHTTP"}},
		{cookie(http.Cookie{MaxAge: -1}), []string{"MaxAge is negative"}},
		{cookie(http.Cookie{MaxAge: 401 * 24 * 3600}), []string{"400 days"}},
		{cookie(http.Cookie{Value: "x"}), []string{"Value"}},
		{cookie(http.Cookie{Expires: time.Now()}), []string{"Expires"}},
		{cookie(http.Cookie{Name: "a b"}), []string{"Name"}},
		{cookie(http.Cookie{Name: strings.Repeat("n", 257)}), []string{"256"}},
		{cookie(http.Cookie{Path: "app"}), []string{"slash"}},
		{cookie(http.Cookie{Path: "/" + strings.Repeat("p", 1024)}), []string{"1024"}},
		{cookie(http.Cookie{SameSite: 99}), []string{"SameSite"}},
		{sessions.CookieOptions{RenewOnAccess: -1}, []string{"RenewOnAccess"}},
		{insecure(http.Cookie{MaxAge: -1, Partitioned: true}), []string{"MaxAge is negative", "Partitioned"}},
	} {
		_, err := sessions.NewCookies(store, test.o)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want one that mentions %q", err, want)
			}
		}
	}
	for _, name := range []string{"s", strings.Repeat("n", 256)} {
		if _, err := sessions.NewCookies(store, cookie(http.Cookie{Name: name})); err != nil {
			t.Errorf("a name of %d characters: %v", len(name), err)
		}
	}
	if _, err := sessions.NewCookies(nil, sessions.CookieOptions{}); err == nil {
		t.Error("a nil store was accepted")
	}
}

func TestCookieOptionsChooseTheSafestNameThatTheyAllow(t *testing.T) {
	for _, test := range []struct {
		o    sessions.CookieOptions
		want string
	}{
		{cookie(http.Cookie{}), "__Host-session"},
		{cookie(http.Cookie{Path: "/"}), "__Host-session"},
		{scripted(http.Cookie{}), "__Host-session"},
		{cookie(http.Cookie{Path: "/app"}), "__Secure-session"},
		{cookie(http.Cookie{Domain: "example.com"}), "__Secure-session"},
		{insecure(http.Cookie{}), "session"},
		{insecure(http.Cookie{Path: "/app", Domain: "example.com"}), "session"},
		{cookie(http.Cookie{Name: "__Http-x", Path: "/app"}), "__Http-x"},
		{cookie(http.Cookie{Name: "__Host-Http-x"}), "__Host-Http-x"},
	} {
		if c, err := test.o.Template(); err != nil || c.Name != test.want {
			t.Errorf("%+v: got the name %q (%v), want %q", test.o, c.Name, err, test.want)
		}
	}
}

func scripted(c http.Cookie) sessions.CookieOptions {
	return sessions.CookieOptions{Cookie: c, InsecureAllowScript: true}
}

func cookie(c http.Cookie) sessions.CookieOptions { return sessions.CookieOptions{Cookie: c} }

func insecure(c http.Cookie) sessions.CookieOptions {
	return sessions.CookieOptions{Cookie: c, InsecureAllowHTTP: true}
}

func TestMiddlewareOptionsThatContradictAreListedAllAtOnce(t *testing.T) {
	_, err := sessions.NewMiddleware(nil, sessions.MiddlewareOptions{
		NoHTTP: true, NoWebSocket: true, Exclude: []string{"/a", "/a", "no pattern at all {"},
	})
	for _, want := range []string{"the carrier is nil", "NoHTTP and NoWebSocket", "conflicts with pattern", "host/path missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that mentions %q", err, want)
		}
	}
}

// untouched returns a handler that does nothing, and the same in the middleware.
func untouched(t testing.TB) (bare, wrapped http.Handler) {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: t.TempDir() + "/s"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	mw := newMiddleware(t, store, sessions.CookieOptions{}, sessions.MiddlewareOptions{})
	bare = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
	return bare, mw.Wrap(bare)
}

func TestMiddlewareCostsThreeAllocationsWhereTheHandlerNeverAsks(t *testing.T) {
	bare, wrapped := untouched(t)
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	cost := func(h http.Handler) float64 { return testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }) }
	if got, floor := cost(wrapped), cost(bare); got > floor+3 {
		t.Errorf("got %v allocations, the bare handler has %v; want 3 more at most", got, floor)
	}
}

// A log of a request's context shows no ID, in whichever form it is written.
func TestContextOfARequestShowsNoID(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "user", "ann")
	mw := newMiddleware(t, store, sessions.CookieOptions{}, sessions.MiddlewareOptions{})
	handler := mw.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if sessions.FromContext(r.Context()).New() {
			t.Error("the cookie was not found")
		}
		for _, form := range []string{"%v", "%+v", "%#v", "%d", "%q"} {
			if text := fmt.Sprintf(form, r.Context()); strings.Contains(text, s.ID()) {
				t.Errorf("%s shows it", form)
			}
		}
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "__Host-session", Value: s.ID()})
	handler.ServeHTTP(httptest.NewRecorder(), r)
}
