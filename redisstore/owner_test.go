package redisstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
	"github.com/sessfs/sessions/securecookie"
)

func listed(t *testing.T, store *redisstore.Store, owner string) map[string]sessions.SessionInfo {
	t.Helper()
	infos := make(map[string]sessions.SessionInfo)
	for info, err := range store.ListOwner(t.Context(), owner) {
		if err != nil {
			t.Fatal(err)
		}
		infos[info.PublicID] = info
	}
	return infos
}

// loggedIn returns a session of an owner. Just after the end of the owner's sessions by another
// process, a login may be refused.
func loggedIn(t *testing.T, store *redisstore.Store, owner string) *sessions.Session {
	t.Helper()
	for {
		s := store.New()
		s.Login(owner)
		if err := store.Save(t.Context(), s); err == nil {
			return s
		} else if !errors.Is(err, sessions.ErrDeleted) {
			t.Fatal(err)
		}
	}
}

func TestLoginsAtTheSameTimeAreAllListed(t *testing.T) {
	const logins = 64
	store := newStore(t, redistest.Start(t).Client(t), redisstore.Options{})
	var running sync.WaitGroup
	for range logins {
		running.Go(func() {
			s := store.New()
			s.Login("ann")
			if err := store.Save(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if n := len(listed(t, store, "ann")); n != logins {
		t.Errorf("%d of %d are listed", n, logins)
	}
	if n, err := store.DeleteOwner(t.Context(), "ann"); n != logins || err != nil {
		t.Errorf("DeleteOwner = %d, %v", n, err)
	}
}

// begins are the ways in which a session comes under a key, or to an owner.
var begins = map[string]func(t *testing.T, store *redisstore.Store) *sessions.Session{
	"a login": func(t *testing.T, store *redisstore.Store) *sessions.Session {
		s := store.New()
		s.Login("ann")
		return s
	},
	"a login of a visitor": func(t *testing.T, store *redisstore.Store) *sessions.Session {
		s := saved(t, store, "a", 1)
		s.Login("ann")
		return s
	},
	"a login of another owner": func(t *testing.T, store *redisstore.Store) *sessions.Session {
		s := loggedIn(t, store, "bob")
		s.Login("ann")
		return s
	},
	"a login of the same owner": func(t *testing.T, store *redisstore.Store) *sessions.Session {
		s := loggedIn(t, store, "ann")
		s.Login("ann")
		return s
	},
	"a renewal": func(t *testing.T, store *redisstore.Store) *sessions.Session {
		s := loggedIn(t, store, "ann")
		s.Renew()
		return s
	},
	"an owner": func(t *testing.T, store *redisstore.Store) *sessions.Session {
		s := saved(t, store)
		s.SetOwner("ann")
		return s
	},
	"a lifetime": func(t *testing.T, store *redisstore.Store) *sessions.Session {
		s := loggedIn(t, store, "ann")
		s.SetLifetime(time.Hour)
		return s
	},
	"a save": func(t *testing.T, store *redisstore.Store) *sessions.Session {
		s := loggedIn(t, store, "ann")
		s.Set("a", 2)
		return s
	},
}

// The end of an owner's sessions, at each step of a login and the like.
func TestDeleteOwnerIsNotOutrun(t *testing.T) {
	for name, begin := range begins {
		for _, sealed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sealed=%v", name, sealed), func(t *testing.T) {
				t.Parallel()
				o := redisstore.Options{Prefix: "test:"}
				if sealed {
					o.Sealer = keyRing(t)
				}
				store, proxy, server := proxied(t, o)
				beside := newStore(t, server.Client(t), o)
				for at := 0; ; at++ {
					time.Sleep(50 * time.Millisecond) // after the end before
					s := begin(t, store)
					n := 0
					proxy.Reply(func([]string) string {
						if n++; n == at+1 {
							if _, err := beside.DeleteOwner(t.Context(), "ann"); err != nil {
								t.Error(err)
							}
						}
						return ""
					})
					err := store.Save(t.Context(), s)
					proxy.Reply(nil)
					if err != nil && !errors.Is(err, sessions.ErrDeleted) {
						t.Fatal(err)
					}
					if at >= n && err != nil {
						at-- // see loggedIn
						continue
					}
					if infos := listed(t, beside, "ann"); at < n && len(infos) != 0 || at < n && annsSessions(t, beside, server) != 0 {
						t.Errorf("ended before command %d of %d, and the save is %v: a session is left", at+1, n, err)
					}
					if at < n && err == nil && !get(t, beside, s.ID()).New() {
						t.Errorf("ended before command %d of %d: the session lives", at+1, n)
					}
					if at >= n {
						if n := len(listed(t, beside, "ann")); n != 1 {
							t.Errorf("without an end %d are listed", n)
						}
						return
					}
				}
			})
		}
	}
}

// annsSessions counts ann's sessions by looking at all keys; bob's are ended.
func annsSessions(t *testing.T, store *redisstore.Store, server *redistest.Server) (n int) {
	t.Helper()
	if _, err := store.DeleteOwner(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	client := server.Client(t)
	for key, err := range store.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if all := client.HGetAll(t.Context(), key).Val(); all["o"] != "" || all["h"] != "" {
			n++
		}
	}
	return n
}

// A renewal, or a login, between two steps of the end.
func TestRenewalDuringDeleteOwnerIsEnded(t *testing.T) {
	for name, begin := range begins {
		if name == "a login" || name == "a login of a visitor" || name == "a login of another owner" || name == "an owner" {
			continue // which begin after the end
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, proxy, server := proxied(t, redisstore.Options{Prefix: "test:"})
			beside := newStore(t, server.Client(t), redisstore.Options{Prefix: "test:"})
			for at := 1; ; at++ {
				s := begin(t, beside)
				n := 0
				proxy.Reply(func([]string) string {
					if n++; n == at+1 {
						if err := beside.Save(t.Context(), s); err != nil && !errors.Is(err, sessions.ErrDeleted) {
							t.Error(err)
						}
					}
					return ""
				})
				_, err := store.DeleteOwner(t.Context(), "ann")
				proxy.Reply(nil)
				if err != nil {
					t.Fatal(err)
				}
				if at >= n {
					return
				}
				if left := annsSessions(t, beside, server); left != 0 {
					t.Fatalf("before command %d of %d: %d sessions are left", at+1, n, left)
				}
				for range beside.ListOwner(t.Context(), "ann") {
					t.Error("a session is listed")
				}
			}
		})
	}
}

// A process that dies at any step of a login and the like: the index lacks no session.
func TestIndexLacksNoSession(t *testing.T) {
	for name, begin := range begins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, proxy, server := proxied(t, redisstore.Options{Prefix: "test:"})
			beside := newStore(t, server.Client(t), redisstore.Options{Prefix: "test:"})
			for at := 0; ; at++ {
				time.Sleep(50 * time.Millisecond) // after the end before
				s := begin(t, store)
				ctx, cancel := context.WithCancel(t.Context())
				n := 0
				proxy.Lose(func([]string) bool { // the command is carried out
					if n++; n == at+1 {
						cancel()
					}
					return n > at
				})
				err := store.Save(ctx, s)
				cancel()
				proxy.Lose(nil)
				if got, want := len(listed(t, beside, "ann")), annsSessions(t, beside, server); got != want {
					t.Errorf("after command %d, with %v: %d of %d sessions are listed", at+1, err, got, want)
				}
				if n <= at {
					return
				}
				if _, err := beside.DeleteOwner(t.Context(), "ann"); err != nil {
					t.Fatal(err)
				}
				if n := annsSessions(t, beside, server); n != 0 {
					t.Errorf("after command %d: %d sessions are left", at+1, n)
				}
			}
		})
	}
}

// The end of all sessions, at each step of a renewal.
func TestDeleteAllIsNotOutrun(t *testing.T) {
	for name, begin := range begins {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, proxy, server := proxied(t, redisstore.Options{Prefix: "test:"})
			beside := newStore(t, server.Client(t), redisstore.Options{Prefix: "test:"})
			for at := 0; ; at++ {
				s := begin(t, store)
				before := s.PublicID()
				n := 0
				proxy.Reply(func([]string) string {
					if n++; n == at+1 {
						if _, err := beside.DeleteAll(t.Context()); err != nil {
							t.Error(err)
						}
					}
					return ""
				})
				err := store.Save(t.Context(), s)
				proxy.Reply(nil)
				if err != nil && !errors.Is(err, sessions.ErrDeleted) {
					t.Fatal(err)
				}
				// What is left began after the end: with a login, which has none of the values.
				if s := get(t, beside, s.ID()); at < n && !s.New() && (s.Len() > 0 || s.Owner() != "ann" || s.PublicID() == before && name != "a login") {
					t.Errorf("ended before command %d of %d, and the save is %v: the session lives", at+1, n, err)
				}
				if at >= n {
					return
				}
			}
		})
	}
}

func TestRenewalDuringAWalkIsEnded(t *testing.T) {
	store, proxy, server := proxied(t, redisstore.Options{Prefix: "test:"})
	beside := newStore(t, server.Client(t), redisstore.Options{Prefix: "test:"})
	s := saved(t, beside, "a", 1)
	var renewed error
	proxy.Reply(func(command []string) string {
		if command[0] == "scan" {
			s.Renew()
			renewed = beside.Save(t.Context(), s)
		}
		return ""
	})
	if _, err := store.DeleteAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(renewed, sessions.ErrDeleted) {
		t.Errorf("the renewal is %v, want ErrDeleted", renewed)
	}
	if got := get(t, beside, s.ID()); !got.New() {
		t.Error("it lives")
	}
}

// No session outlives its entry, also in a store whose Lifetime is longer than before.
func TestSessionEndsBeforeItsEntry(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	short := newStore(t, client, redisstore.Options{Prefix: "test:", Lifetime: time.Hour})
	long := newStore(t, client, redisstore.Options{Prefix: "test:", IdleTimeout: sessions.Never, Lifetime: sessions.Never})
	s := loggedIn(t, short, "ann")
	s = get(t, long, s.ID())
	for name, act := range map[string]func() error{
		"a save":     func() error { s.Set("a", 1); return long.Save(t.Context(), s) },
		"a touch":    func() error { _, err := long.Touch(t.Context(), s, 0); return err },
		"a renewal":  func() error { s.Renew(); return long.Save(t.Context(), s) },
		"a lifetime": func() error { s.SetLifetime(90 * time.Minute); return long.Save(t.Context(), s) },
	} {
		if err := act(); err != nil {
			t.Fatal(err)
		}
		key, _ := long.KeyOf(s)
		ttl := client.PTTL(t.Context(), key).Val()
		for _, index := range server.Keys(t) {
			if left := client.PTTL(t.Context(), index).Val(); strings.Contains(index, "owner:") && left > 0 && (ttl < 0 || ttl > left) {
				t.Errorf("%s: the session has %v, its entry %v", name, ttl, left)
			}
		}
		if n := len(listed(t, long, "ann")); n != 1 {
			t.Errorf("%s: %d are listed", name, n)
		}
	}
}

func TestOwnerThatChanges(t *testing.T) {
	store := newStore(t, redistest.Start(t).Client(t), redisstore.Options{})
	s := saved(t, store, "a", 1)
	for _, owner := range []string{"ann", "bob", "ann", "", "bob"} {
		s.SetOwner(owner)
		save(t, store, s)
		for _, other := range []string{"ann", "bob", ""} {
			want := 0
			if other == owner && owner != "" {
				want = 1
			}
			if n := len(listed(t, store, other)); n != want {
				t.Errorf("the owner is %q: %d sessions of %q are listed", owner, n, other)
			}
		}
	}
	if n, err := store.DeleteOwner(t.Context(), "ann"); n != 0 || err != nil {
		t.Errorf("DeleteOwner of another one = %d, %v", n, err)
	}
	s.Destroy()
	save(t, store, s)
	if n := len(listed(t, store, "bob")); n != 0 {
		t.Errorf("%d sessions are listed after the logout", n)
	}
}

// The names of owners are hashes; with a Sealer under a secret, which follows the first key.
func TestSealedOwners(t *testing.T) {
	server := redistest.Start(t)
	first, second := securecookie.GenerateKey(), securecookie.GenerateKey()
	stores := make(map[string]*redisstore.Store)
	for name, keys := range map[string][]securecookie.Key{"old": {first}, "both": {second, first}, "new": {second}} {
		stores[name] = newStore(t, server.Client(t), redisstore.Options{Prefix: "test:", Sealer: keyRing(t, keys...), Logger: discard})
	}
	s := loggedIn(t, stores["old"], "ann")
	for range stores["new"].ListOwner(t.Context(), "ann") {
	}
	failed := false
	for _, err := range stores["new"].ListOwner(t.Context(), "ann") {
		failed = err != nil
	}
	if !failed {
		t.Error("a store that cannot open the secret lists no session, without an error")
	}
	if n := len(listed(t, stores["both"], "ann")); n != 1 {
		t.Errorf("%d are listed", n)
	}
	if _, err := stores["both"].Touch(t.Context(), get(t, stores["both"], s.ID()), 0); err != nil {
		t.Fatal(err)
	}
	if n := len(listed(t, stores["new"], "ann")); n != 1 {
		t.Errorf("with the new key %d are listed", n)
	}
	sum := sha256.Sum256([]byte("ann"))
	plain := base64.RawURLEncoding.EncodeToString(sum[:16])
	for _, key := range server.Keys(t) {
		if strings.Contains(key, plain) {
			t.Error("the owner's name is hashed without the secret")
		}
	}
}

// The password is reset: all sessions end, and the one of the handler begins.
func TestLoginAfterDeleteOwnerInOneHandler(t *testing.T) {
	store := newStore(t, redistest.Start(t).Client(t), redisstore.Options{})
	for range 200 {
		s := saved(t, store, "a", 1)
		if _, err := store.DeleteOwner(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		s.Login("ann")
		save(t, store, s)
	}
	if n := len(listed(t, store, "ann")); n != 1 {
		t.Errorf("%d are listed, want 1", n)
	}
}

// A handler that logs in, ends the others but for its session, and is saved at last.
func TestLoginOfAKeptSession(t *testing.T) {
	store := newStore(t, redistest.Start(t).Client(t), redisstore.Options{})
	s, other := loggedIn(t, store, "ann"), loggedIn(t, store, "ann")
	visitor := saved(t, store, "a", 1)
	for _, s := range []*sessions.Session{s, visitor} {
		s.Login("ann")
		if _, err := store.DeleteOwner(t.Context(), "ann", s.PublicID()); err != nil {
			t.Fatal(err)
		}
		save(t, store, s)
	}
	if !get(t, store, other.ID()).New() || get(t, store, visitor.ID()).New() {
		t.Error("the other session lives, or the kept one does not")
	}
}
