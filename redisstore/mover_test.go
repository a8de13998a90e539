package redisstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/handover"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
	"github.com/sessfs/sessions/storetest"
)

func newFiles(t *testing.T, o sessions.FilesystemOptions) *sessions.FilesystemSessionStore {
	t.Helper()
	if o.Path == "" {
		o.Path = t.TempDir()
	}
	files, err := sessions.NewFilesystemSessionStore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	return files
}

func newHandover(t *testing.T, to handover.Destination, from handover.Source) *handover.Store {
	t.Helper()
	store, err := handover.New(to, from)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func holds(t *testing.T, store sessions.SessionStore, id string) bool {
	t.Helper()
	s, err := store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return !s.New()
}

func TestHandoverKeepsEveryRule(t *testing.T) {
	server := redistest.Start(t)
	for name, make := range map[string]func(files *sessions.FilesystemSessionStore, redis *redisstore.Store) (handover.Destination, handover.Source){
		"to Redis": func(f *sessions.FilesystemSessionStore, r *redisstore.Store) (handover.Destination, handover.Source) {
			return r, f
		},
		"from Redis": func(f *sessions.FilesystemSessionStore, r *redisstore.Store) (handover.Destination, handover.Source) {
			return f, r
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, k storetest.Options) sessions.SessionStore {
				to, from := make(newFiles(t, sessions.FilesystemOptions{IdleTimeout: k.IdleTimeout, MaxSessions: k.MaxSessions}),
					newStore(t, server.Client(t), redisstore.Options{IdleTimeout: k.IdleTimeout, MaxSessions: k.MaxSessions}))
				return newHandover(t, to, from)
			})
		})
	}
}

// There and back: as it was, under the same ID, with times that go on, under other keys.
func TestSessionMovesToRedisAndBackAsItIs(t *testing.T) {
	client := redistest.Start(t).Client(t)
	for name, o := range map[string]redisstore.Options{"clear": {}, "sealed": {Sealer: keyRing(t)}} {
		t.Run(name, func(t *testing.T) {
			files, store := newFiles(t, sessions.FilesystemOptions{HashNames: true, Sealer: keyRing(t)}), newStore(t, client, o)
			s := files.New()
			s.Login("ann")
			s.Set("cart", []string{"a", "b"})
			s.SetMeta("a phone")
			s.SetIdleTimeout(2 * time.Hour)
			if err := files.Save(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			began := age(t, files, s.ID(), time.Hour)
			check := func(store sessions.SessionStore) {
				t.Helper()
				got, err := store.Get(t.Context(), s.ID())
				if err != nil || got.New() {
					t.Fatal(got, err)
				}
				if got.Owner() != "ann" || got.Meta() != "a phone" || len(got.Get("cart").([]any)) != 2 || got.IdleTimeout() != 2*time.Hour {
					t.Errorf("got %v", got)
				}
				for attribute, off := range map[string]time.Duration{
					"Created":         got.Created().Sub(began),
					"AuthenticatedAt": got.AuthenticatedAt().Sub(s.AuthenticatedAt()),
					"IdleDeadline":    time.Until(got.IdleDeadline()) - time.Hour,
				} {
					if off.Abs() > 10*time.Second {
						t.Errorf("%s is off by %v", attribute, off)
					}
				}
			}
			check(newHandover(t, store, files))
			check(store)
			if left := client.PTTL(t.Context(), store.Key(s.ID())).Val(); left < 59*time.Minute || left > time.Hour {
				t.Errorf("the server ends it in %v, want an hour", left)
			}
			check(newHandover(t, files, store))
			check(files)
			if n := len(listOf(t, store)); n != 0 {
				t.Errorf("%d sessions are left on the server", n)
			}
		})
	}
}

// age makes a session one that was made and last used some time ago, and returns when it was made.
func age(t *testing.T, store sessions.Mover, id string, d time.Duration) time.Time {
	t.Helper()
	var rec sessions.Record
	key := store.Key(id)
	if err := store.Export(t.Context(), key, func(r sessions.Record) error { rec = r; return nil }); err != nil {
		t.Fatal(err)
	}
	rec.Created, rec.Used = rec.Created.Add(-d), rec.Used.Add(-d)
	if err := store.Import(t.Context(), key, rec); err != nil {
		t.Fatal(err)
	}
	return rec.Created
}

func listOf(t *testing.T, store sessions.SessionStore) (keys []string) {
	t.Helper()
	for key, err := range store.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

// An instance that knows Redis alone may save or end a session while it is passed on.
func TestExportOfASessionThatChangesIsTakenBack(t *testing.T) {
	store, files := newStore(t, redistest.Start(t).Client(t), redisstore.Options{}), newFiles(t, sessions.FilesystemOptions{})
	for name, end := range map[string]func(*sessions.Session) error{
		"saved": func(s *sessions.Session) error { s.Set("a", 2); return store.Save(t.Context(), s) },
		"ended": func(s *sessions.Session) error { return store.Delete(t.Context(), s) },
	} {
		s := store.New()
		s.Set("a", 1)
		if err := store.Save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		from := interrupted{store, func() { _ = end(s) }}
		if err := handover.Move(t.Context(), files, files.Key(s.ID()), from, store.Key(s.ID())); !errors.Is(err, sessions.ErrDeleted) {
			t.Errorf("%s: got %v, want ErrDeleted", name, err)
		}
		if holds(t, files, s.ID()) {
			t.Errorf("%s: the import was not taken back", name)
		}
		if got, want := holds(t, store, s.ID()), name == "saved"; got != want {
			t.Errorf("%s: the server has it: %v, want %v", name, got, want)
		}
	}
}

type interrupted struct {
	*redisstore.Store
	then func()
}

func (i interrupted) Export(ctx context.Context, key string, f func(sessions.Record) error) error {
	return i.Store.Export(ctx, key, func(rec sessions.Record) error {
		err := f(rec)
		i.then()
		return err
	})
}

// Instances with the stores one way round and the other: the second step of a rollout.
func TestInstancesInTheMiddleOfARolloutFindEachSession(t *testing.T) {
	const visitors, requests = 8, 25
	server, dir := redistest.Start(t), t.TempDir()
	var instances []*handover.Store
	for i := range 4 {
		files := newFiles(t, sessions.FilesystemOptions{Path: dir})
		store := newStore(t, server.Client(t), redisstore.Options{Prefix: "session:"})
		if i%2 == 0 {
			instances = append(instances, newHandover(t, files, store))
		} else {
			instances = append(instances, newHandover(t, store, files))
		}
	}
	var wg sync.WaitGroup
	for range visitors {
		s := instances[0].New()
		s.SetOwner("ann")
		if err := instances[0].Save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			wg.Go(func() {
				for range requests {
					found, err := instances[rand.N(len(instances))].Get(t.Context(), s.ID())
					if err != nil || found.New() {
						t.Errorf("got %v, %v, want the session", found, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	n, err := instances[1].DeleteOwner(t.Context(), "ann")
	if left := len(listOf(t, instances[1])); err != nil || n != visitors || left != 0 {
		t.Errorf("ended %d sessions, %v, and %d are left; want %d", n, err, left, visitors)
	}
}

// A move is no login: it neither ends the owner's other sessions nor is it refused.
func TestMoveIsNotLimitedByMaxSessions(t *testing.T) {
	server := redistest.Start(t)
	for _, refuse := range []bool{false, true} {
		files := newFiles(t, sessions.FilesystemOptions{})
		store := newStore(t, server.Client(t), redisstore.Options{MaxSessions: 1, RefuseLogin: refuse})
		both := newHandover(t, store, files)
		for range 3 {
			s := files.New()
			s.Login("ann")
			if err := files.Save(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			age(t, files, s.ID(), time.Hour)
			if !holds(t, both, s.ID()) {
				t.Error("a session was lost")
			}
		}
		if n := len(listOf(t, store)); n != 3 {
			t.Errorf("the server has %d sessions, want 3", n)
		}
	}
}

func TestSessionsMoveToAClusterAndBack(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	files, store := newFiles(t, sessions.FilesystemOptions{}), newStore(t, cluster.Client(t), redisstore.Options{})
	var ids []string
	for range 20 {
		s := files.New()
		s.SetOwner("ann")
		if err := files.Save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID())
	}
	for _, both := range []*handover.Store{newHandover(t, store, files), newHandover(t, files, store)} {
		for _, id := range ids {
			if !holds(t, both, id) {
				t.Error("a session was lost")
			}
		}
	}
	if n := len(listOf(t, store)); n != 0 {
		t.Errorf("the cluster has %d sessions, want none", n)
	}
}
