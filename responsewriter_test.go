package sessions_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// Whatever a handler does to its response, the session is saved, and the
// cookie set, before the first byte.
func TestResponseWriterSavesBeforeEveryWayToBegin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("content ", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		status int
		body   string
		handle func(w http.ResponseWriter, r *http.Request)
	}{
		{"writes nothing", 200, "", func(w http.ResponseWriter, r *http.Request) {}},
		{"Write", 200, "hello", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello")) }},
		{"io.WriteString", 200, "hello", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }},
		{"WriteHeader", 418, "", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(418) }},
		{"WriteHeader twice", 201, "", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); w.WriteHeader(500) }},
		{"http.Error", 403, "no\n", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) }},
		{"http.Redirect", 200, "landed", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/landing" {
				fmt.Fprint(w, "landed")
				return
			}
			http.Redirect(w, r, "/landing", http.StatusSeeOther)
		}},
		{"ResponseController.Flush", 200, "late", func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error("Flush:", err)
			}
			io.WriteString(w, "late")
		}},
		{"http.Flusher", 200, "late", func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, "late")
		}},
		{"io.Copy", 200, "copied", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader("copied")) }},
		{"http.ServeFile", 200, strings.Repeat("content ", 10_000), func(w http.ResponseWriter, r *http.Request) {
			if _, ok := w.(io.ReaderFrom); !ok {
				t.Error("the writer is no io.ReaderFrom: sendfile is lost")
			}
			http.ServeFile(w, r, file)
		}},
		{"deadlines and full duplex", 200, "ok", func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			if err := rc.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error("SetWriteDeadline:", err)
			}
			if err := rc.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error("SetReadDeadline:", err)
			}
			if err := rc.EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
				t.Error("EnableFullDuplex:", err)
			}
			io.WriteString(w, "ok")
		}},
	} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(test.name+" "+protocol, func(t *testing.T) {
				st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/get" {
						fmt.Fprint(w, sessions.FromContext(r.Context()).Get("a"))
						return
					}
					sessions.FromContext(r.Context()).Set("a", "kept")
					test.handle(w, r)
				})
				useProtocol(t, st, protocol)
				res, body := st.get(t, "/")
				if res.Proto != protocol || res.StatusCode != test.status || body != test.body {
					t.Errorf("got %s %d %.20q, want %s %d %.20q", res.Proto, res.StatusCode, body, protocol, test.status, test.body)
				}
				if _, body := st.get(t, "/get"); body != "kept" {
					t.Errorf("the next request finds %q", body)
				}
			})
		}
	}
}

// useProtocol starts the site anew for a version of HTTP.
func useProtocol(t *testing.T, st *site, protocol string) {
	t.Helper()
	if protocol == "HTTP/1.1" {
		return // the protocol of httptest by default
	}
	old := st.Server
	st.Server = httptest.NewUnstartedServer(old.Config.Handler)
	st.EnableHTTP2 = true
	st.StartTLS()
	old.Close()
	t.Cleanup(st.Server.Close)
	st.newBrowser(t)
}

func TestResponseWriterAnswersHEADWithTheHeadersOfGET(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Set("a", 1)
		fmt.Fprint(w, "body")
	})
	res, err := st.Client().Head(st.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if sessionCookie(res) == nil || res.ContentLength != 4 || res.Header.Get("Vary") != "Cookie" {
		t.Errorf("HEAD: cookie %v, length %d, Vary %q", sessionCookie(res) != nil, res.ContentLength, res.Header.Get("Vary"))
	}
}

func TestResponseWriterSavesNothingAtAnInformationalResponse(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		sessions.FromContext(r.Context()).Set("a", 1)
		w.WriteHeader(http.StatusAccepted)
	})
	var hints textproto.MIMEHeader
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = h
		return nil
	}}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", st.URL, nil)
	res, err := st.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if hints.Get("Link") == "" || hints.Get("Set-Cookie") != "" {
		t.Errorf("103: got header %v, want the link and no cookie", hints)
	}
	if res.StatusCode != http.StatusAccepted || sessionCookie(res) == nil {
		t.Errorf("then: status %d, cookie %v; want 202 and one", res.StatusCode, sessionCookie(res) != nil)
	}
}

func TestSaveOfServerSentEvents(t *testing.T) {
	more := make(chan bool)
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Set("events", 0)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			s.Set("events", i+1)
			if err := sessions.Save(r.Context()); err != nil {
				t.Error("Save in a stream:", err)
			}
			<-more
		}
	})
	res, err := st.Client().Get(st.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	id := sessionCookie(res).Value
	lines := bufio.NewScanner(res.Body)
	for i := range 3 { // each arrives before the next is allowed to leave
		lines.Scan()
		if got, want := lines.Text(), fmt.Sprintf("data: %d", i); got != want {
			t.Fatalf("got event %q, want %q", got, want)
		}
		lines.Scan()
		more <- true
	}
	if lines.Scan() {
		t.Errorf("got %q after the last event", lines.Text())
	}
	if s, err := st.store.Get(t.Context(), id); err != nil || s.Get("events") != int64(3) {
		t.Errorf("saved while streaming: got %v (%v), want 3", s.Get("events"), err)
	}
	if strings.Contains(st.log.String(), "level=ERROR") {
		t.Errorf("logged: %s", st.log)
	}
}

func TestHijackSavesFirst(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Set("a", 1)
		if _, ok := w.(http.Hijacker); !ok {
			t.Error("the writer over HTTP/1 is no http.Hijacker")
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Cookie: "+w.Header().Get("Set-Cookie")+"\r\n\r\nmine")
	})
	res, body := st.get(t, "/")
	if body != "mine" || !strings.Contains(res.Header.Get("X-Cookie"), "session=") || st.files(t) != 1 {
		t.Errorf("got %q, cookie %v, %d files", body, res.Header.Get("X-Cookie") != "", st.files(t))
	}
}

func TestHijackIsNotClaimedOverHTTP2(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		_, ok := w.(http.Hijacker)
		fmt.Fprint(w, ok)
	})
	useProtocol(t, st, "HTTP/2.0")
	if _, body := st.get(t, "/"); body != "false" {
		t.Errorf("http.Hijacker over HTTP/2: got %s", body)
	}
}

func TestMiddlewarePassesAPanicOnAndSavesNothing(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Set("a", 1)
		panic("the handler's own")
	})
	if _, err := st.Client().Get(st.URL); err == nil {
		t.Error("got a response, want a broken connection")
	}
	if n := st.files(t); n != 0 {
		t.Errorf("got %d files, want none", n)
	}
	if !strings.Contains(st.log.String(), "the handler's own") {
		t.Error("net/http did not see the panic")
	}
}

func TestMiddlewareReportsAChangeAfterTheFirstByte(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Set("a", "in time")
		fmt.Fprint(w, "x")
		if r.URL.Path == "/late" {
			s.Set("a", "too late")
		}
	})
	st.get(t, "/")
	if strings.Contains(st.log.String(), "lost") {
		t.Errorf("logged without a reason: %s", st.log)
	}
	st.get(t, "/late")
	if got := st.log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "the change is lost") {
		t.Errorf("logged: %q, want an error about the lost change", got)
	}
}

func TestSaveOfASessionThatTheBrowserCannotLearnOf(t *testing.T) {
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		fmt.Fprint(w, "x")
		s.Set("a", 1)
		if err := sessions.Save(r.Context()); err == nil {
			t.Error("a new session was saved after the response had begun")
		}
	})
	st.get(t, "/")
	if n := st.files(t); n != 0 {
		t.Errorf("got %d files, want none", n)
	}
}
