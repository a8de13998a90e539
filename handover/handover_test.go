package handover_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/handover"
	"github.com/sessfs/sessions/storetest"
)

func files(t testing.TB, o sessions.FilesystemOptions) *sessions.FilesystemSessionStore {
	t.Helper()
	if o.Path == "" {
		o.Path = t.TempDir()
	}
	store, err := sessions.NewFilesystemSessionStore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func newStore(t testing.TB, to handover.Destination, from handover.Source) *handover.Store {
	t.Helper()
	store, err := handover.New(to, from)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// saved stores a session of ann's and returns its ID.
func saved(t testing.TB, store sessions.SessionStore) string {
	t.Helper()
	s := store.New()
	s.SetOwner("ann")
	s.Set("n", 0)
	if err := store.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s.ID()
}

// holds reports whether a store has a session of the ID.
func holds(t testing.TB, store sessions.SessionStore, id string) bool {
	t.Helper()
	s, err := store.Get(context.WithoutCancel(t.Context()), id)
	if err != nil {
		t.Fatal(err)
	}
	return !s.New()
}

func TestStoreKeepsEveryRule(t *testing.T) {
	for name, from := range map[string]sessions.FilesystemOptions{"hashed": {HashNames: true}, "plain": {}} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, k storetest.Options) sessions.SessionStore {
				from := from
				from.IdleTimeout = k.IdleTimeout
				return newStore(t, files(t, sessions.FilesystemOptions{IdleTimeout: k.IdleTimeout, MaxSessions: k.MaxSessions}), files(t, from))
			})
		})
	}
}

// The kit over sessions that begin in the old store: each is moved when it is asked for.
func TestStoreKeepsEveryRuleForSessionsThatItMoves(t *testing.T) {
	storetest.Run(t, func(t *testing.T, k storetest.Options) sessions.SessionStore {
		if k.MaxSessions > 0 {
			return nil // the old store would have the limit
		}
		o := sessions.FilesystemOptions{IdleTimeout: k.IdleTimeout}
		from := files(t, o)
		return &beginsInOld{Store: newStore(t, files(t, o), from), from: from}
	})
}

// beginsInOld puts each session that was saved for the first time into the old store.
type beginsInOld struct {
	*handover.Store
	from *sessions.FilesystemSessionStore
	mu   sync.Mutex // two moves of one owner's sessions, there and back, would wait for each other
}

func (b *beginsInOld) Save(ctx context.Context, s *sessions.Session) error {
	fresh := s.New()
	err := b.Store.Save(ctx, s)
	if err != nil || !fresh || s.New() {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err = handover.Move(ctx, b.from, b.from.Key(s.ID()), b.Store, b.Store.Key(s.ID())); err != nil {
		return err
	}
	_, err = b.Get(ctx, s.ID())
	return err
}

func TestGetMovesTheSessionAsItIs(t *testing.T) {
	for _, test := range []struct{ to, from sessions.FilesystemOptions }{
		{sessions.FilesystemOptions{}, sessions.FilesystemOptions{}},
		{sessions.FilesystemOptions{}, sessions.FilesystemOptions{HashNames: true}},
		{sessions.FilesystemOptions{HashNames: true}, sessions.FilesystemOptions{Codec: sessions.Gob()}},
	} {
		to, from := files(t, test.to), files(t, test.from)
		s := from.New()
		s.Login("ann")
		s.Set("cart", "full")
		s.SetLifetime(time.Hour)
		if err := from.Save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		got, err := newStore(t, to, from).Get(t.Context(), s.ID())
		if err != nil {
			t.Fatal(err)
		}
		if got.New() || got.ID() != s.ID() || got.Get("cart") != "full" || got.Owner() != "ann" {
			t.Errorf("got %v", got)
		}
		if !got.Deadline().Equal(s.Deadline()) || !got.AuthenticatedAt().Equal(s.AuthenticatedAt()) {
			t.Errorf("got the times %v, %v, want %v, %v", got.Deadline(), got.AuthenticatedAt(), s.Deadline(), s.AuthenticatedAt())
		}
		if holds(t, from, s.ID()) || !holds(t, to, s.ID()) {
			t.Error("it is not in the new store alone")
		}
	}
}

// A process that dies in the middle of a move leaves the session in both stores.
func inBoth(t *testing.T, to, from sessions.Mover, id string) {
	t.Helper()
	died := errors.New("died")
	err := from.Export(t.Context(), from.Key(id), func(rec sessions.Record) error {
		return errors.Join(to.Import(t.Context(), to.Key(id), rec), died)
	})
	if err.Error() != "died" {
		t.Fatal(err)
	}
}

func TestSessionOfAMoveThatWasInterruptedDoesNotComeBack(t *testing.T) {
	for name, end := range map[string]func(*handover.Store, *sessions.Session) error{
		"Delete":  func(st *handover.Store, s *sessions.Session) error { return st.Delete(t.Context(), s) },
		"Destroy": func(st *handover.Store, s *sessions.Session) error { s.Destroy(); return st.Save(t.Context(), s) },
		"Renew":   func(st *handover.Store, s *sessions.Session) error { s.Renew(); return st.Save(t.Context(), s) },
		"Update": func(st *handover.Store, s *sessions.Session) error {
			return st.Update(t.Context(), s, func(s *sessions.Session) error { s.Login("bob"); return nil })
		},
		"DeleteOwner": func(st *handover.Store, _ *sessions.Session) error {
			_, err := st.DeleteOwner(t.Context(), "ann")
			return err
		},
		"DeleteAll": func(st *handover.Store, _ *sessions.Session) error { _, err := st.DeleteAll(t.Context()); return err },
	} {
		t.Run(name, func(t *testing.T) {
			to, from := files(t, sessions.FilesystemOptions{}), files(t, sessions.FilesystemOptions{})
			store, id := newStore(t, to, from), saved(t, from)
			inBoth(t, to, from, id)
			var s *sessions.Session
			if !strings.HasPrefix(name, "Delete") || name == "Delete" { // the others end what no request has
				var err error
				if s, err = store.Get(t.Context(), id); err != nil || s.New() {
					t.Fatal(s, err)
				}
			}
			if err := end(store, s); err != nil {
				t.Fatal(err)
			}
			if holds(t, store, id) || holds(t, from, id) {
				t.Error("it came back")
			}
		})
	}
}

// A session in both stores is that of the new one, where it may have gone on.
func TestGetKeepsTheSessionOfTheNewStore(t *testing.T) {
	to, from := files(t, sessions.FilesystemOptions{}), files(t, sessions.FilesystemOptions{})
	id := saved(t, from)
	inBoth(t, to, from, id)
	s, err := to.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	s.Set("n", 7)
	if err := to.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if s, err = newStore(t, to, from).Get(t.Context(), id); err != nil || s.Get("n") != int64(7) {
		t.Errorf("got %v, %v", s, err)
	}
	if holds(t, from, id) {
		t.Error("it is in the old store")
	}
}

// Stores with the same directories are those of several processes.
func TestRequestsDuringTheSwitchFindEachSessionAndLoseNothing(t *testing.T) {
	const visitors, requests, counts = 20, 4, 5
	oldDir, newDir := t.TempDir(), t.TempDir()
	var ids []string
	old := files(t, sessions.FilesystemOptions{Path: oldDir})
	for range visitors {
		ids = append(ids, saved(t, old))
	}
	var wg sync.WaitGroup
	for range requests {
		store := newStore(t, files(t, sessions.FilesystemOptions{Path: newDir}), files(t, sessions.FilesystemOptions{Path: oldDir}))
		for _, id := range ids {
			wg.Go(func() {
				for range counts {
					s, err := store.Get(t.Context(), id)
					if err == nil && s.New() {
						err = errors.New("a visitor was logged out")
					}
					if err == nil {
						err = store.Update(t.Context(), s, func(s *sessions.Session) error {
							n, _ := s.Get("n").(int64)
							s.Set("n", n+1)
							return nil
						})
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	store := newStore(t, files(t, sessions.FilesystemOptions{Path: newDir}), old)
	for _, id := range ids {
		if s, err := store.Get(t.Context(), id); err != nil || s.Get("n") != int64(requests*counts) {
			t.Errorf("got %v, %v, want %d", s.Get("n"), err, requests*counts)
		}
	}
}

func TestLogoutDuringTheSwitchIsFinal(t *testing.T) {
	oldDir, newDir := t.TempDir(), t.TempDir()
	open := func() *handover.Store {
		return newStore(t, files(t, sessions.FilesystemOptions{Path: newDir}), files(t, sessions.FilesystemOptions{Path: oldDir}))
	}
	a, b, c := open(), open(), open()
	old := files(t, sessions.FilesystemOptions{Path: oldDir})
	for round := range 200 {
		id := saved(t, old)
		var wg sync.WaitGroup
		for _, store := range []*handover.Store{a, b} {
			wg.Go(func() {
				s, err := store.Get(t.Context(), id)
				if err == nil {
					s.Set("late", true)
					err = store.SaveIfModified(t.Context(), s)
				}
				if err != nil && !errors.Is(err, sessions.ErrDeleted) {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			var err error
			if round%2 == 0 {
				_, err = c.DeleteOwner(t.Context(), "ann")
			} else {
				var s *sessions.Session
				if s, err = c.Get(t.Context(), id); err == nil {
					err = c.Delete(t.Context(), s)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if holds(t, a, id) || holds(t, old, id) {
			t.Fatalf("round %d: the session came back", round)
		}
	}
}

func TestGetOfAFailingStoreIsNoNewSession(t *testing.T) {
	to, from := files(t, sessions.FilesystemOptions{}), files(t, sessions.FilesystemOptions{})
	id := saved(t, from)
	store := newStore(t, to, from)
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Get(t.Context(), id); err == nil {
		t.Errorf("got %v, want an error", s)
	}
	if s, err := store.Get(t.Context(), "none"); err != nil || !s.New() {
		t.Errorf("got %v, %v, want a new session for an invalid ID", s, err)
	}
}

func TestNewRefusesStoresThatDoNotFit(t *testing.T) {
	store := files(t, sessions.FilesystemOptions{})
	for want, from := range map[string]handover.Source{
		"different forms": files(t, sessions.FilesystemOptions{IDs: sessions.RandomIDs(20)}),
		"the same":        store,
		"nil":             nil,
	} {
		if _, err := handover.New(store, from); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestOwnersOfAStoreWithoutThemAreUnsupported(t *testing.T) {
	store := newStore(t, files(t, sessions.FilesystemOptions{}), struct{ handover.Source }{files(t, sessions.FilesystemOptions{})})
	if _, err := store.DeleteOwner(t.Context(), "ann"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("DeleteOwner: got %v", err)
	}
	if _, err := store.DeleteOne(t.Context(), "ann", "x"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("DeleteOne: got %v", err)
	}
	for _, err := range store.ListOwner(t.Context(), "ann") {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("ListOwner: got %v", err)
		}
	}
}
