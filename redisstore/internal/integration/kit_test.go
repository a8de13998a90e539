package integration

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
	"github.com/sessfs/sessions/securecookie"
	"github.com/sessfs/sessions/storetest"
)

// A kitStore is a store that the kit makes fail by closing its client.
type kitStore struct {
	*redisstore.Store
	client redis.UniversalClient
}

func (s kitStore) Close() error { return s.client.Close() }

var prefixes atomic.Int64

// kit runs the kit, in the store and with sealed sessions, on the clients that newClient makes.
func kit(t *testing.T, newClient func(t testing.TB) redis.UniversalClient) {
	t.Helper()
	for name, sealer := range map[string]sessions.Sealer{"plain": nil, "sealed": keyRing(t)} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, k storetest.Options) sessions.SessionStore {
				o := redisstore.Options{Sealer: sealer, IdleTimeout: k.IdleTimeout, Lifetime: sessions.Never, MaxSessions: k.MaxSessions}
				if o.IdleTimeout == 0 {
					o.IdleTimeout = sessions.Never
				}
				o.Prefix = fmt.Sprintf("kit-%d:", prefixes.Add(1))
				client := newClient(t)
				return kitStore{newStore(t, client, o), client}
			})
		})
	}
}

func TestStoreKeepsEveryRuleOnValkey(t *testing.T) {
	t.Parallel()
	server := redistest.StartProgram(t, redistest.Valkey)
	kit(t, func(t testing.TB) redis.UniversalClient { return server.Client(t) })
}

func TestStoreKeepsEveryRuleOnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3)
	kit(t, func(t testing.TB) redis.UniversalClient { return cluster.Client(t) })
}

func keyRing(t *testing.T) *securecookie.KeyRing {
	t.Helper()
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: []securecookie.Key{securecookie.GenerateKey()}})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
