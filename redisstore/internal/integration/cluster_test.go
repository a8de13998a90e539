package integration

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// While the slot of a session moves to another master, it is read and saved wherever it is. A renewal,
// of two keys, may have to wait until the slot has moved.
func TestSessionIsUsedWhileItsSlotMoves(t *testing.T) {
	moves := times(t, 10, 200)
	cluster := redistest.StartCluster(t, 3)
	client := cluster.Client(t)
	store := newStore(t, client, redisstore.Options{})
	s := saved(t, store, map[string]any{"n": 0})
	key, err := store.KeyOf(s)
	if err != nil {
		t.Fatal(err)
	}
	slot, err := client.ClusterKeySlot(background, key).Result()
	if err != nil {
		t.Fatal(err)
	}
	u := &user{store: newStore(t, cluster.Client(t), redisstore.Options{}), id: s.ID()}
	var over atomic.Bool
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for !over.Load() && !t.Failed() {
				if err := u.use(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	from := cluster.MasterOf(int(slot))
	for range moves {
		to := (from + 1) % len(cluster.Masters)
		cluster.Move(t, int(slot), from, to)
		from = to
	}
	over.Store(true)
	running.Wait()
	if got := counter.Get(stored(t, store, u.id)); got != int(u.updates.Load()) {
		t.Errorf("counted to %d, and %d updates were acknowledged", got, u.updates.Load())
	}
	t.Logf("%d moves, %d updates, %d renewals, %d had to wait", moves, u.updates.Load(), u.renewals, u.waiting)
	if u.renewals == 0 {
		t.Error("there was no renewal")
	}
}

// A user uses one session in several goroutines.
type user struct {
	store             *redisstore.Store
	updates           atomic.Int64
	mu                sync.RWMutex // held alone by a renewal
	id                string
	renewals, waiting int
}

func (u *user) use() error {
	u.mu.RLock()
	s, err := u.store.Get(background, u.id)
	if err == nil && s.New() {
		err = fmt.Errorf("the session is gone")
	}
	if err == nil {
		err = u.store.Update(background, s, func(s *sessions.Session) error { counter.Set(s, counter.Get(s)+1); return nil })
	}
	u.mu.RUnlock()
	if err != nil || u.updates.Add(1)%5 != 0 {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if s, err = u.store.Get(background, u.id); err != nil {
		return err
	}
	s.Renew()
	if err = u.store.Save(background, s); redis.HasErrorPrefix(err, "TRYAGAIN") {
		u.waiting++
		return nil
	}
	u.renewals++
	u.id = s.ID()
	return err
}
