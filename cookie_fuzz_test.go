package sessions_test

import (
	"net/http"
	"net/http/httptest"
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
