package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
	"github.com/sessfs/sessions/securecookie"
)

func TestSealedSessionShowsTheServerNothing(t *testing.T) {
	store, proxy, _ := proxied(t, redisstore.Options{Sealer: keyRing(t)})
	s := store.New()
	s.Login("ann@example.com")
	s.SetMeta("her-device")
	s.Set("hiddenkey", "hiddenvalue")
	save(t, store, s)
	s.Set("hiddenkey", "hiddenvalue2")
	save(t, store, s)
	for _, command := range proxy.Commands() {
		for _, text := range []string{"ann", "device", "hidden"} {
			if command[0] != "eval" && strings.Contains(strings.Join(command, " "), text) {
				t.Errorf("%s has %q", command[0], text)
			}
		}
	}
}

func TestSealIsBoundToItsSession(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	store := newStore(t, client, redisstore.Options{Sealer: keyRing(t), Logger: discard})
	s := saved(t, store, "a", "mine")
	theirs := server.Keys(t)[0]
	mine := saved(t, store, "a", "attacker's")
	for _, key := range server.Keys(t) {
		if key != theirs {
			all, err := client.HGetAll(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			client.HSet(t.Context(), theirs, all)
		}
	}
	if got := get(t, store, s.ID()); !got.New() {
		t.Errorf("another session's seal opens: a = %v", got.Get("a"))
	}
	if got := get(t, store, mine.ID()); got.Get("a") != "attacker's" {
		t.Error("the other one does not open any more")
	}
}

func TestServerCannotProlongASealedSession(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	store := newStore(t, client, redisstore.Options{Sealer: keyRing(t), Lifetime: time.Second})
	s := saved(t, store)
	key := server.Keys(t)[0]
	client.Persist(t.Context(), key)
	client.HSet(t.Context(), key, "s", "1 json "+fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()), "l", "999999999")
	time.Sleep(time.Second)
	if got := get(t, store, s.ID()); !got.New() {
		t.Error("it lives on")
	}
}

// What an old key has sealed is sealed under the first one by the next save or touch.
func TestSealedSessionsFollowTheFirstKey(t *testing.T) {
	for name, act := range map[string]func(store *redisstore.Store, s *sessions.Session) error{
		"a save": func(store *redisstore.Store, s *sessions.Session) error {
			s.Set("b", 1)
			return store.Save(t.Context(), s)
		},
		"a save of nothing": func(store *redisstore.Store, s *sessions.Session) error { return store.Save(t.Context(), s) },
		"a touch": func(store *redisstore.Store, s *sessions.Session) error {
			_, err := store.Touch(t.Context(), s, 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			first, second := securecookie.GenerateKey(), securecookie.GenerateKey()
			stores := make(map[string]*redisstore.Store)
			for name, keys := range map[string][]securecookie.Key{"old": {first}, "both": {second, first}, "new": {second}} {
				stores[name] = newStore(t, server.Client(t), redisstore.Options{Prefix: "test:", Sealer: keyRing(t, keys...)})
			}
			s := saved(t, stores["old"], "a", 1)
			s = get(t, stores["both"], s.ID())
			if err := act(stores["both"], s); err != nil {
				t.Fatal(err)
			}
			got := get(t, stores["new"], s.ID())
			if got.New() || got.Get("a") != int64(1) {
				t.Error("the old key cannot go")
			}
			// The session that was loaded before goes on.
			s.Set("c", 1)
			save(t, stores["both"], s)
		})
	}
}

// Sessions of another key, or from before a Sealer was switched on or off.
func TestSessionThatDoesNotOpenStaysForOthers(t *testing.T) {
	server := redistest.Start(t)
	ring := keyRing(t)
	for name, sealers := range map[string][2]sessions.Sealer{
		"another key": {ring, keyRing(t)}, "switched on": {nil, ring}, "switched off": {ring, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var stores []*redisstore.Store
			for _, sealer := range sealers {
				stores = append(stores, newStore(t, server.Client(t), redisstore.Options{Prefix: name + ":", Sealer: sealer, Logger: discard}))
			}
			ahead, behind := stores[0], stores[1]
			s := saved(t, ahead, "a", 1)
			if got := get(t, behind, s.ID()); !got.New() {
				t.Error("it opens")
			}
			if got := get(t, ahead, s.ID()); got.Get("a") != int64(1) {
				t.Error("it is gone for the process that has the key")
			}
			out := get(t, behind, s.ID())
			out.Login("ann")
			save(t, behind, out)
			if got := get(t, ahead, s.ID()); !got.New() {
				t.Error("a login has not ended it")
			}
		})
	}
}

func TestSealedRecordThatIsCutIsDamaged(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	ring := keyRing(t)
	store := newStore(t, client, redisstore.Options{Sealer: ring, Logger: discard})
	s := saved(t, store, "a", 1)
	key := server.Keys(t)[0]
	for _, text := range [][]byte{nil, {0x80}, {5, 'a'}, {1, 's'}, bytes.Repeat([]byte{0xff}, 20)} {
		sealed, err := ring.Seal(text, "redisstore\n"+s.PublicID())
		if err != nil {
			t.Fatal(err)
		}
		client.HSet(t.Context(), key, "d", sealed)
		if got := get(t, store, s.ID()); !got.New() {
			t.Errorf("%x is a session", text)
		}
	}
}

// The time of a session that is sealed begins when it is made, not when it is saved.
func TestSealedSessionThatEndsBeforeItIsSaved(t *testing.T) {
	store := newStore(t, redistest.Start(t).Client(t), redisstore.Options{Sealer: keyRing(t)})
	s := store.New()
	s.Set("a", 1)
	s.SetLifetime(time.Second)
	time.Sleep(1100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := store.Save(ctx, s); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("its save is %v, want ErrDeleted", err)
	}
}
