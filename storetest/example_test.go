package storetest_test

import (
	"context"
	"iter"
	"maps"
	"sync"
	"testing"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/storetest"
)

// mapStore is a store of one's own: a map, a lock, and [sessions.Session.Commit],
// which has all the judgement.
type mapStore struct {
	sessions.Keys // IsValidKey and GenerateKey
	mu            sync.Mutex
	records       map[string]sessions.Record
}

func (m *mapStore) New() *sessions.Session { return sessions.NewSession(m.GenerateKey(), nil) }

func (m *mapStore) Get(ctx context.Context, id string) (*sessions.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rec, ok := m.records[id]; ok && ctx.Err() == nil {
		return sessions.LoadSession(id, nil, rec)
	}
	return m.New(), ctx.Err()
}

func (m *mapStore) Save(ctx context.Context, s *sessions.Session) error {
	return s.Commit(ctx, m.open, m.GenerateKey, m.write)
}

func (m *mapStore) open(ctx context.Context, id string) (*sessions.Record, func(), error) {
	m.mu.Lock()
	if rec, ok := m.records[id]; ok {
		return &rec, m.mu.Unlock, ctx.Err()
	}
	return nil, m.mu.Unlock, ctx.Err()
}

func (m *mapStore) write(c sessions.Change) error {
	delete(m.records, c.Ended)
	if c.Record != nil {
		m.records[c.ID] = *c.Record
	}
	return nil
}

func (m *mapStore) SaveIfModified(ctx context.Context, s *sessions.Session) error {
	if !s.ShouldSave() {
		return nil
	}
	return m.Save(ctx, s)
}

func (m *mapStore) Delete(ctx context.Context, s *sessions.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() == nil {
		delete(m.records, s.ID())
	}
	return ctx.Err()
}

func (m *mapStore) List(ctx context.Context) iter.Seq2[string, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	records := maps.Clone(m.records)
	return func(yield func(string, error) bool) {
		for id := range records {
			if !yield(id, ctx.Err()) || ctx.Err() != nil {
				return
			}
		}
	}
}

// In a test of its own, called TestMapStore(t *testing.T).
func Example() {
	var t *testing.T // TestMapStore's
	storetest.Run(t, func(t *testing.T, o storetest.Options) sessions.SessionStore {
		if o.MaxAge > 0 {
			return nil // sessions in this store do not expire
		}
		return &mapStore{records: make(map[string]sessions.Record)}
	})
}

func TestStoreOfTheExample(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o storetest.Options) sessions.SessionStore {
		if o.MaxAge > 0 {
			return nil
		}
		return &mapStore{records: make(map[string]sessions.Record)}
	})
}
