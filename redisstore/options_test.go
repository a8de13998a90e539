package redisstore_test

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
	"github.com/sessfs/sessions/storetest"
)

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestNewListsAllThatIsWrong(t *testing.T) {
	_, err := redisstore.New(t.Context(), nil, redisstore.Options{
		Prefix: "a{b}", IDs: sessions.UUIDs(), IdleTimeout: -1, Lifetime: time.Millisecond, MaxSize: -1, WaitReplicas: -1, WaitTimeout: -1,
	})
	if err == nil {
		t.Fatal("it is accepted")
	}
	for _, want := range []string{"nil", "Prefix", "IDs", "IdleTimeout", "Lifetime", "MaxSize", "WaitReplicas", "WaitTimeout"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

func TestNewRefusesClients(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	auto, err := client.AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		client redis.Cmdable
		o      redisstore.Options
		want   string
	}{
		"a pipeline":                   {client.Pipeline(), redisstore.Options{}, "pipeline"},
		"a Ring":                       {redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": server.Addr}}), redisstore.Options{}, "Ring"},
		"reads from replicas":          {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr}, ReadOnly: true}), redisstore.Options{}, "ReadOnly"},
		"reads by latency":             {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr}, RouteByLatency: true}), redisstore.Options{}, "RouteByLatency"},
		"reads at random":              {redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr}, RouteRandomly: true}), redisstore.Options{}, "RouteRandomly"},
		"no Process":                   {struct{ redis.Cmdable }{client}, redisstore.Options{}, "Process"},
		"pipelining with WaitReplicas": {auto, redisstore.Options{WaitReplicas: 1}, "WaitReplicas"},
		"a WaitTimeout too long":       {client, redisstore.Options{WaitReplicas: 1, WaitTimeout: time.Hour}, "ReadTimeout"},
	} {
		if _, err := redisstore.New(t.Context(), row.client, row.o); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: the error is %v, want one with %q", name, err, row.want)
		}
	}
}

func TestNewRefusesAServerThatEvicts(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	client.ConfigSet(t.Context(), "maxmemory-policy", "volatile-lru")
	newStore(t, client, redisstore.Options{}) // without a limit
	client.ConfigSet(t.Context(), "maxmemory", "1gb")
	if _, err := redisstore.New(t.Context(), client, redisstore.Options{}); err == nil || !strings.Contains(err.Error(), "volatile-lru") {
		t.Errorf("the error is %v", err)
	}
	newStore(t, client, redisstore.Options{UnsafeAllowEviction: true})
	client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction")
	newStore(t, client, redisstore.Options{})
}

func TestNewRefusesAReplica(t *testing.T) {
	master := redistest.Start(t)
	replica := redistest.StartReplica(t, master)
	if _, err := redisstore.New(t.Context(), replica.Client(t), redisstore.Options{}); err == nil || !strings.Contains(err.Error(), "replica") {
		t.Errorf("the error is %v", err)
	}
}

// The rules of the package comment are enough, and the kit tries all that a user does.
func TestStoreKeepsEveryRuleWithTheLeastRights(t *testing.T) {
	server := redistest.Start(t)
	admin := server.Client(t)
	rules := []any{"acl", "setuser", "app", "on", ">pw", "~session:*", "-@all"}
	for _, rule := range strings.Fields(redisstore.ACL) {
		rules = append(rules, rule)
	}
	if err := admin.Do(t.Context(), rules...).Err(); err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, func(t *testing.T, k storetest.Options) sessions.SessionStore {
		o := redisstore.Options{IdleTimeout: k.IdleTimeout, MaxSessions: k.MaxSessions, Prefix: "session:" + t.Name() + ":"}
		client := server.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })
		return kitStore{newStore(t, client, o), client}
	})
	if log, err := admin.ACLLog(t.Context(), 100).Result(); err != nil || len(log) != 0 {
		for _, entry := range log {
			if entry.Object != "info" && entry.Object != "config|get" {
				t.Errorf("refused: %s %s %s, %v", entry.Reason, entry.Object, entry.Context, err)
			}
		}
	}
}

// Through the pipelining face go the same rules, but for List.
func TestPipeliningStore(t *testing.T) {
	server := redistest.Start(t)
	for name, face := range map[string]func(*redis.Client) (*redis.AutoPipeliner, error){
		"blocking": func(c *redis.Client) (*redis.AutoPipeliner, error) { return c.AutoPipeline() },
		"deferred, with the guide's options": func(c *redis.Client) (*redis.AutoPipeliner, error) {
			return c.AsyncAutoPipelineWithOptions(&redis.AutoPipelineOptions{MaxBatchSize: 16, MaxConcurrentBatches: 8, Unordered: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, k storetest.Options) sessions.SessionStore {
				client := server.Client(t)
				auto, err := face(client)
				if err != nil {
					t.Fatal(err)
				}
				o := redisstore.Options{IdleTimeout: k.IdleTimeout, MaxSessions: k.MaxSessions, Prefix: t.Name() + ":"}
				return listing{newStore(t, auto, o), newStore(t, client, o), client}
			})
			auto, err := face(server.Client(t))
			if err != nil {
				t.Fatal(err)
			}
			store := newStore(t, auto, redisstore.Options{})
			for key, err := range store.List(t.Context()) {
				if err == nil {
					t.Errorf("List gives %q", key)
				}
			}
			if n, err := store.DeleteAll(t.Context()); err == nil {
				t.Errorf("DeleteAll ended %d", n)
			}
		})
	}
}

// listing is a store with the List and DeleteAll of another one.
type listing struct {
	*redisstore.Store
	other *redisstore.Store
	face  io.Closer
}

func (l listing) List(ctx context.Context) iter.Seq2[string, error] { return l.other.List(ctx) }

func (l listing) DeleteAll(ctx context.Context) (int, error) { return l.other.DeleteAll(ctx) }

func (l listing) Close() error { return l.face.Close() }
