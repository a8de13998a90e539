package sessions_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
)

// withOuterHeaders is middleware that sets headers of its own.
func withOuterHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "outer")
		w.Header().Set("X-Outer", "kept")
		next.ServeHTTP(w, r)
	})
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

func TestErrorHandlerSendsNothingOfTheHandlersAndKeepsTheHeadersAround(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request, err error){
		"by default": nil,
		"writes nothing": func(w http.ResponseWriter, r *http.Request, err error) {
			if s, ok := sessions.LookupContext(r.Context()); !ok || s.Err() == nil || !errors.Is(err, s.Err()) {
				t.Errorf("LookupContext: %v, %v", s, ok)
			}
			w.WriteHeader(http.StatusEarlyHints)
			if err := sessions.Save(r.Context()); err == nil {
				t.Error("the session that was not loaded could be saved")
			}
		},
		"writes": func(w http.ResponseWriter, r *http.Request, err error) {
			w.Header().Set("X-Error", "yes")
			w.WriteHeader(http.StatusInternalServerError)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusOK) // is ignored, with a line in the log
		},
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				o.middleware.ErrorHandler = answer
				o.around = withOuterHeaders
				st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
					h := w.Header()
					h.Set("X-Accel-Redirect", "/secret")
					h.Set("Set-Cookie", "a=b")
					h.Set("X-Outer", "changed")
					h.Add("X-Outer", "more")
					h.Del("Cache-Control")
					h.Set("Content-Type", "image/png")
					h.Set("Etag", `"x"`)
					sessions.FromContext(r.Context()).Set("a", 1)
					h.Set("Vary", "Accept")
					fmt.Fprint(w, "handler's body")
					fmt.Fprint(w, ", of a handler that ignores errors")
				})
				st.store.Close()
				res, body := st.get(t, "/", "Cookie", "__Host-session="+st.store.GenerateKey())
				if res.StatusCode != 500 || strings.Contains(body, "handler") {
					t.Errorf("status %d, body %q", res.StatusCode, body)
				}
				for key, want := range map[string]string{
					"X-Accel-Redirect": "", "Set-Cookie": "", "Etag": "", "X-Outer": "kept", "Cache-Control": "outer", "Vary": "Cookie",
				} {
					if got := strings.Join(res.Header[key], ", "); got != want {
						t.Errorf("%s: got %q, want %q", key, got, want)
					}
				}
				if strings.Contains(res.Header.Get("Content-Type"), "image") {
					t.Error("the error has the handler's Content-Type")
				}
			})
		})
	}
}

func TestMiddlewareKeepsResponsesOutOfSharedCaches(t *testing.T) {
	for _, test := range []struct{ path, cacheControl, want string }{
		{"/unread", "", ""},
		{"/unread", "public", "public"},
		{"/read", "", "private"},
		{"/read", "public, idle-timeout=60", "public, idle-timeout=60"},
		{"/read", "no-cache", "no-cache"},
		{"/save", "", "no-store"},
		{"/save", "idle-timeout=60", "idle-timeout=60, no-store"},
		{"/save early", "", "no-store"},
		{"/save early", "public", "public, no-store"},
		{"/save early, then set", "public", "public, no-store"},
		{"/read early, then set", "public", "public"},
	} {
		t.Run(test.path+" "+test.cacheControl, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
					set := func() {
						if test.cacheControl != "" {
							w.Header().Set("Cache-Control", test.cacheControl)
							w.Header().Set("Vary", "Accept")
						}
					}
					if strings.HasPrefix(r.URL.Path, "/unread") {
						set()
						return
					}
					s := sessions.FromContext(r.Context())
					if strings.HasPrefix(r.URL.Path, "/save") {
						s.Set("a", 1)
					}
					then := strings.HasSuffix(r.URL.Path, "then set")
					if !then {
						set()
					}
					if strings.Contains(r.URL.Path, "early") {
						if err := sessions.Save(r.Context()); err != nil {
							t.Error(err)
						}
					}
					if then {
						set()
					}
				})
				res, _ := st.get(t, strings.ReplaceAll(test.path, " ", "%20"))
				if got := strings.Join(res.Header["Cache-Control"], ", "); got != test.want {
					t.Errorf("Cache-Control: got %q, want %q", got, test.want)
				}
				vary := strings.Join(res.Header["Vary"], ", ")
				if read := !strings.HasPrefix(test.path, "/unread"); strings.Contains(vary, "Cookie") != read {
					t.Errorf("Vary: got %q", vary)
				}
			})
		})
	}
}

// plainWriter has the methods of an http.ResponseWriter, and no others.
type plainWriter struct{ w http.ResponseWriter }

func (p plainWriter) Header() http.Header { return p.w.Header() }

func (p plainWriter) Write(b []byte) (int, error) { return p.w.Write(b) }

func (p plainWriter) WriteHeader(status int) { p.w.WriteHeader(status) }

func TestFlushWhereTheWriterBelowCannot(t *testing.T) {
	plain := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(plainWriter{w}, r) })
	}
	otherStore := newStore(t, sessions.FilesystemOptions{})
	other := newMiddleware(t, otherStore, sessions.CookieOptions{Cookie: http.Cookie{Name: "other"}}, sessions.MiddlewareOptions{})
	for name, around := range map[string]func(http.Handler) http.Handler{
		"one middleware":  plain,
		"two middlewares": func(next http.Handler) http.Handler { return plain(other.Wrap(next)) },
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				o.around = around
				st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
					s := sessions.FromContext(r.Context())
					if err := http.NewResponseController(w).Flush(); !errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("Flush: got %v, want errors.ErrUnsupported", err)
					}
					w.(http.Flusher).Flush()
					s.Set("a", "after Flush")
					if _, ok := w.(http.Hijacker); ok {
						t.Error("the writer claims to hijack")
					}
				})
				res, _ := st.get(t, "/")
				if s := st.stored(t, res); s.Get("a") != "after Flush" || st.log.String() != "" {
					t.Errorf("a = %v, logged %q", s.Get("a"), st.log)
				}
			})
		})
	}
}

// panicking panics when it is encoded.
type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("the encoder's own") }

func TestMiddlewareTakesAPanicOfAnEncoderForAnErrorOfTheSave(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		o.middleware.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			var bad *sessions.ValueError
			if !errors.As(err, &bad) || bad.Key != "bad" {
				t.Errorf("got error %v, want a ValueError", err)
			}
			http.Error(w, "no", http.StatusInternalServerError)
		}
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			s := sessions.FromContext(r.Context())
			switch r.URL.Path {
			case "/save":
				s.Set("bad", panicking{})
				var bad *sessions.ValueError
				if err := sessions.Save(r.Context()); !errors.As(err, &bad) {
					t.Errorf("Save: got %v, want a ValueError", err)
				}
				s.Discard()
			case "/bad":
				s.Set("bad", panicking{})
			}
			s.Set("n", r.URL.Path)
		})
		first, _ := st.get(t, "/")
		for path, status := range map[string]int{"/save": 200, "/bad": 500, "/": 200} {
			if res, _ := st.get(t, path); res.StatusCode != status {
				t.Errorf("%s: got status %d, want %d", path, res.StatusCode, status)
			}
		}
		if s := st.stored(t, first); s.Get("bad") != nil {
			t.Error("the bad value was stored")
		}
	})
}
