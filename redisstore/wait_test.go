package redisstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// An end and a renewal count when a replica has them; repeating an end waits again.
func TestWaitReplicas(t *testing.T) {
	master := redistest.Start(t)
	replica := redistest.StartReplica(t, master)
	store := newStore(t, master.Client(t), redisstore.Options{WaitReplicas: 1, WaitTimeout: 2 * time.Second})
	hasty := newStore(t, master.Client(t), redisstore.Options{WaitReplicas: 1, WaitTimeout: 100 * time.Millisecond})
	s, other := saved(t, store, "a", 1), saved(t, hasty, "a", 1)
	s.Renew()
	save(t, store, s)
	if keys := replica.Keys(t); !strings.Contains(strings.Join(keys, " "), s.PublicID()) {
		t.Error("the replica does not have the renewal")
	}
	if err := store.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if keys := replica.Keys(t); strings.Contains(strings.Join(keys, " "), s.PublicID()) {
		t.Error("the replica does not have the end")
	}
	replica.Stop(t)
	other.Set("a", 2)
	save(t, hasty, other) // which does not wait
	for range 2 {
		err := hasty.Delete(t.Context(), other)
		if err == nil || errors.Is(err, sessions.ErrDeleted) || !strings.Contains(err.Error(), "WaitReplicas") {
			t.Errorf("an end without replicas is %v", err)
		}
	}
	replica.Continue(t)
}
