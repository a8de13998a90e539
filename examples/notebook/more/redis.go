package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/examples/notebook/internal/notebook"
	"github.com/sessfs/sessions/redisstore"
)

// openTimeout is for the questions to the server when the program starts.
const openTimeout = 5 * time.Second

// openRedis returns the store on the server of a URL. Any number of instances may have
// the same one.
func openRedis(url string, observe func(context.Context, sessions.Event)) (notebook.Store, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return notebook.Store{}, fmt.Errorf("-store: %w", err)
	}
	o.ContextTimeoutEnabled = true
	client := redis.NewClient(o)
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	store, err := redisstore.New(ctx, client, redisstore.Options{
		Prefix:      "notebook:",
		IdleTimeout: notebook.IdleTimeout,
		Lifetime:    notebook.Lifetime,
		Observe:     observe,
	})
	if err != nil {
		return notebook.Store{}, err
	}
	carrier, err := notebook.Carry(store)
	show := func(_ http.ResponseWriter, r *http.Request, s *sessions.Session) (notebook.Stored, error) {
		key, err := store.KeyOf(s)
		if err != nil {
			return notebook.Stored{}, err
		}
		return readHash(r.Context(), client, key)
	}
	return notebook.Store{
		Name:    "Redis",
		Place:   fmt.Sprintf("%s, database %d", o.Addr, o.DB), // without the password
		Form:    "A hash, each value a field of its own. A save sends the fields that its request has changed, and a script on the server merges them. The key has 4 of the 32 bytes of your session ID, and its SHA-256.",
		Carrier: carrier,
		Owners:  store,
		Merges:  true,
		Show:    show,
	}, err
}

// readHash shows the hash of a session. The package comment of redisstore has the
// format.
func readHash(ctx context.Context, client *redis.Client, key string) (notebook.Stored, error) {
	pipe := client.Pipeline()
	hash, size := pipe.HGetAll(ctx, key), pipe.MemoryUsage(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil {
		return notebook.Stored{}, err
	}
	used, _, _ := strings.Cut(hash.Val()["v"], " ")
	ms, err := strconv.ParseInt(used, 10, 64)
	if err != nil {
		return notebook.Stored{}, fmt.Errorf("the time of last use: %w", err)
	}
	lines := []string{key, ""}
	for _, field := range slices.Sorted(maps.Keys(hash.Val())) {
		lines = append(lines, notebook.Printable(fmt.Sprintf("%-8s %s", field, hash.Val()[field])))
	}
	return notebook.Stored{
		Command: command(client.Options(), key),
		Text:    strings.Join(lines, "\n"),
		Size:    int(size.Val()),
		Used:    time.UnixMilli(ms),
	}, nil
}

// command returns that of redis-cli that shows the hash of a key.
func command(o *redis.Options, key string) string {
	server := "-s " + o.Addr
	if o.Network != "unix" {
		host, port, _ := net.SplitHostPort(o.Addr)
		server = "-h " + host + " -p " + port
	}
	return fmt.Sprintf("redis-cli %s -n %d HGETALL '%s'", server, o.DB, key)
}
