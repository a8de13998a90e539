package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// checkServers refuses servers that remove keys when their memory is full, and replicas.
// A face of a client that does not reach all of them asks one.
func (st *Store) checkServers(ctx context.Context, c redis.Cmdable) error {
	servers := []redis.Cmdable{c}
	if st.client.masters != nil {
		var err error
		if servers, err = st.client.masters(ctx); err != nil {
			return err
		}
	}
	for _, server := range servers {
		if err := st.checkServer(ctx, server); err != nil {
			return err
		}
	}
	return nil
}

func (st *Store) checkServer(ctx context.Context, server redis.Cmdable) error {
	info, err := await(ctx, st.client, func() (string, error) { return server.Info(ctx, "replication").Result() })
	if err != nil && !isRefused(err) {
		return err
	}
	if strings.Contains(info, "role:slave") {
		return errors.New("the server is a replica: want its master, as a client of Sentinel or of a cluster finds it")
	}
	config, err := await(ctx, st.client, func() (map[string]string, error) { return server.ConfigGet(ctx, "maxmemory*").Result() })
	if err != nil && !isRefused(err) {
		return err
	}
	policy, limit := config["maxmemory-policy"], config["maxmemory"]
	if policy != "noeviction" && policy != "" && limit != "0" && !st.opts.UnsafeAllowEviction {
		return fmt.Errorf("the server has maxmemory-policy %s, and removes sessions when its memory is full: want noeviction, or UnsafeAllowEviction", policy)
	}
	return nil
}

// isRefused reports whether the server does not allow a command, or does not know it.
func isRefused(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "unknown command")
}
