package redisstore_test

import (
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// A save restarts the idle timeout by the server's clock, as long as the session's own timeouts,
// its lifetime and its owner's index allow, whoever has set those.
func TestSaveSetsTheTimeOfTheServer(t *testing.T) {
	for name, o := range map[string]redisstore.Options{"plain": {}, "sealed": {Sealer: keyRing(t)}} {
		o.IdleTimeout, o.Lifetime = time.Hour, 2*time.Hour
		t.Run(name, func(t *testing.T) {
			store, _, server := proxied(t, o)
			client := server.Client(t)
			for kind, row := range ownTimes {
				s := store.New()
				row.set(s)
				save(t, store, s)
				key, _ := store.KeyOf(s)
				n := 0
				saves := func(what string, s *sessions.Session, want time.Duration) {
					t.Helper()
					client.PExpire(t.Context(), key, 10*time.Second)
					n++
					s.Set("n", n)
					save(t, store, s)
					wantTime(t, client, key, want, kind+", after "+what)
				}
				saves("a save", s, row.want)
				beside, after, last := get(t, store, s.ID()), get(t, store, s.ID()), get(t, store, s.ID())
				saves("another one", s, row.want)
				saves("a save beside another's", beside, row.want)
				s.SetIdleTimeout(40 * time.Second)
				save(t, store, s)
				saves("a save beside that of a timeout", after, 40*time.Second)
				saves("a save that follows it", after, 40*time.Second)
				after.SetIdleTimeout(0)
				after.SetLifetime(0)
				saves("a return to the store's timeouts", after, time.Hour)
				client.HSet(t.Context(), key, "e", time.Now().Add(20*time.Second).UnixMilli())
				saves("a save that would outlive the entry of the index", after, 20*time.Second)
				saves("one beside it", last, 20*time.Second)
			}
		})
	}
}

// A session that a login has made outlives its entry in the index by no millisecond.
func TestLoginEndsBeforeItsEntry(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	store := newStore(t, client, redisstore.Options{IdleTimeout: sessions.Never, Lifetime: time.Hour})
	for range 50 {
		key, _ := store.KeyOf(loggedIn(t, store, "ann"))
		entry, err := client.HGet(t.Context(), key, "e").Int64()
		if till := client.PExpireTime(t.Context(), key).Val().Milliseconds(); err != nil || till > entry || till < entry-1000 {
			t.Fatalf("the session ends %d ms after its entry (%v)", till-entry, err)
		}
	}
}
