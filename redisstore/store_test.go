package redisstore_test

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

var stores atomic.Int64

// newStore makes a store under a prefix of its own.
func newStore(t *testing.T, c redis.Cmdable, o redisstore.Options) *redisstore.Store {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = fmt.Sprintf("test-%d*[?]:", stores.Add(1))
	}
	st, err := redisstore.New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// kitStore makes the kit fail a store: its client is closed.
type kitStore struct {
	*redisstore.Store
	client *redis.Client
}

func (s kitStore) Close() error { return s.client.Close() }

func kit(t *testing.T, o redisstore.Options, change ...func(*redis.Options)) {
	server := redistest.Start(t)
	storetest.Run(t, func(t *testing.T, k storetest.Options) sessions.SessionStore {
		o := o
		if o.IdleTimeout, o.Lifetime = k.IdleTimeout, sessions.Never; o.IdleTimeout == 0 {
			o.IdleTimeout = sessions.Never
		}
		o.MaxSessions = k.MaxSessions
		client := server.Client(t, change...)
		return kitStore{newStore(t, client, o), client}
	})
}

func TestStoreKeepsEveryRule(t *testing.T) { kit(t, redisstore.Options{}) }

func TestStoreOnAClientThatKeepsToDeadlinesKeepsEveryRule(t *testing.T) {
	kit(t, redisstore.Options{}, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
}

func TestSealedStoreKeepsEveryRule(t *testing.T) { kit(t, redisstore.Options{Sealer: keyRing(t)}) }

func TestStoreOfGobKeepsEveryRule(t *testing.T) { kit(t, redisstore.Options{Codec: sessions.Gob()}) }

func keyRing(t *testing.T, keys ...securecookie.Key) *securecookie.KeyRing {
	t.Helper()
	if keys == nil {
		keys = []securecookie.Key{securecookie.GenerateKey()}
	}
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
