package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// uses tries everything that asks the server for a stored session. A call is an error within
// its context's deadline, which carries neither ID nor value, and changes nothing.
func uses(t *testing.T, store *redisstore.Store, s *sessions.Session) {
	t.Helper()
	for name, use := range map[string]func(ctx context.Context) error{
		"Get":  func(ctx context.Context) error { _, err := store.Get(ctx, s.ID()); return err },
		"Save": func(ctx context.Context) error { s := s.Clone(); s.Set("a", "secret"); return store.Save(ctx, s) },
		"Save of a new session": func(ctx context.Context) error {
			s := store.New()
			s.Set("a", "secret")
			return store.Save(ctx, s)
		},
		"Update": func(ctx context.Context) error {
			return store.Update(ctx, s, func(s *sessions.Session) error { s.Set("a", "secret"); return nil })
		},
		"Touch":  func(ctx context.Context) error { _, err := store.Touch(ctx, s, 0); return err },
		"Delete": func(ctx context.Context) error { return store.Delete(ctx, s.Clone()) },
		"Renew":  func(ctx context.Context) error { s := s.Clone(); s.Renew(); return store.Save(ctx, s) },
	} {
		const deadline = 500 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		started := time.Now()
		err := use(ctx)
		cancel()
		switch {
		case err == nil || errors.Is(err, sessions.ErrDeleted) || errors.Is(err, sessions.ErrCorrupt):
			t.Errorf("%s is %v, want an error of the system", name, err)
		case strings.Contains(err.Error(), s.ID()[8:]) || strings.Contains(err.Error(), s.PublicID()) || strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error has an ID or a value", name)
		}
		if took := time.Since(started); took > deadline+2*time.Second {
			t.Errorf("%s took %v with a deadline of %v", name, took, deadline)
		}
	}
	if s.Modified() || s.New() {
		t.Error("the session is changed")
	}
}

func TestErrorsOfTheServerAreErrors(t *testing.T) {
	for name, reply := range map[string]string{
		"it starts":            "-LOADING Redis is loading the dataset in memory\r\n",
		"a script runs":        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
		"it is a replica":      "-READONLY You can't write against a read only replica.\r\n",
		"its memory is full":   "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
		"the disk is full":     "-MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.\r\n",
		"no master":            "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
		"a part of it is down": "-CLUSTERDOWN The cluster is down\r\n",
		"the slot moves":       "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
		"no permission":        "-NOPERM this user has no permissions to run this command\r\n",
		"no password":          "-NOAUTH Authentication required.\r\n",
		"another type":         "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
		"no replicas":          "-NOREPLICAS Not enough good replicas to write.\r\n",
		"a text":               "+QUEUED\r\n",
		"a list":               "*1\r\n:7\r\n",
		"nothing":              "_\r\n",
		"a negative number":    ":-77\r\n",
		"no protocol":          "HTTP/1.1 400 Bad Request\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, proxy, server := proxied(t, redisstore.Options{Prefix: "test:"})
			s := saved(t, store, "a", 1)
			proxy.Reply(func([]string) string { return reply })
			uses(t, store, s)
			proxy.Reply(nil)
			if s, keys := get(t, store, s.ID()), server.Keys(t); s.Get("a") != int64(1) || len(keys) != 1 {
				t.Errorf("the session is changed, or %d keys are there", len(keys))
			}
		})
	}
}

func TestServerThatIsDownIsAnError(t *testing.T) {
	server := redistest.Start(t)
	store := newStore(t, server.Client(t), redisstore.Options{})
	s := saved(t, store, "a", 1)
	server.Kill()
	uses(t, store, s)
	for _, err := range store.List(t.Context()) {
		if err == nil {
			t.Error("List has no error")
		}
	}
	if _, err := store.DeleteAll(t.Context()); err == nil {
		t.Error("DeleteAll has no error")
	}
}

// A server that hangs, with clients that keep to contexts by themselves and others.
func TestServerThatHangsIsAnErrorWithinTheDeadline(t *testing.T) {
	for name, face := range map[string]func(*redis.Client) (redis.Cmdable, error){
		"one command after the other": func(c *redis.Client) (redis.Cmdable, error) { return c, nil },
		"AutoPipeline":                func(c *redis.Client) (redis.Cmdable, error) { return c.AutoPipeline() },
		"AsyncAutoPipeline":           func(c *redis.Client) (redis.Cmdable, error) { return c.AsyncAutoPipeline() },
	} {
		hangs(t, name, face, true)
		hangs(t, name, face, false)
	}
}

func hangs(t *testing.T, name string, face func(*redis.Client) (redis.Cmdable, error), obeys bool) {
	t.Run(fmt.Sprintf("%s, ContextTimeoutEnabled=%v", name, obeys), func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		client := server.Client(t, func(o *redis.Options) { o.ContextTimeoutEnabled, o.ReadTimeout = obeys, 10*time.Second })
		c, err := face(client)
		if err != nil {
			t.Fatal(err)
		}
		store := newStore(t, c, redisstore.Options{})
		s := saved(t, store, "a", 1)
		server.Stop(t)
		defer server.Continue(t)
		uses(t, store, s)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		started := time.Now()
		for _, err := range store.List(ctx) {
			if err == nil {
				t.Error("List has no error")
			}
		}
		if _, err := store.DeleteAll(ctx); err == nil {
			t.Error("DeleteAll has no error")
		}
		if took := time.Since(started); took > 2*time.Second {
			t.Errorf("they took %v", took)
		}
	})
}

// A pipelining face sends commands whatever their context.
func TestContextThatHasEndedSendsNothing(t *testing.T) {
	proxy := redistest.StartProxy(t, redistest.Start(t).Addr)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
	t.Cleanup(func() { client.Close() })
	auto, err := client.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(t, auto, redisstore.Options{})
	s := saved(t, store, "a", 1)
	proxy.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if _, err := store.Touch(ctx, s, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("Touch is %v, want %v", err, context.Canceled)
		}
		for _, err := range store.ListOwner(ctx, "ann") {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("ListOwner is %v, want %v", err, context.Canceled)
			}
		}
	}
	get(t, store, s.ID())
	if got := strings.Join(names(proxy), " "); got != "hgetall" {
		t.Errorf("the commands %q, want one load", got)
	}
}

// Without memory a server refuses the saves that need some; sessions are read, renewed and
// ended, and none is ever half saved.
func TestServerWithoutMemory(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	store := newStore(t, client, redisstore.Options{})
	s, ended := saved(t, store, "a", 1, "b", 1), saved(t, store)
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	s.Set("a", 2)
	s.Set("b", 2)
	if err := store.Save(t.Context(), s); !redis.HasErrorPrefix(err, "OOM") {
		t.Errorf("a save is %v, want OOM", err)
	}
	if got := get(t, store, s.ID()); got.Get("a") != int64(1) || got.Get("b") != int64(1) {
		t.Errorf("half a save: a = %v, b = %v", got.Get("a"), got.Get("b"))
	}
	old := s.ID()
	s.Renew()
	save(t, store, s)
	if got := get(t, store, s.ID()); got.Get("a") != int64(2) || got.Get("b") != int64(2) || !get(t, store, old).New() {
		t.Errorf("half a renewal: a = %v, b = %v", got.Get("a"), got.Get("b"))
	}
	ended.Destroy()
	save(t, store, ended)
	s.Set("c", 1)
	s.Clear()
	s.Set("d", 1)
	save(t, store, s) // HDEL needs none, and what comes after it is let pass
	if got := get(t, store, s.ID()); got.Len() != 1 || got.Get("d") != int64(1) {
		t.Errorf("half a clear: %d values", got.Len())
	}
}

func TestHashThatIsNoSessionIsDamaged(t *testing.T) {
	for name, harm := range map[string]func(ctx context.Context, c *redis.Client, key string) error{
		"without its standing": func(ctx context.Context, c *redis.Client, key string) error { return c.HDel(ctx, key, "s").Err() },
		"without its versions": func(ctx context.Context, c *redis.Client, key string) error { return c.HDel(ctx, key, "v").Err() },
		"with a text for times": func(ctx context.Context, c *redis.Client, key string) error {
			return c.HSet(ctx, key, "v", "x y").Err()
		},
		"with a bad timeout": func(ctx context.Context, c *redis.Client, key string) error { return c.HSet(ctx, key, "i", "-1").Err() },
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			client := server.Client(t)
			var log strings.Builder
			store := newStore(t, client, redisstore.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			s := saved(t, store, "a", 1)
			key := server.Keys(t)[0]
			if err := harm(t.Context(), client, key); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if got := get(t, store, s.ID()); !got.New() || got.ID() == s.ID() {
					t.Error("it is loaded")
				}
			}
			if n := strings.Count(log.String(), "cannot be read"); n != 1 || strings.Contains(log.String(), s.ID()[8:]) {
				t.Errorf("%d lines in the log, or the ID", n)
			}
			s.Set("a", 2)
			if err := store.Save(t.Context(), s); name[:7] == "without" && !errors.Is(err, sessions.ErrCorrupt) {
				t.Errorf("a save is %v, want ErrCorrupt", err)
			}
			out := get(t, store, s.ID())
			out.Destroy()
			save(t, store, out)
			if keys := server.Keys(t); len(keys) != 0 {
				t.Errorf("after a logout %d keys are left", len(keys))
			}
		})
	}
}

// A session of another release is not lost.
func TestSessionOfAnotherFormatIsAnError(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	store := newStore(t, client, redisstore.Options{})
	s := saved(t, store, "a", 1)
	client.HSet(t.Context(), server.Keys(t)[0], "s", "2 json 1 new")
	if got, err := store.Get(t.Context(), s.ID()); err == nil {
		t.Errorf("it is loaded, new: %v", got.New())
	}
}

func TestLargeSessions(t *testing.T) {
	for _, sealer := range []sessions.Sealer{nil, keyRing(t)} {
		server := redistest.Start(t)
		store := newStore(t, server.Client(t), redisstore.Options{Sealer: sealer})
		s := store.New()
		for i := range 5000 {
			s.Set(fmt.Sprintf("key%04d", i), i)
		}
		save(t, store, s)
		s = get(t, store, s.ID())
		if s.Len() != 5000 || s.Get("key4999") != int64(4999) {
			t.Errorf("%d values came back of 5000", s.Len())
		}
		for i := range 4000 {
			s.Delete(fmt.Sprintf("key%04d", i))
		}
		save(t, store, s)
		if n := get(t, store, s.ID()).Len(); n != 1000 {
			t.Errorf("%d values are left, want 1000", n)
		}
		s.Clear()
		s.Set("big", strings.Repeat("x", 1<<20-200))
		save(t, store, s)
		if got := get(t, store, s.ID()); got.Len() != 1 || len(got.Get("big").(string)) != 1<<20-200 {
			t.Error("a megabyte did not come back")
		}
		s.Set("more", strings.Repeat("x", 300))
		if err := store.Save(t.Context(), s); !errors.Is(err, sessions.ErrTooLarge) {
			t.Errorf("a save of more is %v, want ErrTooLarge", err)
		}
		s.Delete("more")
		save(t, store, s)
	}
}
