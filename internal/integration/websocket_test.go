// Package integration has the tests whose libraries an importer of the module
// should not get: they are a module of their own.
package integration

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sessfs/sessions"
)

// A socket's session is saved, with its cookie, before the upgrade, and by
// sessions.Save after it.
func TestWebSocketEchoWithASession(t *testing.T) {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: t.TempDir() + "/sessions"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	carrier, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(carrier, sessions.MiddlewareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Set("echoed", 0)
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error("Accept:", err)
			return
		}
		defer conn.CloseNow()
		for n := 1; ; n++ {
			kind, message, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			s.Set("echoed", n)
			if err := sessions.Save(r.Context()); err != nil {
				t.Error("Save on an open socket:", err)
			}
			if err := conn.Write(r.Context(), kind, message); err != nil {
				t.Error("Write:", err)
			}
		}
	})))
	defer server.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, server.URL, &websocket.DialOptions{HTTPClient: server.Client()})
	if err != nil {
		t.Fatal("Dial:", err)
	}
	cookies := res.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("got %d cookies with the upgrade, want 1", len(cookies))
	}
	for _, message := range []string{"one", "two"} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != message {
			t.Fatalf("got echo %q (%v), want %q", got, err, message)
		}
	}
	conn.Close(websocket.StatusNormalClosure, "")
	if s, err := store.Get(ctx, cookies[0].Value); err != nil || s.Get("echoed") != int64(2) {
		t.Errorf("saved on the open socket: got %v (%v), want 2", s.Get("echoed"), err)
	}
}
