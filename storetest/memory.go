package storetest

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sessfs/sessions"
)

// Memory is a store in memory that keeps every rule of this package, for tests of
// handlers, and as an example of a store with every capability. Sessions that have
// expired stay in memory. Its methods may be called by several goroutines at once.
type Memory struct {
	*sessions.Base

	mu     sync.Mutex
	kept   map[string]sessions.Record // by ID
	ends   []ownerEnd
	closed bool
}

// An ownerEnd is an end of all sessions of an owner but for some.
type ownerEnd struct {
	owner string
	at    time.Time
	keep  []string // public IDs
}

var errClosed = errors.New("storetest: the store is closed")

var (
	_ sessions.SessionStore = (*Memory)(nil)
	_ sessions.Updater      = (*Memory)(nil)
	_ sessions.Toucher      = (*Memory)(nil)
	_ sessions.Clearer      = (*Memory)(nil)
	_ sessions.OwnerStore   = (*Memory)(nil)
	_ sessions.Mover        = (*Memory)(nil)
)

// NewMemory returns an empty store. Zero means that sessions do not expire.
func NewMemory(idleTimeout time.Duration) *Memory {
	m := &Memory{kept: make(map[string]sessions.Record)}
	m.Base = newBase(m, idleTimeout)
	return m
}

// newBase returns the Base of a store that keeps sessions under their IDs.
func newBase(m *Memory, idleTimeout time.Duration) *sessions.Base {
	base, err := sessions.NewBase(memoryBackend{m}, sessions.BaseOptions{
		IdleTimeout: cmp.Or(idleTimeout, sessions.Never),
		Lifetime:    sessions.Never,
		Key:         func(id string) string { return id },
	})
	if err != nil {
		panic(err)
	}
	return base
}

// lock locks the store. The error is ctx's, or errClosed.
func (m *Memory) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return errClosed
	}
	return nil
}

// find returns the session that is kept under the ID and has not expired.
func (m *Memory) find(id string) *sessions.Record {
	rec, ok := m.kept[id]
	if !ok || m.Expired(&rec) {
		return nil
	}
	return &rec
}

// A memoryBackend keeps the records of a Memory.
type memoryBackend struct{ *Memory }

// Load returns a record.
func (m memoryBackend) Load(ctx context.Context, key string) (sessions.Record, error) {
	if err := m.lock(ctx); err != nil {
		return sessions.Record{}, err
	}
	defer m.mu.Unlock()
	rec, ok := m.kept[key]
	if !ok {
		return rec, sessions.ErrNotStored
	}
	return rec, nil
}

// Commit carries out a change.
func (m memoryBackend) Commit(ctx context.Context, c *sessions.Change) error {
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	return m.commit(c)
}

// commit is Commit under the lock.
func (m *Memory) commit(c *sessions.Change) error {
	var stored *sessions.Record
	if rec, ok := m.kept[c.Key()]; ok {
		stored = &rec
	}
	if err := c.Apply(stored); err != nil {
		return err
	}
	if m.isEnded(c) {
		return sessions.ErrDeleted
	}
	delete(m.kept, c.Ended())
	if key := c.NewKey(); key != "" {
		rec := *c.Record()
		rec.Used = cmp.Or(rec.Used, time.Now())
		m.kept[key] = rec
	}
	return nil
}

// isEnded reports whether a change is a login from before an end.
func (m *Memory) isEnded(c *sessions.Change) bool {
	login, ok := c.Login()
	return ok && slices.ContainsFunc(m.ends, func(e ownerEnd) bool {
		kept := slices.Contains(e.keep, sessions.PublicID(c.Key())) || slices.Contains(e.keep, sessions.PublicID(c.NewKey()))
		return e.owner == c.Record().Owner && login.Before(e.at) && !kept
	})
}

// Touch restarts a session's idle timeout, unless that would have to wait.
func (m *Memory) Touch(ctx context.Context, s *sessions.Session, interval time.Duration) (bool, error) {
	key, err := m.KeyOf(s)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || !m.mu.TryLock() {
		return false, err
	}
	defer m.mu.Unlock()
	if m.closed {
		return false, errClosed
	}
	rec := m.find(key)
	if rec == nil {
		return false, sessions.ErrDeleted
	}
	if time.Since(rec.Used) < interval {
		return false, nil
	}
	rec.Used = time.Now()
	m.kept[key] = *rec
	return true, nil
}

// List returns the IDs of the sessions that have not expired.
func (m *Memory) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := m.lock(ctx); err != nil {
			yield("", err)
			return
		}
		ids := slices.DeleteFunc(slices.Collect(maps.Keys(m.kept)), func(id string) bool { return m.find(id) == nil })
		m.mu.Unlock()
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}

// DeleteAll ends all sessions.
func (m *Memory) DeleteAll(ctx context.Context) (int, error) {
	if err := m.lock(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	n := len(m.kept)
	clear(m.kept)
	return n, nil
}

// ListOwner returns the sessions of an owner.
func (m *Memory) ListOwner(ctx context.Context, owner string) iter.Seq2[sessions.SessionInfo, error] {
	return func(yield func(sessions.SessionInfo, error) bool) {
		if err := m.lock(ctx); err != nil {
			yield(sessions.SessionInfo{}, err)
			return
		}
		var found []sessions.SessionInfo
		for id, rec := range m.kept {
			if owner != "" && rec.Owner == owner && !m.Expired(&rec) {
				found = append(found, m.Info(sessions.PublicID(id), &rec))
			}
		}
		m.mu.Unlock()
		for _, info := range found {
			if err := ctx.Err(); err != nil {
				yield(sessions.SessionInfo{}, err)
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// DeleteOwner ends the sessions of an owner but for those to keep.
func (m *Memory) DeleteOwner(ctx context.Context, owner string, keep ...string) (int, error) {
	if err := m.lock(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	m.ends = append(m.ends, ownerEnd{owner, time.Now(), keep})
	return m.deleteOwned(owner, func(publicID string) bool { return !slices.Contains(keep, publicID) }), nil
}

// DeleteOne ends one session of an owner.
func (m *Memory) DeleteOne(ctx context.Context, owner, publicID string) (bool, error) {
	if err := m.lock(ctx); err != nil {
		return false, err
	}
	defer m.mu.Unlock()
	return m.deleteOwned(owner, func(id string) bool { return id == publicID }) > 0, nil
}

// deleteOwned ends the sessions of an owner whose public IDs match, under the lock.
func (m *Memory) deleteOwned(owner string, match func(publicID string) bool) (n int) {
	for id, rec := range m.kept {
		if owner != "" && rec.Owner == owner && match(sessions.PublicID(id)) {
			delete(m.kept, id)
			n++
		}
	}
	return n
}

// Export passes on a session, and ends it.
func (m *Memory) Export(ctx context.Context, key string, f func(sessions.Record) error) error {
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	rec := m.find(key)
	if rec == nil {
		return sessions.ErrNotStored
	}
	err := f(*rec)
	if err == nil {
		delete(m.kept, key)
	}
	return err
}

// Close makes every later call fail.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
