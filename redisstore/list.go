package redisstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
)

// errNotAll is the error of List and DeleteAll on the pipelining face of a client.
var errNotAll = errors.New("the client does not reach all servers, which the one does that the pipeline is of")

// errStop ends a walk.
var errStop = errors.New("stop")

// List returns the keys of the stored sessions, in no particular order. They end with the
// public IDs. It walks through all keys of all masters.
func (st *Store) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := st.walk(ctx, func(_ redis.Cmdable, keys []string) error {
			for _, key := range keys {
				if err := ctx.Err(); err != nil {
					return err
				}
				if !yield(key, nil) {
					return errStop
				}
			}
			return nil
		})
		if err != nil && err != errStop {
			yield("", fmt.Errorf("sessions: list: %w", err))
		}
	}
}

// gateKey is the key of the gate that a walk to end all sessions closes for renewals.
func (st *Store) gateKey() string { return st.opts.Prefix + "gate" }

// DeleteAll ends every stored session; see [sessions.Clearer]. A session that is renewed
// meanwhile, or within some seconds afterwards, is ended by that.
func (st *Store) DeleteAll(ctx context.Context) (n int, err error) {
	started := time.Now()
	walk := newVersion()
	gate := func(ctx context.Context, step string) error {
		_, err := st.client.integer(ctx, gateScript, nil, st.gateKey(), step, walk)
		return err
	}
	var errs []error
	if err = gate(ctx, "walk"); err == nil {
		trusted := time.Now()
		err = st.walk(ctx, func(master redis.Cmdable, keys []string) error {
			ended, err := await(ctx, st.client, func() (int, error) { return deleteKeys(ctx, master, keys) })
			n += ended
			for range ended {
				st.observeEnd(ctx, started, sessions.EndedByOwner)
			}
			if err != nil {
				errs = append(errs, err)
			}
			if time.Since(trusted) > maxTrust {
				return errors.New("the walk was too slow: sessions may have passed it by a renewal")
			}
			trusted = time.Now()
			return cmp.Or(ctx.Err(), gate(ctx, "walk"))
		})
		err = errors.Join(err, gate(context.WithoutCancel(ctx), "done"))
	}
	if err = errors.Join(append(errs, err)...); err != nil {
		err = fmt.Errorf("sessions: delete: %w", err)
	}
	return n, err
}

// maxTrust is less than the time for which gate.lua believes that a walk goes on.
const maxTrust = 20 * time.Second

// deleteKeys deletes the keys on a master, and returns how many there were.
func deleteKeys(ctx context.Context, master redis.Cmdable, keys []string) (n int, err error) {
	cmds, err := master.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, key := range keys {
			pipe.Del(ctx, key)
		}
		return nil
	})
	for _, cmd := range cmds {
		n += int(cmd.(*redis.IntCmd).Val())
	}
	return n, err
}

// walk calls f with the keys of all sessions on each master, some at a time and each
// once, until it returns an error.
func (st *Store) walk(ctx context.Context, f func(master redis.Cmdable, keys []string) error) error {
	if st.client.masters == nil {
		return errNotAll
	}
	masters, err := st.client.masters(ctx)
	if err != nil {
		return err
	}
	seen := make(map[[sha256.Size]byte]bool) // SCAN may return a key twice
	for _, master := range masters {
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			keys, next, err := st.scan(ctx, master, cursor)
			if err != nil {
				return err
			}
			keys = slices.DeleteFunc(keys, func(key string) bool {
				sum, ok := st.parseKey(key)
				if ok && !seen[sum] {
					seen[sum] = true
					return false
				}
				return true
			})
			if err := f(master, keys); err != nil {
				return err
			}
			cursor = next
		}
	}
	return nil
}

// scan returns some keys, and the cursor for the next; 0 is the end.
func (st *Store) scan(ctx context.Context, master redis.Cmdable, cursor uint64) (keys []string, next uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	type page struct {
		keys []string
		next uint64
	}
	p, err := await(ctx, st.client, func() (p page, err error) {
		p.keys, p.next, err = master.ScanType(ctx, cursor, st.pattern(), 1000, "hash").Result()
		return p, err
	})
	return p.keys, p.next, err
}

// pattern is the keys of sessions, for SCAN.
func (st *Store) pattern() string {
	escaped := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(st.opts.Prefix)
	return escaped + "{" + strings.Repeat("?", tagLength) + "}" + strings.Repeat("?", publicIDLength)
}

// parseKey returns the public ID of a session's key.
func (st *Store) parseKey(key string) (sum [sha256.Size]byte, ok bool) {
	if len(key) != len(st.opts.Prefix)+tagLength+2+publicIDLength {
		return sum, false
	}
	n, err := hex.Decode(sum[:], []byte(publicID(key)))
	return sum, n == len(sum) && err == nil
}

const publicIDLength = 2 * sha256.Size

// publicID returns the end of a key.
func publicID(key string) string { return key[len(key)-publicIDLength:] }

// key names the hash of a session: the first characters of the ID, which are the hash
// tag, and the public ID.
func (st *Store) key(id string) string {
	return st.opts.Prefix + "{" + id[:tagLength] + "}" + sessions.PublicID(id)
}
