package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// refused tries all that changes a stored session, and a load when that is refused too. Each is
// an error within its context's deadline, and never one that tells of a session's end.
func refused(t *testing.T, store *redisstore.Store, s *sessions.Session, loads bool, want string) {
	t.Helper()
	calls := map[string]func(ctx context.Context) error{
		"Save":   func(ctx context.Context) error { s := s.Clone(); s.Set("a", 2); return store.Save(ctx, s) },
		"create": func(ctx context.Context) error { s := store.New(); s.Set("a", 2); return store.Save(ctx, s) },
		"Renew":  func(ctx context.Context) error { s := s.Clone(); s.Renew(); return store.Save(ctx, s) },
		"Delete": func(ctx context.Context) error { return store.Delete(ctx, s.Clone()) },
		"Touch":  func(ctx context.Context) error { _, err := store.Touch(ctx, s, 0); return err },
		"Update": func(ctx context.Context) error {
			return store.Update(ctx, s, func(s *sessions.Session) error { s.Set("a", 2); return nil })
		},
	}
	if loads {
		calls["Get"] = func(ctx context.Context) error { _, err := store.Get(ctx, s.ID()); return err }
	}
	for name, call := range calls {
		const deadline = 2 * time.Second
		ctx, cancel := context.WithTimeout(background, deadline)
		started := time.Now()
		err := call(ctx)
		cancel()
		if err == nil || errors.Is(err, sessions.ErrDeleted) || errors.Is(err, sessions.ErrCorrupt) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is %v, want %s", name, err, want)
		}
		if took := time.Since(started); took > deadline+3*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

// unharmed checks that a session is as it was, and that there is no other one.
func unharmed(t *testing.T, store *redisstore.Store, server *redistest.Server, id string) {
	t.Helper()
	if s := stored(t, store, id); s == nil || s.Get("a") != int64(1) || s.Len() != 1 {
		t.Error("the session is changed or gone")
	}
	if n := len(server.Keys(t)); n != 1 {
		t.Errorf("there are %d keys, want 1", n)
	}
}

func TestServerThatBecomesAReplicaRefusesChanges(t *testing.T) {
	server, other := redistest.Start(t), redistest.Start(t)
	client := server.Client(t)
	store := newStore(t, client, redisstore.Options{})
	s := saved(t, store, map[string]any{"a": 1})
	host, port, _ := strings.Cut(other.Addr, ":")
	other.Stop(t) // so that the replica keeps what it has
	defer other.Continue(t)
	if err := client.Do(background, "replicaof", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	refused(t, store, s, false, "READONLY")
	if err := client.Do(background, "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	unharmed(t, store, server, s.ID())
}

func TestServerThatRunsAScriptIsAnError(t *testing.T) {
	server := redistest.Start(t, "--busy-reply-threshold", "10")
	client := server.Client(t, func(o *redis.Options) { o.ReadTimeout = time.Minute })
	store := newStore(t, server.Client(t), redisstore.Options{})
	s := saved(t, store, map[string]any{"a": 1})
	go client.Eval(background, "while true do end", nil)
	for server.Client(t).Ping(background).Err() == nil {
		time.Sleep(time.Millisecond)
	}
	refused(t, store, s, true, "BUSY")
	if err := server.Client(t).ScriptKill(background).Err(); err != nil {
		t.Fatal(err)
	}
	awaitServer(t, store)
	unharmed(t, store, server, s.ID())
}

// A server that loads its data has no sessions yet, and does not tell so.
func TestServerThatLoadsIsAnError(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always", "--key-load-delay", "300")
	store := newStore(t, hasty(t, server), redisstore.Options{})
	s := saved(t, store, map[string]any{"a": 1})
	_, err := server.Client(t).Pipelined(background, func(pipe redis.Pipeliner) error {
		for i := range 4000 { // among which a server that loads answers
			pipe.Set(background, fmt.Sprint("other", i), i, 0)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	back := make(chan bool)
	go func() { server.Restart(t); close(back) }()
	refused := 0
	for {
		got, err := store.Get(background, s.ID())
		switch {
		case err == nil && got.New():
			t.Fatal("a load from a server that loads is a new session")
		case err != nil: // LOADING, or no connection yet
			refused++
		}
		select {
		case <-back:
			t.Logf("%d loads were refused; the others waited", refused)
			if s := stored(t, store, s.ID()); s == nil || s.Get("a") != int64(1) {
				t.Error("the session is gone or changed")
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func TestKeyOfAnotherTypeIsAnError(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	store := newStore(t, client, redisstore.Options{})
	s := saved(t, store, map[string]any{"a": 1})
	key, err := store.KeyOf(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Set(background, key, "text", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Get(background, s.ID()); err == nil {
		t.Errorf("a load is no error, new: %v", s.New())
	}
	s.Set("a", 2)
	if err := store.Save(background, s); err == nil || errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("a save is %v", err)
	}
	if text, err := client.Get(background, key).Result(); text != "text" {
		t.Errorf("the key is changed: %q, %v", text, err)
	}
}

// A server short of memory saves all or nothing, wherever the memory ends.
func TestServerShortOfMemorySavesAllOrNothing(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	store := newStore(t, client, redisstore.Options{})
	used := func() (n int) {
		info, err := client.InfoMap(background, "memory").Result()
		if err == nil {
			_, err = fmt.Sscan(info["Memory"]["used_memory"], &n)
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	fill := func(s *sessions.Session, n int) {
		if n%5 == 1 {
			s.Clear()
		}
		for i := range 2500 { // several commands of the script
			s.Set(fmt.Sprint("key", i), strings.Repeat("x", 1+n%60))
		}
		counter.Set(s, n)
	}
	s := store.New()
	fill(s, 0)
	if err := store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	done, full := 0, 0
	for n := 1; n < times(t, 60, 1000); n++ {
		limit := used() + rand.IntN(600_000) - 100_000
		if err := client.ConfigSet(background, "maxmemory", fmt.Sprint(limit)).Err(); err != nil {
			t.Fatal(err)
		}
		was, old := counter.Get(s), s.ID()
		fill(s, n)
		if n%3 == 0 {
			s.Renew()
		}
		err := store.Save(background, s)
		want := n
		if err == nil {
			done++
		} else if redis.HasErrorPrefix(err, "OOM") {
			full++
			want = was
		} else {
			t.Fatal(err)
		}
		got := stored(t, store, s.ID())
		if got == nil {
			t.Fatalf("after save %d (%v) the session is gone", n, err)
		}
		if k := counter.Get(got); k != want || got.Len() != 2501 || got.Get("key0") != strings.Repeat("x", 1+k%60) || got.Get("key2499") != got.Get("key0") {
			t.Fatalf("after save %d (%v) it is half of save %d, with %d values", n, err, k, got.Len())
		}
		if old != s.ID() && stored(t, store, old) != nil {
			t.Fatal("a renewed session is under its old ID as well")
		}
		if err := client.ConfigSet(background, "maxmemory", "0").Err(); err != nil {
			t.Fatal(err)
		}
		s = got
	}
	t.Logf("%d saves were carried out, %d were refused", done, full)
	if done == 0 || full == 0 {
		t.Error("the memory never ended, or always")
	}
}
