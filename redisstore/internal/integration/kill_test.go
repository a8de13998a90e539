package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// A keeper is a browser that remembers which of its saves were acknowledged, while the server
// is killed and started again.
type keeper struct {
	store  *redisstore.Store
	name   string
	shared string // the ID of a session of all keepers

	s           *sessions.Session // as it was last saved; nil before the first save
	acked, sent int               // the last save that was acknowledged, and that was sent
	unknown     bool              // an end or a renewal was sent, and not acknowledged
	ended       map[string]bool   // the IDs that an acknowledged end or renewal ended

	counted, maybe int // updates of the shared session, acknowledged and not
	saves, ends    int
}

// state makes the values of a session equal to those of the nth save: several values, of which
// each names n.
func (k *keeper) state(s *sessions.Session, n int) {
	if n%9 == 0 {
		s.Clear()
	}
	s.Set("who", k.name)
	for _, key := range []string{"a", "b", "c"} {
		s.Set(key, stateText(key, n))
	}
	s.Delete(fmt.Sprint("only", n-1))
	s.Set(fmt.Sprint("only", n), n)
	counter.Set(s, n)
}

func stateText(key string, n int) string { return strings.Repeat(fmt.Sprint(key, n, ","), 1+n%200) }

// whole returns the number of the save that left a session's values, and an error when they are
// not those of one save.
func whole(s *sessions.Session) (int, error) {
	n := counter.Get(s)
	for _, key := range []string{"a", "b", "c"} {
		if s.Get(key) != stateText(key, n) {
			return n, fmt.Errorf("%s is not that of save %d", key, n)
		}
	}
	if s.Len() != 6 || s.Get(fmt.Sprint("only", n)) == nil {
		return n, fmt.Errorf("it has %d values, want the 6 of save %d", s.Len(), n)
	}
	return n, nil
}

// run saves and ends sessions until the server does not answer, or the time is over.
func (k *keeper) run(ctx context.Context, over *atomic.Bool) {
	for !over.Load() {
		if err := k.step(ctx); err != nil {
			return
		}
	}
}

func (k *keeper) step(ctx context.Context) error {
	if rand.IntN(3) == 0 {
		return k.count(ctx)
	}
	if k.s == nil {
		k.s = k.store.New()
		k.s.SetOwner(k.name)
		k.acked, k.sent = -1, -1
	}
	stored := k.acked >= 0
	switch n := rand.IntN(20); {
	case stored && n == 0:
		k.s.Destroy()
		return k.end(ctx, nil)
	case stored && n == 1:
		s := k.s
		s.Renew()
		return k.end(ctx, s)
	}
	k.sent++
	k.state(k.s, k.sent)
	err := k.store.Save(ctx, k.s)
	if err == nil {
		k.acked = k.sent
		k.saves++
	}
	return err
}

// end saves a session that ends, or goes on under another ID.
func (k *keeper) end(ctx context.Context, next *sessions.Session) error {
	id := k.s.ID()
	k.unknown = true
	if err := k.store.Save(ctx, k.s); err != nil {
		return err
	}
	k.s, k.unknown, k.ended[id] = next, false, true
	k.ends++
	return nil
}

func (k *keeper) count(ctx context.Context) error {
	s, err := k.store.Get(ctx, k.shared)
	if err != nil {
		return err
	}
	err = k.store.Update(ctx, s, func(s *sessions.Session) error { counter.Set(s, counter.Get(s)+1); return nil })
	if err == nil {
		k.counted++
	} else {
		k.maybe++
	}
	return err
}

// check compares the stored session with what was acknowledged, once the server is back.
func (k *keeper) check(t *testing.T) {
	t.Helper()
	for id := range k.ended {
		if stored(t, k.store, id) != nil {
			t.Error("a session is back after an acknowledged end")
		}
	}
	if k.s == nil {
		return
	}
	s := stored(t, k.store, k.s.ID())
	switch {
	case s != nil:
		n, err := whole(s)
		if err != nil || n < k.acked || n > k.sent {
			t.Errorf("save %d was acknowledged, %d sent, and %d is there (%v)", k.acked, k.sent, n, err)
		}
		k.acked, k.sent = n, n
		if !k.isListed(t, s.PublicID()) {
			t.Error("the index lacks a session of its owner")
		}
	case k.acked >= 0 && !k.unknown:
		t.Errorf("save %d was acknowledged, and the session is gone", k.acked)
	}
	k.s, k.unknown = s, false
}

func (k *keeper) isListed(t *testing.T, publicID string) bool {
	t.Helper()
	for info, err := range k.store.ListOwner(background, k.name) {
		if err != nil {
			t.Error(err)
		}
		if info.PublicID == publicID {
			return true
		}
	}
	return false
}

func TestKillOfTheServerLosesNoAcknowledgedSave(t *testing.T) {
	kills := times(t, 8, 100)
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always",
		"--auto-aof-rewrite-min-size", "200kb", "--auto-aof-rewrite-percentage", "50")
	shared := saved(t, newStore(t, server.Client(t), redisstore.Options{}), map[string]any{"n": 0})
	var keepers []*keeper
	for i := range 8 {
		// Two keepers are one process.
		store := newStore(t, hasty(t, server), redisstore.Options{})
		if i%2 == 1 {
			store = keepers[i-1].store
		}
		keepers = append(keepers, &keeper{store: store, name: fmt.Sprint("keeper", i), shared: shared.ID(), ended: map[string]bool{}})
	}
	for n := range kills {
		var running sync.WaitGroup
		var over atomic.Bool
		ctx, cancel := context.WithTimeout(background, 20*time.Second)
		for _, k := range keepers {
			running.Go(func() { k.run(ctx, &over) })
		}
		time.Sleep(30*time.Millisecond + rand.N(200*time.Millisecond))
		server.Kill()
		if n%2 == 0 { // back while the saves are sent again
			server.Restart(t)
			over.Store(true)
		}
		running.Wait()
		if ctx.Err() != nil {
			t.Error("a save hangs while the server is down")
		}
		cancel()
		if n%2 == 1 {
			server.Restart(t)
		}
		for _, k := range keepers {
			awaitServer(t, k.store)
		}
		afterKill(t, server, keepers, shared.ID())
		if t.Failed() {
			return
		}
	}
	saves, ends := 0, 0
	for _, k := range keepers {
		saves += k.saves
		ends += k.ends
	}
	t.Logf("%d kills, %d acknowledged saves, %d ends, a count of %d", kills, saves, ends, counter.Get(stored(t, keepers[0].store, shared.ID())))
}

// afterKill checks the sessions on a server that was killed and is back.
func afterKill(t *testing.T, server *redistest.Server, keepers []*keeper, shared string) {
	t.Helper()
	counted, maybe := 0, 0
	for _, k := range keepers {
		k.check(t)
		counted += k.counted
		maybe += k.maybe
	}
	s := stored(t, keepers[0].store, shared)
	if s == nil {
		t.Fatal("the session of all is gone")
	}
	if n := counter.Get(s); n < counted || n > counted+maybe {
		t.Errorf("counted to %d, and %d updates were acknowledged, %d not", n, counted, maybe)
	}
	// What no keeper knows: a session under the ID of a renewal that was not acknowledged.
	client := server.Client(t)
	for _, key := range server.Keys(t) {
		hash, err := client.HGetAll(background, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if err := wholeHash(hash); err != nil && hash["=who"] != "" {
			t.Errorf("a hash is half a session: %v", err)
		}
	}
}

// wholeHash checks a hash that may be no keeper's any more.
func wholeHash(hash map[string]string) error {
	if hash["s"] == "" || hash["v"] == "" {
		return errors.New("it has no format or no version")
	}
	var n int
	if _, err := fmt.Sscan(hash["=n"], &n); err != nil {
		return err
	}
	for _, key := range []string{"a", "b", "c"} {
		if want := `"` + stateText(key, n) + `"`; hash["="+key] != want {
			return fmt.Errorf("%s is not that of save %d", key, n)
		}
	}
	return nil
}
