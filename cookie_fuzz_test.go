package sessions_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
)

// Whatever a client sends for cookies, the answer is 200; a handler that only
// reads sets none and makes no file; and no ID is adopted.
func FuzzCookieHeader(f *testing.F) {
	hexes := strings.Repeat("0123456789abcdef", 4)
	for _, header := range []string{
		"", ";", "=", "session", "session=", "session=" + hexes, "__Host-session=" + hexes, `__Host-session="` + hexes + `"`,
		"__Host-session=" + hexes + "; __Host-session=" + hexes, "=__Host-session=" + hexes, "__host-session=" + hexes,
		"__Host-session=../../etc/passwd", "__Host-session=\x00", "__Host-session=" + hexes + "\n", "a=b;;__Host-session = " + hexes,
		"$Version=1; __Host-session=" + hexes, strings.Repeat("a=b; ", 50), "__Host-session=" + strings.Repeat("a", 300),
	} {
		f.Add(header)
	}
	dir := f.TempDir()
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { store.Close() })
	mw := newMiddleware(f, store, sessions.CookieOptions{}, sessions.MiddlewareOptions{})
	var handle func(*sessions.Session)
	handler := mw.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		handle(sessions.FromContext(r.Context()))
	}))
	f.Fuzz(func(t *testing.T, header string) {
		serve := func(with func(*sessions.Session)) *http.Response {
			handle = with
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Cookie"] = []string{header}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w.Result()
		}
		res := serve(func(s *sessions.Session) {
			if !s.New() || s.Err() != nil || s.Get("a") != nil || strings.Contains(header, s.ID()) {
				t.Errorf("the handler got %v, %v", s, s.Err())
			}
		})
		if n := len(names(t, dir)); res.StatusCode != 200 || len(res.Header["Set-Cookie"]) > 0 || n > 0 {
			t.Errorf("reading: status %d, %d cookies, %d files", res.StatusCode, len(res.Header["Set-Cookie"]), n)
		}
		var made *sessions.Session
		res = serve(func(s *sessions.Session) { made = s; s.Set("a", 1) })
		cookies := res.Cookies()
		if res.StatusCode != 200 || len(cookies) != 1 || cookies[0].Value != made.ID() || strings.Contains(header, made.ID()) {
			t.Errorf("writing: status %d, %d cookies; want one with an ID of the store's own", res.StatusCode, len(cookies))
		}
		if err := store.Delete(background, made); err != nil || len(names(t, dir)) != 0 {
			t.Errorf("Delete = %v, and %d files are left of one session", err, len(names(t, dir)))
		}
	})
}

// recordingStore has no session, takes any text for an ID and notes those that are asked for.
type recordingStore struct {
	sessions.SessionStore
	asked *[]string
}

func (recordingStore) IsValidKey(id string) bool {
	return id != "" && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789,= ") == ""
}

func (s recordingStore) Get(_ context.Context, id string) (*sessions.Session, error) {
	*s.asked = append(*s.asked, id)
	return s.New(), nil
}

// Load finds the cookies that net/http finds, the first two that may be an ID.
func FuzzCookiesAreThoseOfNetHTTP(f *testing.F) {
	for _, header := range []string{
		"s=a", `s="a"`, `s="a`, `s=a"`, `s=" a"`, "s= a", "s=a ", "s =a", "\ts\t=\ta\t;", `s=""`, `s="`, "s", "s=", "=s=a", "s=a=b", "s==", "S=a",
		"x=1;s=b;s=c,d;s=e", "s=a; s=a; s=b", `s="a;b"`, "s=\x80; s=b", `s=a\b; s=c`, "ss=a;s=b", "s s=a; s=b", ";;s=a", "s=a\x00; s=b", "$s=a; s=b",
	} {
		f.Add(header, "s=second")
		f.Add("s=first", header)
	}
	var asked []string
	cookies, err := sessions.NewCookies(recordingStore{newStore(f, sessions.FilesystemOptions{Path: f.TempDir()}), &asked}, sessions.CookieOptions{Cookie: http.Cookie{Name: "s"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		if strings.ContainsAny(first+second, "\r\n") {
			t.Skip("no server passes on a line break")
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{first, second}
		var want []string
		for _, cookie := range r.CookiesNamed("s") {
			id := cookie.Value
			if len(want) < 2 && (recordingStore{}).IsValidKey(id) && !slices.Contains(want, id) {
				want = append(want, id)
			}
		}
		asked = nil
		if _, err := cookies.Load(r); err != nil || !slices.Equal(asked, want) {
			t.Errorf("%q and %q: asked for %q, %v, want %q", first, second, asked, err, want)
		}
	})
}
