// Package handover takes an application from one store to another without a logout: from
// files to Redis when it outgrows one machine, or to another directory.
//
//	store, err := handover.New(redisStore, files) // the new one, and the old one
//	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
//
// A session is moved, as it is, when it is first asked for, and command sessmove
// of package redisstore moves those of visitors who stay away. When the old store is empty,
// or all that is left there has expired, the application goes on with the new one alone.
//
// # Guarantees
//
// Any number of processes may do this at once, and with them the command. A session is in one
// of the stores: Move imports it into the new one while it has the session's lock in the old
// one, and ends it there before the lock is free. A process that dies in between leaves it in
// both, and then the next Get ends the old one, before any request has the session. So one that
// is ended or renewed afterwards does not come back. Times and timeouts go on.
//
// # Limits
//
// Instances that know the old store alone do not find a session that was moved: to them its
// visitor has none, their saves of it are [sessions.ErrDeleted], and their logout ends nothing
// in the new store. Two steps avoid that. First all instances get a Store whose new one is the
// old directory and whose old one is Redis: it changes nothing as long as Redis is empty. Then
// they get the stores the other way round, one instance after the other. A session then goes to
// and fro between the stores with its requests. It is found wherever it is; a save whose
// session was moved since it was loaded is ErrDeleted, and its changes are lost.
//
// Each Get asks the old store first: a directory costs microseconds, and Redis a round
// trip. An old store that fails makes Get fail. The old directory must be writable.
package handover

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/sessfs/sessions"
)

// A Destination is a new store, and a Source an old one: those of package sessions and
// redisstore are both.
type (
	Destination interface {
		Source
		sessions.Updater
		sessions.Toucher
	}
	Source interface {
		sessions.SessionStore
		sessions.Clearer
		sessions.Mover
	}
)

// destination hides the field of a Store that has its methods.
type destination = Destination

// A Store has all sessions of two stores. It is the new one to those who use it: New,
// Save and Touch are those of that one. Its methods may be called by several goroutines at once.
type Store struct {
	destination
	from Source
}

var (
	_ sessions.SessionStore = (*Store)(nil)
	_ sessions.Updater      = (*Store)(nil)
	_ sessions.Toucher      = (*Store)(nil)
	_ sessions.Clearer      = (*Store)(nil)
	_ sessions.OwnerStore   = (*Store)(nil)
)

// New makes a Store that moves sessions to one store from another. Both must have IDs of the
// same form. The Store closes neither.
func New(to Destination, from Source) (*Store, error) {
	switch {
	case to == nil || from == nil:
		return nil, errors.New("handover: a store is nil")
	case any(to) == any(from):
		return nil, errors.New("handover: both stores are the same")
	case !to.IsValidKey(from.GenerateKey()) || !from.IsValidKey(to.GenerateKey()):
		return nil, errors.New("handover: the IDs of the stores have different forms, and a session keeps its own: give both the same IDs")
	}
	return &Store{to, from}, nil
}

// Move moves one session. The error is [sessions.ErrNotStored] when it is not in the old store,
// [sessions.ErrDeleted] when it has ended, [sessions.ErrCorrupt] when it cannot be read, and
// otherwise one of the stores; after it the next Move goes on. A session that the new store has
// stays as it is there.
func Move(ctx context.Context, to sessions.Mover, toKey string, from sessions.Mover, fromKey string) error {
	imported := false
	err := from.Export(ctx, fromKey, func(rec sessions.Record) error {
		err := to.Import(ctx, toKey, rec)
		if errors.Is(err, sessions.ErrExists) {
			return nil // of a Move that died before it had ended the session here
		}
		imported = err == nil
		return err
	})
	if imported && errors.Is(err, sessions.ErrDeleted) {
		err = errors.Join(err, end(context.WithoutCancel(ctx), to, toKey))
	}
	return err
}

// end ends a session, if there is one that can be read.
func end(ctx context.Context, store sessions.Mover, key string) error {
	err := store.Export(ctx, key, func(sessions.Record) error { return nil })
	if errors.Is(err, sessions.ErrNotStored) || errors.Is(err, sessions.ErrCorrupt) || errors.Is(err, sessions.ErrDeleted) {
		return nil
	}
	return err
}

// looks is how often Get looks for a session that neither store has: it may pass from one
// to the other and back between the two looks, while instances have the stores the other
// way round.
const looks = 3

// Get loads a session, which it first moves if it is in the old store.
func (st *Store) Get(ctx context.Context, id string) (s *sessions.Session, err error) {
	if !st.IsValidKey(id) {
		return st.destination.Get(ctx, id)
	}
	for range looks {
		err := Move(ctx, st.destination, st.Key(id), st.from, st.from.Key(id))
		switch {
		case err == nil, errors.Is(err, sessions.ErrNotStored), errors.Is(err, sessions.ErrDeleted), errors.Is(err, sessions.ErrCorrupt):
		default:
			return nil, fmt.Errorf("handover: %w", err)
		}
		if s, err = st.destination.Get(ctx, id); err != nil || !s.New() {
			return s, err
		}
	}
	return s, nil
}

// Save stores the session in the new store. An ID that ends is ended in the old store as
// well, to which another process may have moved it back.
func (st *Store) Save(ctx context.Context, s *sessions.Session) error {
	return st.andEnd(ctx, s, func() error { return st.destination.Save(ctx, s) })
}

// SaveIfModified is Save when [sessions.Session.ShouldSave].
func (st *Store) SaveIfModified(ctx context.Context, s *sessions.Session) error {
	if !s.ShouldSave() {
		return nil
	}
	return st.Save(ctx, s)
}

// Update reads, changes and saves the session in one step; see [sessions.Updater].
func (st *Store) Update(ctx context.Context, s *sessions.Session, update func(*sessions.Session) error) error {
	return st.andEnd(ctx, s, func() error { return st.destination.Update(ctx, s, update) })
}

// Delete ends the session at once, in both stores.
func (st *Store) Delete(ctx context.Context, s *sessions.Session) error {
	if err := st.destination.Delete(ctx, s); err != nil {
		return err
	}
	return st.endOld(ctx, s.ID())
}

// andEnd carries out a save, and ends the session's ID before it if it has another one after.
func (st *Store) andEnd(ctx context.Context, s *sessions.Session, save func() error) error {
	id := s.ID()
	if err := save(); err != nil || s.ID() == id {
		return err
	}
	return st.endOld(ctx, id)
}

func (st *Store) endOld(ctx context.Context, id string) error {
	if err := end(ctx, st.from, st.from.Key(id)); err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	return nil
}

// KeyOf returns the key of the session in the new store, or its ID where that has no
// KeyOf.
func (st *Store) KeyOf(s *sessions.Session) (string, error) {
	if k, ok := st.destination.(interface {
		KeyOf(*sessions.Session) (string, error)
	}); ok {
		return k.KeyOf(s)
	}
	return s.ID(), nil
}

// List returns the sessions of the old store and then those of the new one, under the keys
// of each. One that is moved meanwhile may be there under both keys, and none is missed.
func (st *Store) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := make(map[string]bool)
		for _, store := range []Source{st.from, st.destination} {
			for key, err := range store.List(ctx) {
				if err == nil && seen[key] {
					continue
				}
				seen[key] = true
				if !yield(key, err) || err != nil && ctx.Err() != nil {
					return
				}
			}
		}
	}
}

// DeleteAll ends all sessions of both stores.
func (st *Store) DeleteAll(ctx context.Context) (int, error) {
	n, err := st.from.DeleteAll(ctx) // first, since sessions only leave it
	m, err2 := st.destination.DeleteAll(ctx)
	return n + m, errors.Join(err, err2)
}

// owners returns both stores, the old one first, as sessions only leave it. The error is
// [errors.ErrUnsupported] when one is no OwnerStore.
func (st *Store) owners() (both []sessions.OwnerStore, err error) {
	for _, store := range []Source{st.from, st.destination} {
		owners, ok := store.(sessions.OwnerStore)
		if !ok {
			return nil, fmt.Errorf("handover: a store is no OwnerStore: %w", errors.ErrUnsupported)
		}
		both = append(both, owners)
	}
	return both, nil
}

// ListOwner returns the sessions of an owner in both stores, each once.
func (st *Store) ListOwner(ctx context.Context, owner string) iter.Seq2[sessions.SessionInfo, error] {
	return func(yield func(sessions.SessionInfo, error) bool) {
		both, err := st.owners()
		if err != nil {
			yield(sessions.SessionInfo{}, err)
			return
		}
		seen := make(map[string]bool)
		for _, store := range both {
			for info, err := range store.ListOwner(ctx, owner) {
				if err == nil && seen[info.PublicID] {
					continue
				}
				seen[info.PublicID] = true
				if !yield(info, err) || err != nil && ctx.Err() != nil {
					return
				}
			}
		}
	}
}

// DeleteOwner ends the sessions of an owner in both stores, apart from those to keep.
func (st *Store) DeleteOwner(ctx context.Context, owner string, keep ...string) (n int, err error) {
	both, err := st.owners()
	for _, store := range both {
		m, ownErr := store.DeleteOwner(ctx, owner, keep...)
		n, err = n+m, errors.Join(err, ownErr)
	}
	return n, err
}

// DeleteOne ends one session of an owner, in the store that has it.
func (st *Store) DeleteOne(ctx context.Context, owner, publicID string) (ended bool, err error) {
	both, err := st.owners()
	for _, store := range both {
		own, ownErr := store.DeleteOne(ctx, owner, publicID)
		ended, err = ended || own, errors.Join(err, ownErr)
	}
	return ended, err
}
