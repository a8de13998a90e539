package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/redis/go-redis/v9"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// Sentinel makes the replica the master in the middle of histories. It may take acknowledged
// writes back, to a state that was; there is no state that never was.
func TestHistoriesAreLinearizableButForAFailover(t *testing.T) {
	t.Parallel()
	failovers := times(t, 2, 25)
	watched := redistest.StartSentinel(t)
	var stores []*redisstore.Store
	for range historyStores {
		stores = append(stores, newStore(t, watched.Client(t), redisstore.Options{}))
	}
	total, back := make(tally), 0
	for n := range failovers {
		first, ops := play(t, stores, func(begin func()) op {
			down := op{kind: failover, call: now()}
			watched.Failover(t, func() {
				begin()
				time.Sleep(rand.N(5 * time.Millisecond))
			}, rand.N(5*time.Millisecond))
			down.ret = now()
			return down
		})
		total.add(ops)
		without := slices.DeleteFunc(slices.Clone(ops), func(o op) bool { return o.kind == failover })
		if linearizable(first, without, time.Second) != porcupine.Ok {
			back++
		}
		for _, store := range stores {
			awaitServer(t, store)
		}
		for range 10 {
			_, ops := play(t, stores, nil)
			total.add(ops)
		}
		if t.Failed() {
			break
		}
		if n < failovers-1 {
			watched.Rejoin(t)
		}
	}
	total.check(t, failover)
	t.Logf("%d of %d failovers took back what was seen", back, failovers)
}

// A failover in the middle of a load makes errors, and no new sessions, and the kit's rules hold
// on the server that it leaves.
func TestStoreKeepsEveryRuleWithSentinel(t *testing.T) {
	t.Parallel()
	watched := redistest.StartSentinel(t)
	store := newStore(t, watched.Client(t), redisstore.Options{})
	var ids []string
	for range 50 {
		ids = append(ids, saved(t, store, map[string]any{"n": 0}).ID())
	}
	for len(watched.Replica(t).Keys(t)) < len(ids) {
		time.Sleep(10 * time.Millisecond)
	}
	var stop atomic.Bool
	var done, failed atomic.Int64
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for !stop.Load() {
				err := load(store, ids[rand.IntN(len(ids))])
				if err == errLost {
					t.Error(err)
				}
				if err != nil {
					failed.Add(1)
				} else {
					done.Add(1)
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	watched.Failover(t, func() {}, 0)
	awaitServer(t, store)
	before := done.Load()
	time.Sleep(100 * time.Millisecond)
	stop.Store(true)
	running.Wait()
	t.Logf("%d updates were carried out, %d of them after the failover, and %d were errors", done.Load(), done.Load()-before, failed.Load())
	if failed.Load() == 0 || done.Load() == before {
		t.Error("the failover was not in the middle of the load")
	}
	kit(t, func(t testing.TB) redis.UniversalClient { return watched.Client(t) })
}

var errLost = errors.New("a session that nothing has ended is gone")

// load updates a session.
func load(store *redisstore.Store, id string) error {
	s, err := store.Get(background, id)
	if err != nil {
		return err
	}
	if s.New() {
		return errLost
	}
	err = store.Update(background, s, func(s *sessions.Session) error { counter.Set(s, counter.Get(s)+1); return nil })
	if errors.Is(err, sessions.ErrDeleted) {
		return errLost
	}
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}
