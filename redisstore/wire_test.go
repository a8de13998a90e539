package redisstore_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
	"github.com/sessfs/sessions/storetest"
)

// proxied returns a store behind a proxy.
func proxied(t *testing.T, o redisstore.Options) (*redisstore.Store, *redistest.Proxy, *redistest.Server) {
	t.Helper()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	t.Cleanup(func() { client.Close() })
	store := newStore(t, client, o)
	proxy.Reset()
	return store, proxy, server
}

// names returns the names of the commands that were sent.
func names(proxy *redistest.Proxy) (names []string) {
	for _, command := range proxy.Commands() {
		names = append(names, command[0])
	}
	return names
}

func saved(t *testing.T, store *redisstore.Store, values ...any) *sessions.Session {
	t.Helper()
	s := store.New()
	for i := 0; i < len(values); i += 2 {
		s.Set(values[i].(string), values[i+1])
	}
	save(t, store, s)
	return s
}

func save(t *testing.T, store *redisstore.Store, s *sessions.Session) {
	t.Helper()
	if err := store.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, store *redisstore.Store, id string) *sessions.Session {
	t.Helper()
	s, err := store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoadAndSaveAreOneRoundTripEach(t *testing.T) {
	store, proxy, _ := proxied(t, redisstore.Options{})
	warm := saved(t, store) // sends the scripts' texts
	warm.Renew()
	save(t, store, warm)
	proxy.Reset()
	step := func(what, want string) {
		t.Helper()
		if got := strings.Join(names(proxy), " "); got != want {
			t.Errorf("%s: the commands %q, want %q", what, got, want)
		}
		proxy.Reset()
	}
	s := saved(t, store, "a", 1)
	step("a new session", "evalsha")
	s = get(t, store, s.ID())
	step("a load", "hgetall")
	s.Set("b", 2)
	save(t, store, s)
	step("a save", "evalsha")
	other := get(t, store, s.ID())
	s.Set("c", 1)
	save(t, store, s)
	proxy.Reset()
	other.Set("d", 1)
	save(t, store, other)
	step("a save beside another's", "evalsha")
	s = get(t, store, s.ID())
	proxy.Reset()
	if err := store.Update(t.Context(), s, func(s *sessions.Session) error { s.Set("a", 3); return nil }); err != nil {
		t.Fatal(err)
	}
	step("an update", "evalsha")
	s.Renew()
	save(t, store, s)
	step("a renewal, and the question whether all were ended meanwhile", "evalsha evalsha")
	if err := store.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	step("an end", "del")
}

func TestSaveSendsWhatChanged(t *testing.T) {
	store, proxy, _ := proxied(t, redisstore.Options{})
	s := store.New()
	for i := range 50 {
		s.Set(fmt.Sprintf("key%02d", i), strings.Repeat("x", 98))
	}
	save(t, store, s)
	s = get(t, store, s.ID())
	s.Set("key07", strings.Repeat("y", 98))
	proxy.Reset()
	save(t, store, s)
	t.Logf("one of fifty values of 100 bytes: %d bytes were sent", proxy.Sent())
	if proxy.Sent() > 500 {
		t.Errorf("%d bytes were sent, want 500 at most", proxy.Sent())
	}
}

// Every rule holds when one answer of twenty is lost, after the server has carried out the
// command.
func TestStoreKeepsEveryRuleWhenAnswersAreLost(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr)
	var n atomic.Int64
	proxy.Lose(func(command []string) bool {
		return (command[0] == "evalsha" || command[0] == "hgetall") && n.Add(1)%20 == 0
	})
	storetest.Run(t, func(t *testing.T, k storetest.Options) sessions.SessionStore {
		o := redisstore.Options{IdleTimeout: k.IdleTimeout, Lifetime: sessions.Never, MaxSessions: k.MaxSessions}
		if o.IdleTimeout == 0 {
			o.IdleTimeout = sessions.Never
		}
		client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
		t.Cleanup(func() { client.Close() })
		return kitStore{newStore(t, client, o), client}
	})
}

func TestUpdateWhoseAnswerIsLostCountsOnce(t *testing.T) {
	const goroutines, updates = 8, 50
	const counter = sessions.Key[int64]("n")
	store, proxy, _ := proxied(t, redisstore.Options{})
	s := saved(t, store, "n", 0)
	var sent, unknown atomic.Int64
	proxy.Lose(func(command []string) bool { return sent.Add(1)%5 == 0 })
	var running sync.WaitGroup
	var done atomic.Int64
	for range goroutines {
		running.Go(func() {
			s, err := store.Get(t.Context(), s.ID())
			if err != nil {
				t.Error(err)
				return
			}
			for range updates {
				err := store.Update(t.Context(), s, func(s *sessions.Session) error { counter.Set(s, counter.Get(s)+1); return nil })
				switch {
				case err == nil:
					done.Add(1)
				case strings.Contains(err.Error(), "cannot be told"):
					unknown.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	proxy.Lose(nil)
	got := counter.Get(get(t, store, s.ID()))
	if got < done.Load() || got > done.Load()+unknown.Load() {
		t.Errorf("counted to %d, and %d updates were acknowledged, %d unknown", got, done.Load(), unknown.Load())
	}
}

// A save whose first answer was lost comes again when others have saved: it must not take
// the place of theirs, nor count twice.
func TestRepeatedSaveTakesNothingBack(t *testing.T) {
	for _, others := range []int{1, 2, 3, 4, 10} {
		t.Run(fmt.Sprint(others), func(t *testing.T) {
			store, proxy, server := proxied(t, redisstore.Options{Prefix: "test:"})
			beside := newStore(t, server.Client(t), redisstore.Options{Prefix: "test:"})
			s := saved(t, store, "a", 0, "n", 0)
			other := get(t, beside, s.ID())
			var lost atomic.Bool
			proxy.Lose(func([]string) bool { return !lost.Swap(true) })
			s.Set("a", 1)
			first := true
			proxy.Reply(func(command []string) string {
				if command[0] != "evalsha" {
					return ""
				}
				if first {
					first = false
					return ""
				}
				for i := range others {
					other.Set("a", 10+i)
					if err := beside.Save(t.Context(), other); err != nil {
						t.Error(err)
					}
				}
				return ""
			})
			err := store.Save(t.Context(), s)
			proxy.Reply(nil)
			if err != nil && !strings.Contains(err.Error(), "cannot be told") {
				t.Error(err)
			}
			if others <= 3 && err != nil {
				t.Errorf("after %d saves of others it is %v", others, err)
			}
			if got := get(t, beside, s.ID()).Get("a"); got != int64(9+others) {
				t.Errorf("a = %v, want that of the last save, %d", got, 9+others)
			}
		})
	}
}

func TestScriptsSurviveARestart(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	store := newStore(t, server.Client(t), redisstore.Options{})
	s := saved(t, store, "a", 1)
	server.Kill()
	server.Restart(t)
	s = get(t, store, s.ID())
	s.Set("b", 2)
	save(t, store, s)
	if err := server.Client(t).ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.Set("c", 3)
	save(t, store, s)
	if got := get(t, store, s.ID()); got.Len() != 3 {
		t.Errorf("%d values, want 3", got.Len())
	}
}

func TestUnknownIDsMakeNoKey(t *testing.T) {
	server := redistest.Start(t)
	store := newStore(t, server.Client(t), redisstore.Options{})
	n := 100_000
	if testing.Short() {
		n = 1000
	}
	for range n {
		if s := get(t, store, store.GenerateKey()); !s.New() {
			t.Fatal("an unknown ID has a session")
		}
	}
	if keys := server.Keys(t); len(keys) != 0 {
		t.Errorf("there are the keys %q", keys)
	}
}

func TestServerSeesNoID(t *testing.T) {
	store, proxy, _ := proxied(t, redisstore.Options{})
	s := saved(t, store, "a", 1)
	ids := []string{s.ID()}
	s = get(t, store, s.ID())
	s.Login("ann")
	save(t, store, s)
	ids = append(ids, s.ID())
	if _, err := store.Touch(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	s.Destroy()
	save(t, store, s)
	for _, command := range proxy.Commands() {
		for _, id := range ids {
			for i := 0; i+9 <= len(id); i++ {
				if strings.Contains(strings.Join(command, " "), id[i:i+9]) {
					t.Fatalf("%s has 9 characters of an ID, from the %dth", command[0], i)
				}
			}
		}
	}
	if ids[0][:8] != ids[1][:8] || ids[0][8:] == ids[1][8:] {
		t.Error("the renewed ID keeps another part than the first 8 characters")
	}
}

// A save beside another's brings its values, also in the place of those that were handed out.
func TestSavedSessionHasTheValuesOfOthers(t *testing.T) {
	store := newStore(t, redistest.Start(t).Client(t), redisstore.Options{})
	s := saved(t, store, "a", 1, "b", 1)
	other := get(t, store, s.ID())
	s.Get("b")
	other.Set("b", 2)
	save(t, store, other)
	s.Set("a", 2)
	save(t, store, s)
	if got := fmt.Sprint(s.Get("a"), s.Get("b")); got != "2 2" {
		t.Errorf("a and b are %s, want 2 and 2", got)
	}
}
