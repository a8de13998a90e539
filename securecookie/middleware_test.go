package securecookie_test

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
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

// overBoth serves a handler behind the middleware over TLS, once with HTTP/1.1
// and once with HTTP/2, and has run visit it with a cookie jar.
func overBoth(t *testing.T, o securecookie.CarrierOptions, handler http.HandlerFunc, run func(t *testing.T, visit func(path string) (*http.Response, string), log *bytes.Buffer)) {
	t.Helper()
	for protocol, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(protocol, func(t *testing.T) {
			log := new(bytes.Buffer)
			mw, err := sessions.NewMiddleware(newCarrier(t, newRing(t, "site"), o), sessions.MiddlewareOptions{Logger: slog.New(slog.NewTextHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(mw.Wrap(handler))
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			server.EnableHTTP2 = http2
			server.StartTLS()
			t.Cleanup(server.Close)
			server.Client().Jar, _ = cookiejar.New(nil)
			visit := func(path string) (*http.Response, string) {
				res, err := server.Client().Get(server.URL + path)
				if err != nil {
					return nil, err.Error()
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if err != nil || res.Proto != protocol {
					t.Errorf("%s: %s, %v", path, res.Proto, err)
				}
				return res, string(body)
			}
			run(t, visit, log)
		})
	}
}

func TestSaveBeforeTheFirstByteSetsTheCookiesAtOnce(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		save := func(cookies int) {
			if err := sessions.Save(r.Context()); err != nil {
				t.Error("Save:", err)
			}
			if got := len(w.Header()["Set-Cookie"]); got != cookies || s.Modified() {
				t.Errorf("%s: after Save the response sets %d cookies, want %d; the session is %v", r.URL.Path, got, cookies, s)
			}
		}
		switch r.URL.Path {
		case "/grow":
			s.Set("a", "small")
			save(1)
			s.Set("b", strings.Repeat("b", 5000)) // the middleware saves it, in chunks
		case "/twice":
			s.Set("c", 1)
			save(2)
			save(2)
			s.Renew()
		case "/end":
			s.Destroy()
			save(2)
		case "/made and ended":
			s.Set("a", "small")
			save(1)
			s.Destroy()
		case "/panic":
			s.Set("a", "not seen")
			save(2)
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%v %v", s.Get("a"), s.Get("c"))
	}
	overBoth(t, securecookie.CarrierOptions{}, handler, func(t *testing.T, visit func(string) (*http.Response, string), log *bytes.Buffer) {
		for _, step := range []struct{ path, want string }{
			{"/grow", "small <nil>"}, {"/", "small <nil>"}, {"/twice", "small 1"}, {"/", "small 1"},
			{"/panic", ""}, {"/", "small 1"}, {"/end", "<nil> <nil>"}, {"/", "<nil> <nil>"}, {"/made and ended", "<nil> <nil>"}, {"/", "<nil> <nil>"},
		} {
			_, body := visit(strings.ReplaceAll(step.path, " ", "%20"))
			if step.want != "" && body != step.want {
				t.Errorf("%s: got %q, want %q", step.path, body, step.want)
			}
		}
		if strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("logged: %s", log)
		}
	})
}

func TestHandlerThatSetsCacheControlAfterASaveDoesNotPublishTheCookie(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Set("a", 1)
		if err := sessions.Save(r.Context()); err != nil {
			t.Error("Save:", err)
		}
		w.Header().Set("Cache-Control", "public")
		w.Header().Set("Vary", "Accept")
	}
	overBoth(t, securecookie.CarrierOptions{}, handler, func(t *testing.T, visit func(string) (*http.Response, string), _ *bytes.Buffer) {
		res, _ := visit("/")
		cacheControl, vary := strings.Join(res.Header["Cache-Control"], ", "), strings.Join(res.Header["Vary"], ", ")
		if len(res.Cookies()) != 1 || cacheControl != "public, no-store" || vary != "Accept, Cookie" {
			t.Errorf("%d cookies, Cache-Control %q, Vary %q", len(res.Cookies()), cacheControl, vary)
		}
	})
}

func TestSaveThatIsTooLargeCanBeAnsweredByTheHandler(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		if r.URL.Path == "/first" {
			s.Set("a", 1)
			return
		}
		if r.URL.Path == "/get" {
			fmt.Fprint(w, s.Get("a"))
			return
		}
		s.Set("a", strings.Repeat("a", 5000))
		if err := sessions.Save(r.Context()); !errors.Is(err, sessions.ErrTooLarge) || !strings.Contains(err.Error(), "bytes") || !strings.Contains(err.Error(), "limit") {
			t.Errorf("Save: got %v, want ErrTooLarge with size and limit", err)
		}
		if r.URL.Path == "/discard" {
			s.Discard()
		}
		http.Error(w, "too much", http.StatusRequestEntityTooLarge)
	}
	overBoth(t, withMaxCookies(1), handler, func(t *testing.T, visit func(string) (*http.Response, string), _ *bytes.Buffer) {
		visit("/first")
		for path, want := range map[string]int{"/discard": 413, "/": 500} {
			if res, _ := visit(path); res.StatusCode != want || len(res.Cookies()) != 0 {
				t.Errorf("%s: got status %d with %d cookies, want %d without", path, res.StatusCode, len(res.Cookies()), want)
			}
		}
		if _, body := visit("/get"); body != "1" {
			t.Errorf("afterwards: got %q", body)
		}
	})
}

// Every save sends the cookie anyway; here is its age.
func TestPersistentCookieIsSentWithEverySave(t *testing.T) {
	o := securecookie.CarrierOptions{CookieOptions: sessions.CookieOptions{Cookie: http.Cookie{MaxAge: 3600}}}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/save" {
			sessions.FromContext(r.Context()).Set("a", 1)
		}
		sessions.FromContext(r.Context()).Get("a")
	}
	overBoth(t, o, handler, func(t *testing.T, visit func(string) (*http.Response, string), _ *bytes.Buffer) {
		for range 3 {
			if res, _ := visit("/save"); len(res.Cookies()) != 1 || res.Cookies()[0].MaxAge != 3600 {
				t.Errorf("a save set %d cookies", len(res.Cookies()))
			}
			if res, _ := visit("/"); len(res.Cookies()) != 0 {
				t.Error("a request that only reads set a cookie")
			}
		}
	})
}

// The limit in the documentation of CarrierOptions, and its remedy.
func TestSlowReaderBesideALogoutBringsTheSessionBackUnlessNotBeforeRefusesIt(t *testing.T) {
	for name, refuses := range map[string]bool{"without NotBefore": false, "with NotBefore": true} {
		t.Run(name, func(t *testing.T) {
			var loggedOut atomic.Pointer[time.Time]
			o := securecookie.CarrierOptions{CookieOptions: sessions.CookieOptions{RenewOnAccess: time.Nanosecond}}
			if refuses {
				o.NotBefore = func(context.Context, string) (time.Time, error) {
					if at := loggedOut.Load(); at != nil {
						return *at, nil
					}
					return time.Time{}, nil
				}
			}
			loaded, leave := make(chan bool), make(chan bool)
			handler := func(w http.ResponseWriter, r *http.Request) {
				s := sessions.FromContext(r.Context())
				switch r.URL.Path {
				case "/login":
					s.Renew()
					s.SetOwner("ann")
					s.Set("a", 1)
				case "/logout":
					now := time.Now()
					loggedOut.Store(&now)
					s.Destroy()
				case "/slow":
					loaded <- true
					<-leave
				}
				fmt.Fprint(w, s.Get("a"))
			}
			overBoth(t, o, handler, func(t *testing.T, visit func(string) (*http.Response, string), _ *bytes.Buffer) {
				loggedOut.Store(nil)
				visit("/login")
				slow := make(chan *http.Response)
				go func() {
					res, _ := visit("/slow")
					slow <- res
				}()
				<-loaded
				visit("/logout")
				if _, body := visit("/"); body != "<nil>" {
					t.Errorf("right after the logout: got %q", body)
				}
				leave <- true
				if res := <-slow; len(res.Cookies()) != 1 {
					t.Errorf("the slow request sets %d cookies", len(res.Cookies()))
				}
				want := "1"
				if refuses {
					want = "<nil>"
				}
				if _, body := visit("/"); body != want {
					t.Errorf("after the slow request: got %q, want %q", body, want)
				}
			})
		})
	}
}

// A sibling domain's cookie of the name comes before the real one.
func TestTossedCookieDoesNotHideTheSession(t *testing.T) {
	b := newBrowser(t, named("session"))
	b.put("a", 1)
	real := b.cookies[0]
	other := newBrowser(t, named("session")) // sealed by keys that are not ours
	other.put("a", 2)
	for name, tossed := range map[string]string{"junk": "junk", "sealed by others": other.cookies[0].Value} {
		first := &http.Cookie{Name: "session", Value: tossed}
		b.cookies = []*http.Cookie{first, real}
		if got := b.get("a"); got != int64(1) || len(b.set) != 0 {
			t.Errorf("%s: got %v, and set %d cookies", name, got, len(b.set))
		}
		b.visit((*sessions.Session).Destroy)
		if c := b.set["session"]; c == nil || c.MaxAge >= 0 {
			t.Errorf("%s: the logout did not take the cookie away", name)
		}
		// The browser still has the sibling's.
		b.cookies = []*http.Cookie{first}
		if got := b.get("a"); got != nil {
			t.Errorf("%s: after the logout: got %v", name, got)
		}
	}
}

func TestFlashesReadWhileTheResponseIsWrittenAreReported(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		if r.URL.Path == "/add" {
			s.AddFlash("hello")
			return
		}
		io.WriteString(w, "begun: ")
		fmt.Fprint(w, s.Flashes())
	}
	overBoth(t, securecookie.CarrierOptions{}, handler, func(t *testing.T, visit func(string) (*http.Response, string), log *bytes.Buffer) {
		visit("/add")
		visit("/")
		if _, body := visit("/"); body != "begun: [hello]" || !strings.Contains(log.String(), "the change is lost") {
			t.Errorf("got %q, and logged %q", body, log)
		}
	})
}

func TestLateSaveOfNothingIsNoError(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Set("a", 1)
		io.WriteString(w, "begun")
		if err := sessions.Save(r.Context()); err != nil {
			t.Error("Save:", err)
		}
	}
	overBoth(t, securecookie.CarrierOptions{}, handler, func(t *testing.T, visit func(string) (*http.Response, string), _ *bytes.Buffer) {
		if res, _ := visit("/"); len(res.Cookies()) != 1 {
			t.Errorf("got %d cookies", len(res.Cookies()))
		}
	})
}
