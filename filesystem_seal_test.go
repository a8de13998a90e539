package sessions_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// A session that an old key has sealed is sealed under the first one by the next
// save or touch, whether there is anything else to write or not.
func TestRotationOfKeysFollowsTheFirstKey(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, store *sessions.FilesystemSessionStore, s *sessions.Session){
		"a save": func(t *testing.T, store *sessions.FilesystemSessionStore, s *sessions.Session) {
			s.Set("b", 2)
			save(t, store, s)
		},
		"a save of nothing": func(t *testing.T, store *sessions.FilesystemSessionStore, s *sessions.Session) {
			s.MarkModified()
			save(t, store, s)
		},
		"a touch": func(t *testing.T, store *sessions.FilesystemSessionStore, s *sessions.Session) {
			if touched, err := store.Touch(background, s, 0); !touched || err != nil {
				t.Errorf("Touch = %v, %v", touched, err)
			}
		},
		"an update": func(t *testing.T, store *sessions.FilesystemSessionStore, s *sessions.Session) {
			if err := store.Update(background, s, func(*sessions.Session) error { return nil }); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := sessions.FilesystemOptions{Path: t.TempDir(), Sealer: ringSealer{"old"}, IdleTimeout: time.Hour}
			s := saved(t, newStore(t, o), "a", 1)
			file := filepath.Join(o.Path, "session_"+s.ID()+".sess")
			age(t, file, 30*time.Minute)
			o.Sealer = ringSealer{"new", "old"}
			both := newStore(t, o)
			s = get(t, both, s.ID())
			act(t, both, s)
			if info := onlyFile(t, o.Path); time.Since(info.ModTime()) > time.Minute {
				t.Errorf("its file has the time %v", info.ModTime())
			}
			o.Sealer = ringSealer{"new"}
			again := get(t, newStore(t, o), s.ID())
			if again.New() || again.Get("a") != int64(1) {
				t.Error("the old key cannot go")
			}
			if s = get(t, both, s.ID()); s.New() {
				t.Error("the session is gone")
			}
		})
	}
}

// While a new key is brought to the processes of an application, one has it and
// another does not.
func TestDestroyEndsASessionThatDoesNotOpen(t *testing.T) {
	for name, end := range map[string]func(store *sessions.FilesystemSessionStore, s *sessions.Session) error{
		"Destroy": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Destroy()
			return store.Save(background, s)
		},
		"Destroy, and a farewell": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Destroy()
			s.Set("bye", true)
			return store.Save(background, s)
		},
		"Destroy in an Update": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Destroy()
			return store.Update(background, s, func(*sessions.Session) error { return nil })
		},
		"Delete": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Delete(background, s)
		},
	} {
		for _, loaded := range []bool{true, false} { // before the other process has saved it
			t.Run(name+map[bool]string{true: ", loaded before", false: ", loaded in vain"}[loaded], func(t *testing.T) {
				o := sessions.FilesystemOptions{Path: t.TempDir(), Sealer: ringSealer{"old"}}
				behind := newStore(t, o)
				o.Sealer = ringSealer{"new", "old"}
				ahead := newStore(t, o)
				s := behind.New()
				s.SetOwner("ann")
				save(t, behind, s)
				id := s.ID()
				if loaded {
					s = get(t, behind, id)
				}
				saved := get(t, ahead, id)
				saved.Set("a", 1)
				save(t, ahead, saved)
				if !loaded {
					s = get(t, behind, id)
				}
				if err := end(behind, s); err != nil {
					t.Error(err)
				}
				gone(t, ahead, id)
				want := 0
				if strings.Contains(name, "farewell") {
					want = 1
				}
				if got := names(t, o.Path); len(got) != want {
					t.Errorf("%d files are left, want %d", len(got), want)
				}
				if want == 1 && get(t, behind, s.ID()).Get("bye") != true {
					t.Error("the farewell is lost")
				}
			})
		}
	}
}

func TestSaveOfASessionThatDoesNotOpenIsAnErrorAndChangesNothing(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir(), Sealer: ringSealer{"old"}}
	behind := newStore(t, o)
	s := saved(t, behind, "a", 1)
	o.Sealer = ringSealer{"new", "old"}
	ahead := newStore(t, o)
	saved := get(t, ahead, s.ID())
	saved.Set("a", 2)
	save(t, ahead, saved)
	s.Set("a", 3)
	if err := behind.Save(background, s); !errors.Is(err, sessions.ErrCorrupt) {
		t.Errorf("Save = %v, want ErrCorrupt", err)
	}
	if _, err := behind.Touch(background, s, 0); err != nil {
		t.Errorf("Touch = %v", err)
	}
	if got := get(t, ahead, s.ID()).Get("a"); got != int64(2) {
		t.Errorf("a = %v, want 2", got)
	}
}

// The middleware of a process that does not have the key yet.
func TestMiddlewareLogsOutASessionThatDoesNotOpen(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir(), Sealer: ringSealer{"old"}}
	site := newSite(t, o, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		if s := sessions.FromContext(r.Context()); r.URL.Path == "/logout" {
			s.Destroy()
		} else {
			s.Set("a", 1)
		}
	})
	res, _ := site.get(t, "/")
	id := sessionCookie(res).Value
	o.Sealer = ringSealer{"new", "old"}
	ahead := newStore(t, o)
	s := get(t, ahead, id)
	s.Set("a", 2)
	save(t, ahead, s)
	res, _ = site.get(t, "/logout")
	if c := sessionCookie(res); res.StatusCode != http.StatusOK || c == nil || c.MaxAge >= 0 {
		t.Errorf("status %d, cookie %v; want it expired", res.StatusCode, c)
	}
	gone(t, ahead, id)
}

// One line for a thousand files, with the likely cause.
func TestLoggerGetsOneLineForAMissingKey(t *testing.T) {
	for name, row := range map[string]struct {
		was, is sessions.Sealer
		want    string
	}{
		"a key was dropped":     {ringSealer{"old"}, ringSealer{"new"}, "key"},
		"Sealer switched on":    {nil, ringSealer{"new"}, "switched on"},
		"Sealer switched off":   {ringSealer{"old"}, nil, "switched off"},
		"a key is not here yet": {ringSealer{"new", "old"}, ringSealer{"old"}, "newest"},
	} {
		t.Run(name, func(t *testing.T) {
			var log safeBuffer
			o := sessions.FilesystemOptions{Path: t.TempDir(), Sealer: row.was}
			before := newStore(t, o)
			var ids []string
			for range 1000 {
				ids = append(ids, saved(t, before, "a", 1).ID())
			}
			o.Sealer, o.Logger = row.is, textLogger(&log)
			after := newStore(t, o)
			for _, id := range ids {
				gone(t, after, id)
			}
			if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), row.want) {
				t.Errorf("%d lines in the log, want one that says %q: %.500s", got, row.want, log.String())
			}
			// A file that is really damaged is another matter.
			s := saved(t, after, "a", 1)
			if err := os.Truncate(filepath.Join(o.Path, "session_"+s.ID()+".sess"), 100); err != nil {
				t.Fatal(err)
			}
			gone(t, after, s.ID())
			if !strings.Contains(log.String(), "a session file is damaged") {
				t.Errorf("a damaged file is not logged: %.500s", log.String())
			}
			if len(names(t, o.Path)) != 1001 {
				t.Error("files were removed")
			}
		})
	}
}

func newSealedStore(t testing.TB, dir string, keys ...string) *sessions.FilesystemSessionStore {
	t.Helper()
	return newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour, Sealer: ringSealer(keys)})
}

// The session was sealed under a newer key before the request came.
func TestRenewAndDestroyEndASessionThatGetCannotOpen(t *testing.T) {
	ends := map[string]func(store *sessions.FilesystemSessionStore, s *sessions.Session) error{
		"Destroy": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Destroy()
			return store.Save(background, s)
		},
		"Renew": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Set("user", "ann")
			s.Renew()
			return store.Save(background, s)
		},
		"Login": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Login("ann")
			return store.Save(background, s)
		},
		"Destroy by an Update": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Update(background, s, func(s *sessions.Session) error {
				s.Destroy()
				return nil
			})
		},
		"Login by an Update": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Update(background, s, func(s *sessions.Session) error {
				s.Login("ann")
				return nil
			})
		},
		"Delete": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Delete(background, s)
		},
		"Save, then Destroy": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Set("a", 1)
			if err := store.Save(background, s); err != nil {
				return err
			}
			s.Destroy()
			return store.Save(background, s)
		},
	}
	for name, end := range ends {
		for other, o := range map[string]sessions.FilesystemOptions{
			"without the key":   {Sealer: ringSealer{"old"}},
			"without a sealer":  {},
			"with hashed names": {Sealer: ringSealer{"old"}, HashNames: true},
		} {
			t.Run(name+", "+other, func(t *testing.T) {
				o.Path = t.TempDir()
				behind := newStore(t, o)
				o.Sealer = ringSealer{"new", "old"}
				ahead := newStore(t, o)
				theirs := saved(t, ahead, "user", "ann")
				s := get(t, behind, theirs.ID())
				if !s.New() {
					t.Fatal("opened")
				}
				if get(t, ahead, theirs.ID()).New() {
					t.Fatal("a Get ended it")
				}
				if err := end(behind, s); err != nil {
					t.Fatal(err)
				}
				gone(t, ahead, theirs.ID())
				if s.ID() == theirs.ID() {
					t.Error("the ID was adopted")
				}
			})
		}
	}
}

func TestSaveOfANewSessionLeavesTheOneThatGetCannotOpen(t *testing.T) {
	dir := t.TempDir()
	behind, ahead := newSealedStore(t, dir, "old"), newSealedStore(t, dir, "new", "old")
	theirs := saved(t, ahead, "user", "ann")
	s := get(t, behind, theirs.ID())
	s.Set("visits", 1)
	save(t, behind, s)
	if s.ID() == theirs.ID() || get(t, ahead, theirs.ID()).New() {
		t.Error("the session of the other process is gone")
	}
}

// The cookie of a sibling domain comes first.
func TestCookiesLogOutASessionThatDoesNotOpenBehindAnUnknownOne(t *testing.T) {
	dir := t.TempDir()
	behind, ahead := newSealedStore(t, dir, "old"), newSealedStore(t, dir, "new", "old")
	cookies, err := sessions.NewCookies(behind, sessions.CookieOptions{})
	if err != nil {
		t.Fatal(err)
	}
	theirs := saved(t, ahead, "user", "ann")
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	for _, id := range []string{behind.GenerateKey(), theirs.ID()} {
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: id})
	}
	s, err := cookies.Load(r)
	if err != nil || !s.New() {
		t.Fatal(s, err)
	}
	if err := cookies.Commit(w, r, s); err != nil || len(w.Result().Cookies()) != 0 || get(t, ahead, theirs.ID()).New() {
		t.Errorf("a page view: %v, %d cookies, or the session is gone", err, len(w.Result().Cookies()))
	}
	s.Destroy()
	w = httptest.NewRecorder()
	if err := cookies.Commit(w, r, s); err != nil || len(w.Result().Cookies()) != 1 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("a logout: %v, %d cookies", err, len(w.Result().Cookies()))
	}
	gone(t, ahead, theirs.ID())
}

func TestKeepMissingIDKeepsALogoutOutOfTheNextVisitorsSealedSession(t *testing.T) {
	// The acts before the next visitor came with the ID.
	for name, before := range map[string]func(behind, ahead *sessions.FilesystemSessionStore) (s *sessions.Session, id string){
		"the other process has ended the session": func(behind, ahead *sessions.FilesystemSessionStore) (*sessions.Session, string) {
			s := saved(t, behind, "user", "ann")
			ended := get(t, ahead, s.ID())
			ended.Destroy()
			save(t, ahead, ended)
			return s, s.ID()
		},
		"the first of two logouts": func(behind, ahead *sessions.FilesystemSessionStore) (*sessions.Session, string) {
			id := saved(t, ahead, "user", "ann").ID()
			s := get(t, behind, id)
			s.Destroy()
			save(t, behind, s)
			return s, id
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := sessions.FilesystemOptions{Path: t.TempDir(), KeepMissingID: true, Sealer: ringSealer{"old"}}
			behind := newStore(t, o)
			o.Sealer = ringSealer{"new", "old"}
			ahead := newStore(t, o)
			s, id := before(behind, ahead)
			next := get(t, ahead, id)
			next.Set("user", "bob")
			save(t, ahead, next)
			s.Destroy()
			if err := behind.Save(background, s); err != nil {
				t.Error(err)
			}
			if got := get(t, ahead, id).Get("user"); got != "bob" {
				t.Error("a logout ended the next visitor's session")
			}
		})
	}
}

// A page view must not fail because another process has saved the session.
func TestTouchOfASessionThatANewerKeySealedSetsTheTime(t *testing.T) {
	for _, idle := range []time.Duration{time.Hour, 3 * time.Hour} { // that of the header, and a longer one
		dir := t.TempDir()
		behind := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: idle, Sealer: ringSealer{"old"}})
		ahead := newSealedStore(t, dir, "new", "old")
		id := saved(t, newSealedStore(t, dir, "old"), "user", "ann").ID()
		s := get(t, behind, id)
		other := get(t, ahead, id)
		other.Set("n", 1)
		save(t, ahead, other)
		file := fileOf(t, dir, other)
		before := content(t, file)
		age(t, file, 30*time.Minute)
		if touched, err := behind.Touch(background, s, time.Minute); !touched || err != nil {
			t.Errorf("IdleTimeout %v: Touch = %v, %v", idle, touched, err)
		}
		if content(t, file) != before || get(t, ahead, id).Get("n") != int64(1) {
			t.Errorf("IdleTimeout %v: a touch changed what is stored", idle)
		}
		if ago := time.Since(modTime(t, dir, other)); ago.Abs() > 10*time.Minute {
			t.Errorf("IdleTimeout %v: last used %v ago", idle, ago)
		}
	}
}

// A key goes when all sessions under it have expired: that is no loss to report.
func TestLoggerGetsNothingOfExpiredSessionsThatDoNotOpen(t *testing.T) {
	for name, own := range map[string]time.Duration{"the store's timeout": 0, "its own": 30 * time.Minute} {
		var log safeBuffer
		dir := t.TempDir()
		before := newSealedStore(t, dir, "old")
		s := before.New()
		s.Set("a", 1)
		s.SetIdleTimeout(own)
		save(t, before, s)
		for what, o := range map[string]sessions.FilesystemOptions{
			"without the key":               {IdleTimeout: time.Hour, Sealer: ringSealer{"new"}},
			"without a Sealer":              {IdleTimeout: time.Hour},
			"without the key and a timeout": {Sealer: ringSealer{"new"}},
		} {
			o.Path, o.Logger = dir, textLogger(&log)
			after := newStore(t, o)
			expires := o.IdleTimeout > 0 || own > 0
			age(t, fileOf(t, dir, s), 2*time.Hour)
			if gone(t, after, s.ID()); (log.String() != "") == expires {
				t.Errorf("%s, %s, expired: %v, logged %q", name, what, expires, log.String())
			}
			log.Reset()
			age(t, fileOf(t, dir, s), time.Minute)
			if gone(t, after, s.ID()); expires && log.String() == "" {
				t.Errorf("%s, %s: a live session was lost without a word", name, what)
			}
			log.Reset()
		}
	}
}
