package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// A handler whose time is over stands between two changes: it has set the owner
// and not yet renewed the ID, which an attacker may have planted.
func TestTimeoutHandlerInsideDropsWhatACutOffHandlerChanged(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		type outcome struct {
			inTime bool
			save   error
		}
		answered, finished := make(chan bool), make(chan outcome, 1)
		slow := http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := sessions.FromContext(r.Context())
			s.SetOwner("ann")
			s.Set("a", "half")
			got := outcome{inTime: r.Context().Err() == nil}
			<-answered
			if got.inTime {
				got.save = sessions.Save(r.Context())
			}
			finished <- got
		}), 50*time.Millisecond, "too slow")
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				slow.ServeHTTP(w, r)
				return
			}
			steps(w, r)
		})
		first, _ := st.get(t, "/set=a")
		for { // until the handler is as fast as it should be
			st.log.Reset()
			res, body := st.get(t, "/slow")
			answered <- true
			got := <-finished
			if s := st.stored(t, first); res.StatusCode != 503 || body != "too slow" || len(res.Cookies()) != 0 || s.Owner() != "" || s.Get("a") != "value of a" {
				t.Errorf("status %d, body %q, %d cookies, owner %q, a = %v", res.StatusCode, body, len(res.Cookies()), s.Owner(), s.Get("a"))
			}
			if !got.inTime {
				continue
			}
			if got.save == nil {
				t.Error("the handler could save after it was cut off")
			}
			if log := st.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "cut off") || strings.Contains(log, "level=ERROR") {
				t.Errorf("logged %q, want that it was cut off", log)
			}
			return
		}
	})
}

func TestTimeoutHandlerInsideIsCutOffWithTheRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		changed, leave := make(chan bool), make(chan bool)
		slow := http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sessions.FromContext(r.Context()).Set("a", "half")
			changed <- true
			<-leave
		}), time.Hour, "")
		over := make(chan bool)
		o.around = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r)
				if r.URL.Path == "/slow" {
					close(over)
				}
			})
		}
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				slow.ServeHTTP(w, r)
				return
			}
			steps(w, r)
		})
		first, _ := st.get(t, "/set=a")
		st.goAway(t, "/slow", changed)
		<-over
		close(leave)
		if s := st.stored(t, first); s.Get("a") != "value of a" || !strings.Contains(st.log.String(), "cut off") {
			t.Errorf("a = %v, logged %q", s.Get("a"), st.log)
		}
	})
}

// goAway asks for a page, and breaks that off when something has been received.
func (st *site) goAway(t *testing.T, path string, when <-chan bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-when
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, "GET", st.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Client().Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the request was broken off", err)
	}
}

func TestTimeoutHandlerIsNotSeenInAHandlersOwn503(t *testing.T) {
	for name, handler := range map[string]http.Handler{
		"bare":                       http.HandlerFunc(busy),
		"inside http.TimeoutHandler": http.TimeoutHandler(http.HandlerFunc(busy), time.Hour, ""),
		"with a deadline of its own": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			defer cancel()
			busy(w, r.WithContext(ctx))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				st := newSiteWith(t, o, handler.ServeHTTP)
				res, _ := st.get(t, "/")
				if s := st.stored(t, res); res.StatusCode != 503 || s.Get("a") != "tried" {
					t.Errorf("status %d, a = %v", res.StatusCode, s.Get("a"))
				}
			})
		})
	}
}

// Another status is the handler's own, whatever has become of its context.
func TestTimeoutHandlerIsNotSeenWithoutA503(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			sessions.FromContext(ctx).Set("a", "kept")
			cancel()
		})
		res, _ := st.get(t, "/")
		if s := st.stored(t, res); s.Get("a") != "kept" {
			t.Errorf("a = %v", s.Get("a"))
		}
	})
}

func busy(w http.ResponseWriter, r *http.Request) {
	sessions.FromContext(r.Context()).Set("a", "tried")
	http.Error(w, "busy", http.StatusServiceUnavailable)
}

// The response never goes out, so that the browser would not learn the new ID,
// nor the user that the logout worked.
func TestMiddlewareRenewsAndDestroysNothingForARequestThatHasEnded(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *sessions.Session)
		saved  bool
	}{
		{"Renew", func(s *sessions.Session) { s.Set("a", "changed"); s.Renew() }, false},
		{"Destroy", func(s *sessions.Session) { s.Set("a", "changed"); s.Destroy() }, false},
		{"Clear", (*sessions.Session).Clear, false},
		{"another change", func(s *sessions.Session) { s.Set("a", "changed") }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				finished := make(chan error)
				o.around = func(next http.Handler) http.Handler {
					return http.TimeoutHandler(next, 100*time.Millisecond, "too slow")
				}
				st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
					s := sessions.FromContext(r.Context())
					if r.URL.Path != "/slow" {
						s.Set("a", "before")
						return
					}
					if s.Err() == nil {
						<-r.Context().Done()
						test.change(s)
					}
					fmt.Fprint(w, "welcome")
					finished <- s.Err()
				})
				var first *http.Response
				for first == nil || first.StatusCode != 200 { // until this machine is fast enough
					first, _ = st.get(t, "/")
				}
				for {
					st.log.Reset()
					res, body := st.get(t, "/slow")
					if res.StatusCode != 503 || body != "too slow" {
						t.Errorf("got status %d, body %q", res.StatusCode, body)
					}
					if err := <-finished; err != nil {
						continue // the time was over before the session was loaded
					}
					s := st.stored(t, first)
					if saved := s.Get("a") == "changed"; s.New() || saved != test.saved || st.files(t) != 1 {
						t.Errorf("a = %v, %d files; saved %v, want %v", s.Get("a"), st.files(t), saved, test.saved)
					}
					if log := st.log.String(); strings.Contains(log, "level=WARN") == test.saved {
						t.Errorf("logged %q", log)
					}
					return
				}
			})
		})
	}
}

func TestMiddlewareMakesNoSessionForARequestThatHasEnded(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		entered, over := make(chan bool), make(chan bool)
		o.around = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(over)
				next.ServeHTTP(w, r)
			})
		}
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			s := sessions.FromContext(r.Context())
			entered <- true
			<-r.Context().Done()
			s.Set("a", 1)
		})
		st.goAway(t, "/", entered)
		<-over
		if st.files(t) != 0 || !strings.Contains(st.log.String(), "level=WARN") {
			t.Errorf("got %d files, logged %q; want none and a line", st.files(t), st.log)
		}
	})
}

func TestMiddlewareAndAPanicUnderARecover(t *testing.T) {
	panics := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Set("a", "before the panic")
		panic("the handler's own")
	})
	flushes := func(next http.Handler) http.Handler { // as wrappers that compress do
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer io.WriteString(w, "the rest")
			next.ServeHTTP(w, r)
		})
	}
	for _, test := range []struct {
		name    string
		handler http.Handler
		around  func(http.Handler) http.Handler
		files   int
	}{
		{"around", panics, recovering, 0},
		// As the documentation of Wrap has it:
		{"inside", recovering(panics), nil, 1},
		{"around, and a deferred write inside", flushes(panics), recovering, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				o.around = test.around
				st := newSiteWith(t, o, test.handler.ServeHTTP)
				res, _ := st.get(t, "/")
				if got := len(res.Cookies()); st.files(t) != test.files || got != test.files {
					t.Errorf("got status %d, %d files and %d cookies, want %d", res.StatusCode, st.files(t), got, test.files)
				}
			})
		})
	}
}
