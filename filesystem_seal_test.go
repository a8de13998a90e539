package sessions_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// What an old key has sealed is sealed under the first one by the next save or
// touch, whether there is anything else to write or not.
func TestSealedSessionsFollowTheFirstKey(t *testing.T) {
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
func TestLogoutEndsASessionThatDoesNotOpen(t *testing.T) {
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

func TestASaveOfASessionThatDoesNotOpenIsAnErrorAndChangesNothing(t *testing.T) {
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
func TestKeysThatAreMissingAreLoggedOnce(t *testing.T) {
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
			// What is really damaged is another matter.
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
