package storetest

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sessfs/sessions"
)

// Memory is a store in memory that keeps every rule: the reference of this
// package, for tests of handlers, and to start a store of one's own from.
// Sessions that have expired stay in memory.
type Memory struct {
	sessions.Keys // IsValidKey and GenerateKey

	maxAge time.Duration

	mu     sync.Mutex
	kept   map[string]memoryRecord
	closed bool
}

var errClosed = errors.New("storetest: the store is closed")

type memoryRecord struct {
	sessions.Record
	used time.Time // when the idle time began
}

var (
	_ sessions.SessionStore = (*Memory)(nil)
	_ sessions.Updater      = (*Memory)(nil)
	_ sessions.Toucher      = (*Memory)(nil)
	_ sessions.Clearer      = (*Memory)(nil)
	_ sessions.OwnerStore   = (*Memory)(nil)
)

// NewMemory makes an empty store. Zero means that sessions do not expire.
func NewMemory(maxAge time.Duration) *Memory {
	return &Memory{maxAge: maxAge, kept: make(map[string]memoryRecord)}
}

// lock locks the store, if it may be used.
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

// open is lock with what Commit asks for: the record of that ID, and how to
// unlock.
func (m *Memory) open(ctx context.Context, id string) (*sessions.Record, func(), error) {
	if err := m.lock(ctx); err != nil {
		return nil, nil, err
	}
	return m.find(id), m.mu.Unlock, nil
}

// find returns what is kept under the ID and has not expired.
func (m *Memory) find(id string) *sessions.Record {
	rec, ok := m.kept[id]
	maxAge := m.maxAge
	if rec.MaxAge > 0 {
		maxAge = rec.MaxAge
	}
	if !ok || maxAge > 0 && time.Since(rec.used) >= maxAge {
		return nil
	}
	return &rec.Record
}

// write carries out a change.
func (m *Memory) write(c sessions.Change) error {
	delete(m.kept, c.Ended)
	if c.Record != nil {
		m.kept[c.ID] = memoryRecord{*c.Record, time.Now()}
	}
	return nil
}

// New makes an empty session.
func (m *Memory) New() *sessions.Session { return sessions.NewSession(m.GenerateKey(), nil) }

// Get loads a session.
func (m *Memory) Get(ctx context.Context, id string) (*sessions.Session, error) {
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if rec := m.find(id); rec != nil {
		return sessions.LoadSession(id, nil, *rec)
	}
	return m.New(), nil
}

// Save stores a session.
func (m *Memory) Save(ctx context.Context, s *sessions.Session) error {
	return s.Commit(ctx, m.open, m.GenerateKey, m.write)
}

// SaveIfModified stores a session that should be saved.
func (m *Memory) SaveIfModified(ctx context.Context, s *sessions.Session) error {
	if !s.ShouldSave() {
		return nil
	}
	return m.Save(ctx, s)
}

// Update reads, changes and saves a session in one step.
func (m *Memory) Update(ctx context.Context, s *sessions.Session, update func(*sessions.Session) error) error {
	return s.CommitUpdate(ctx, update, m.open, m.GenerateKey, m.write)
}

// Delete ends a session.
func (m *Memory) Delete(ctx context.Context, s *sessions.Session) error {
	release, err := s.Hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	delete(m.kept, s.ID())
	return nil
}

// Touch restarts a session's idle timeout, unless that would have to wait.
func (m *Memory) Touch(ctx context.Context, s *sessions.Session, interval time.Duration) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if !m.mu.TryLock() {
		return false, nil
	}
	defer m.mu.Unlock()
	if m.closed {
		return false, errClosed
	}
	if m.find(s.ID()) == nil {
		return false, sessions.ErrDeleted
	}
	rec := m.kept[s.ID()]
	if time.Since(rec.used) < interval {
		return false, nil
	}
	rec.used = time.Now()
	m.kept[s.ID()] = rec
	return true, nil
}

// List gives the IDs of the sessions that have not expired.
func (m *Memory) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := m.lock(ctx); err != nil {
			yield("", err)
			return
		}
		ids := slices.DeleteFunc(slices.Collect(maps.Keys(m.kept)), func(id string) bool { return m.find(id) == nil })
		m.mu.Unlock()
		for _, id := range ids {
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

// ListOwner gives the sessions of an owner.
func (m *Memory) ListOwner(ctx context.Context, owner string) iter.Seq2[*sessions.Session, error] {
	return func(yield func(*sessions.Session, error) bool) {
		for id, err := range m.List(ctx) {
			var s *sessions.Session
			if err == nil {
				s, err = m.Get(ctx, id)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if owner != "" && s.Owner() == owner && !s.New() && !yield(s, nil) {
				return
			}
		}
	}
}

// DeleteOwner ends the sessions of an owner but for those to keep.
func (m *Memory) DeleteOwner(ctx context.Context, owner string, keep ...string) (n int, err error) {
	if err := m.lock(ctx); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	for id, rec := range m.kept {
		if owner != "" && rec.Owner == owner && !slices.Contains(keep, id) {
			delete(m.kept, id)
			n++
		}
	}
	return n, nil
}

// Close makes every later call fail.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
