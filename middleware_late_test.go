package sessions_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

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
			switch r.URL.Path {
			case "/and-more":
				s.Set("b", 1)
			case "/and-less":
				s.Delete("a")
			case "/and-longer":
				s.SetIdleTimeout(time.Hour)
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
		for _, path := range []string{"/and-more", "/and-less", "/and-longer"} {
			st.get(t, "/add")
			st.log.Reset()
			st.get(t, path)
			if got := st.log.String(); !strings.Contains(got, "the change is lost") {
				t.Errorf("%s: logged %q, want the lost change", path, got)
			}
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

func TestLoggerGetsTheRouteAndNeverAnID(t *testing.T) {
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

func TestFromContextAfterTheFirstByteIsReported(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		st := newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/late" {
				fmt.Fprint(w, "begun")
			}
			sessions.FromContext(r.Context()).Get("a")
		})
		st.get(t, "/")
		if got := st.log.String(); got != "" {
			t.Errorf("in time: logged %q", got)
		}
		st.get(t, "/late")
		if got := st.log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "first asked for after the response had begun") || !strings.Contains(got, "method=GET") {
			t.Errorf("late: logged %q", got)
		}
		st.log.Reset()
		st.store.Close()
		st.get(t, "/late", "Cookie", "__Host-session="+st.store.GenerateKey())
		if got := st.log.String(); !strings.Contains(got, "first asked for after the response had begun") || !strings.Contains(got, "error=") {
			t.Errorf("late, and not loaded: logged %q, want why", got)
		}
	})
}

func TestFromContextOnAHijackedConnectionIsNotReported(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		sessions.FromContext(r.Context()).Get("a")
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nmine")
	})
	if _, body := st.get(t, "/"); body != "mine" || st.log.String() != "" {
		t.Errorf("got %q, logged %q", body, st.log)
	}
}

// A stream that runs for long learns from its next save that the session has
// expired meanwhile.
func TestMiddlewareDropsTheChangesOfASessionThatExpiresDuringARequest(t *testing.T) {
	overBoth(t, func(t *testing.T, o siteOptions) {
		o.store.IdleTimeout = time.Hour
		o.cookies.RenewOnAccess = time.Minute
		var st *site
		st = newSiteWith(t, o, func(w http.ResponseWriter, r *http.Request) {
			s := sessions.FromContext(r.Context())
			expire := func() { st.age(t, s.ID(), 2*time.Hour) }
			switch r.URL.Path {
			case "/first":
				s.Set("a", 1)
			case "/read":
				expire()
			case "/change":
				expire()
				s.Set("a", 2)
			case "/stream":
				fmt.Fprint(w, "begun ")
				expire()
				s.Set("a", 2)
				if err := sessions.Save(r.Context()); !errors.Is(err, sessions.ErrDeleted) {
					t.Errorf("Save in a stream: got %v, want ErrDeleted", err)
				}
				s.Discard()
			}
			fmt.Fprint(w, "done")
		})
		for _, path := range []string{"/read", "/change", "/stream"} {
			first, _ := st.get(t, "/first")
			st.log.Reset()
			res, body := st.get(t, path)
			if res.StatusCode != 200 || !strings.HasSuffix(body, "done") || len(res.Cookies()) != 0 || strings.Contains(st.log.String(), "level=ERROR") {
				t.Errorf("%s: status %d, body %q, %d cookies, logged %q", path, res.StatusCode, body, len(res.Cookies()), st.log)
			}
			if s := st.stored(t, first); !s.New() {
				t.Errorf("%s: the session was revived", path)
			}
		}
	})
}
