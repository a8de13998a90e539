package storetest_test

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/storetest"
)

// A mapStore is a store of one's own: a map, a lock, and a [sessions.Base], which
// does the rest. The project's examples/sqlstore is one in an SQL database.
type mapStore struct {
	*sessions.Base
	mu      sync.Mutex
	records map[string]sessions.Record
}

func newMapStore(idleTimeout time.Duration) (*mapStore, error) {
	m := &mapStore{records: make(map[string]sessions.Record)}
	var err error
	m.Base, err = sessions.NewBase(m, sessions.BaseOptions{IdleTimeout: idleTimeout})
	return m, err
}

func (m *mapStore) Load(_ context.Context, key string) (sessions.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rec, ok := m.records[key]; ok {
		return rec, nil
	}
	return sessions.Record{}, sessions.ErrNotStored
}

func (m *mapStore) Commit(_ context.Context, c *sessions.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var stored *sessions.Record
	if rec, ok := m.records[c.Key()]; ok {
		stored = &rec
	}
	if err := c.Apply(stored); err != nil {
		return err
	}
	delete(m.records, c.Ended())
	if key := c.NewKey(); key != "" {
		rec := *c.Record()
		rec.Used = cmp.Or(rec.Used, time.Now()) // that of a session from another store goes on
		m.records[key] = rec
	}
	return nil
}

func (m *mapStore) List(ctx context.Context) iter.Seq2[string, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	records := maps.Clone(m.records)
	return func(yield func(string, error) bool) {
		for key, rec := range records {
			if ctx.Err() != nil {
				break
			}
			if !m.Expired(&rec) && !yield(key, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield("", err)
		}
	}
}

// In a test of its own, called TestMapStore(t *testing.T).
func Example() {
	var t *testing.T // TestMapStore's
	storetest.Run(t, newStore)
}

func newStore(t *testing.T, o storetest.Options) sessions.SessionStore {
	store, err := newMapStore(o.IdleTimeout)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestStoreOfTheExample(t *testing.T) { storetest.Run(t, newStore) }
