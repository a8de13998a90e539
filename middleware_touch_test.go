package sessions_test

import (
	"context"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// age makes a session's file look as if it had been used last so long ago.
func (st *site) age(t *testing.T, id string, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	if err := os.Chtimes(st.dir+"/session_"+id+".sess", at, at); err != nil {
		t.Error(err)
	}
}

func TestRenewOnAccessTouchesTheStoredSession(t *testing.T) {
	st := newSiteWith(t, siteOptions{
		store:   sessions.FilesystemOptions{IdleTimeout: time.Hour},
		cookies: sessions.CookieOptions{RenewOnAccess: time.Minute},
	}, steps)
	res, _ := st.get(t, "/set=a")
	id := sessionCookie(res).Value
	st.age(t, id, 30*time.Minute)
	st.get(t, "/get=a")
	fi, err := os.Stat(st.dir + "/session_" + id + ".sess")
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(fi.ModTime()); age > time.Minute {
		t.Errorf("the session's idle time is %v after it was read", age)
	}
}

// A page view neither waits nor fails because another request saves the session.
func TestRenewOnAccessIsLeftOutWhileTheSessionIsLocked(t *testing.T) {
	for name, hold := range map[string]func(t *testing.T, st *site, id string) (release func()){
		"in this process":    holdHere,
		"in another process": func(t *testing.T, st *site, id string) func() { return holdElsewhere(t, st.dir, id) },
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, o siteOptions) {
				o.store.IdleTimeout = time.Hour
				o.cookies = sessions.CookieOptions{Cookie: http.Cookie{MaxAge: 3600}, RenewOnAccess: time.Minute}
				st := newSiteWith(t, o, steps)
				res, _ := st.get(t, "/set=a")
				id := sessionCookie(res).Value
				st.age(t, id, 30*time.Minute)
				release := hold(t, st, id)
				res, body := st.get(t, "/get=a")
				if res.StatusCode != 200 || body != "value of a" || sessionCookie(res) != nil {
					t.Errorf("while it is locked: status %d, body %q, cookie %v", res.StatusCode, body, sessionCookie(res) != nil)
				}
				release()
				st.age(t, id, 30*time.Minute)
				if res, _ := st.get(t, "/get=a"); sessionCookie(res) == nil {
					t.Error("afterwards the session was not renewed")
				}
			})
		})
	}
}

// holdHere holds the session's lock in an Update until release is called.
func holdHere(t *testing.T, st *site, id string) (release func()) {
	t.Helper()
	s, err := st.store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	held, letGo, done := make(chan bool), make(chan bool), make(chan error)
	go func() {
		done <- st.store.Update(context.Background(), s, func(*sessions.Session) error {
			close(held)
			<-letGo
			return nil
		})
	}()
	<-held
	return func() {
		close(letGo)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
