// Package redisstore keeps sessions in Redis or Valkey, for an application that outgrows
// one machine. Its [Store] promises what [sessions.FilesystemSessionStore] does, to
// any number of processes on any number of machines: requests at the same time lose nothing
// of one another, and a session that has ended stays so.
//
//	client := redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true})
//	store, err := redisstore.New(ctx, client, redisstore.Options{})
//	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
//
// Redis 7.0, Valkey 7.2 and later ones will do, alone, with Sentinel or as a cluster. Without
// ContextTimeoutEnabled each command whose context can end takes a goroutine, and a request
// that changes its session some 30 µs more; with it, a context that is canceled before its
// deadline is noticed after the command.
//
// # Keys
//
// A session is a hash, each value a field of its own:
//
//	session:{3f9a1c02}b6d8…e1       prefix, the first 8 characters of the ID, its SHA-256
//	  s   1 json 1763756400000      format, codec, when it was made or renewed (ms)
//	  v   1763756460000 Tq3… x0A…   when it was last used (ms), the versions of the last saves
//	  i l a p o m                   own timeouts (ms), login (µs), persistence, owner, Meta
//	  e                             until when the owner's index has the session (ms)
//	  =cart [1,2]                   the value of the key "cart", as the codec encodes it
//
// Fields of the third and fourth lines are there when they are set. With a Sealer all but s, v,
// i, l and e are in one sealed field, d, and the times that count are those inside it; h is then
// the owner's tag.
//
// The server knows 4 bytes of an ID, and its hash; the rest cannot be found from that. A
// renewed ID begins with the same 4 bytes, so that both keys are in one slot of a cluster and
// one script changes both; its other 28 are new.
//
// session:owner:{tag} is the index of an owner: the names of the sessions. The tag is a hash
// of the owner, or, with a Sealer, an HMAC under session:secret, which is sealed.
// session:gate keeps renewals from passing a DeleteAll, and a session's key with ":moving" behind it
// one Export from another.
//
// # Commands
//
// A load is one command, HGETALL, and with RenewOnAccess two in one round trip. A save is one script that is sent what the request
// changed, and answers with all fields only when another request has saved since. A renewal asks
// session:gate as well. A session that gets an owner, or is renewed with one, is entered into the index before,
// and looked for there afterwards; a logout leaves it.
//
// Each save has a version of its own, 64 random bits. When the connection breaks it is sent
// again, and the script knows the version. When it cannot be told whether it was carried
// out, since several others have saved meanwhile, that is an error.
//
// The server's user needs the rules of [ACL] for the keys of the prefix,
//
//	~session:* -@all +hgetall +evalsha …
//
// and +wait for WaitReplicas, +info +config|get for the checks of [New], which are left out
// when they are refused, and +cluster|slots +cluster|shards +command in a cluster. The
// client's own commands when it connects (HELLO, CLIENT SETINFO) are optional.
//
// # Errors
//
// A server that is down, slow, a replica, full or starting is an error of the call, which
// returns no later than its context ends, and never a new session. A save that failed
// may have been carried out all the same; the session stays modified, and may be saved again.
// One that was sent again because the connection broke is ErrDeleted when the session ends
// between the two, whether or not the first was carried out before.
//
// Redis and Valkey acknowledge a write before a replica has it. A failover may take the last
// ones back: a save, and the end of a session and the entry in an owner's index as well, unless
// WaitReplicas is set. Nothing is ever half done.
package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
)

// A Store keeps sessions on a server that any number of processes and machines
// share. It is a [sessions.SessionStore], [sessions.Updater], [sessions.Toucher],
// [sessions.GetToucher], [sessions.Clearer] and [sessions.OwnerStore]. Its methods may be called by several goroutines at once.
type Store struct {
	*sessions.Base
	client         *client
	opts           Options
	turns          turns
	lifetime       time.Duration // zero for none
	idle, lifeText string        // the timeouts, for the scripts
	damaged        damagedLog
	ended          recentEnds
}

var (
	_ sessions.SessionStore = (*Store)(nil)
	_ sessions.Updater      = (*Store)(nil)
	_ sessions.Toucher      = (*Store)(nil)
	_ sessions.GetToucher   = (*Store)(nil)
	_ sessions.Clearer      = (*Store)(nil)
)

// New makes a Store on a client of go-redis: a Client of one server or of Sentinel, a
// ClusterClient, or the AutoPipeline or AsyncAutoPipeline of one, which sends the commands of many
// goroutines together and cannot List. A Ring is refused, and so is a client that reads
// from replicas. The error lists all that is wrong with the options.
//
// New asks the server for its memory policy, and refuses one that removes keys; see
// [Options].UnsafeAllowEviction. It is not asked where the server does not allow that.
func New(ctx context.Context, c redis.Cmdable, o Options) (*Store, error) {
	o, err := o.withDefaults()
	st := &Store{opts: o, damaged: damagedLog{logger: o.Logger}, idle: milliseconds(o.IdleTimeout, sessions.DefaultIdleTimeout), lifeText: milliseconds(o.Lifetime, sessions.DefaultLifetime)}
	var clientErr, baseErr error
	if st.client, clientErr = newClient(c); clientErr == nil {
		clientErr = st.client.canWait(o)
	}
	st.Base, baseErr = sessions.NewBase(backend{st}, sessions.BaseOptions{
		IDs: o.IDs, Codec: o.Codec, IdleTimeout: o.IdleTimeout, Lifetime: o.Lifetime, Observe: o.Observe,
		Key: st.key, RenewID: st.renewID, SelfExpiring: true, Intact: true, Damaged: st.damaged.report,
	})
	if err = errors.Join(clientErr, err, baseErr); err == nil {
		err = st.checkServers(ctx, c)
	}
	if err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	n, _ := strconv.ParseInt(st.lifeText, 10, 64)
	st.lifetime = time.Duration(n) * time.Millisecond
	return st, nil
}

// renewID makes the ID of a renewed session, whose key is in the same slot: one
// script changes both. All but 4 bytes of it are new.
func (st *Store) renewID(old string) string {
	return old[:tagLength] + st.GenerateKey()[tagLength:]
}

// A backend is the Store to its Base.
type backend struct{ *Store }

// Load reads the record of a key in one round trip.
func (st backend) Load(ctx context.Context, key string) (sessions.Record, error) {
	hash, err := st.hash(ctx, key)
	if err != nil {
		return sessions.Record{}, err
	}
	if len(hash) == 0 {
		return sessions.Record{}, sessions.ErrNotStored
	}
	return st.record(key, hash)
}

// hash reads a hash, which is empty when there is none.
func (st *Store) hash(ctx context.Context, key string) (map[string]string, error) {
	var cmd *redis.MapStringStringCmd
	err := st.client.do(ctx, nil, func(bool) redis.Cmder {
		cmd = redis.NewMapStringStringCmd(ctx, "hgetall", key)
		return mapCommand{cmd}
	})
	if err != nil {
		return nil, err
	}
	return cmd.Val(), nil
}

// Commit carries out a change.
func (st backend) Commit(ctx context.Context, c *sessions.Change) (err error) {
	stored := c.Base()
	if !c.New() {
		key := c.Key()
		turn, err := st.turns.take(ctx, key)
		if err != nil {
			return err
		}
		returned := errors.New("a panic")
		defer func() { st.turns.release(key, turn, c, returned) }()
		switch {
		case turn.last != nil:
			stored = turn.last
		case stored == nil:
			stored, err = found(st.Load(ctx, key))
		}
		if err == nil {
			err = st.commit(ctx, c, stored)
		}
		returned = err
		return err
	}
	return st.commit(ctx, c, stored)
}

// commit carries out a change that is first tried on the record that the process knows,
// without a question to the server.
func (st backend) commit(ctx context.Context, c *sessions.Change, stored *sessions.Record) error {
	for n := 0; ; n++ {
		err := c.Apply(stored)
		if err != nil {
			return err
		}
		var done bool
		if stored, done, err = st.try(ctx, c); done {
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
}

// pause lets other processes, which save the same session, be done, when a change was tried
// several times.
func pause(ctx context.Context, n int) error {
	const most = 8
	if n < 2 {
		return ctx.Err()
	}
	select {
	case <-time.After(mathrand.N(50 * time.Microsecond << min(n, most))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// found turns the answer of Load into that for Apply.
func found(rec sessions.Record, err error) (*sessions.Record, error) {
	switch {
	case errors.Is(err, sessions.ErrNotStored):
		return nil, nil
	case errors.Is(err, sessions.ErrCorrupt):
		rec.Damaged = true
		return &rec, nil
	}
	return &rec, err
}

// try sends a change that was applied. When it is not done, Apply needs the record that is
// stored.
func (st backend) try(ctx context.Context, c *sessions.Change) (stored *sessions.Record, done bool, err error) {
	if c.NewKey() == "" {
		if c.Ended() == "" {
			return nil, true, nil
		}
		return nil, true, cmp.Or(st.end(ctx, c.Ended()), st.leave(ctx, c))
	}
	s, err := st.newSave(c)
	if err != nil {
		return nil, true, err
	}
	owned, err := st.enter(ctx, c, s)
	if err != nil {
		return nil, !errors.Is(err, errEnded), err
	}
	if c.Ended() != "" && !c.Renewed() {
		if err := st.end(ctx, c.Ended()); err != nil {
			return nil, true, err
		}
	}
	reply, err := st.client.run(ctx, saveScript, st.waitFor(c), s.keys, s.args)
	if err != nil {
		return nil, true, err
	}
	if stored, done, err = st.outcome(c, s, reply); !done || err != nil {
		return stored, done, err
	}
	done, err = st.confirm(ctx, c, owned, s.now)
	return nil, done, err
}

// waitFor returns the wait for replicas of a save: for a renewal, which ends the old ID.
func (st *Store) waitFor(c *sessions.Change) *wait {
	if !c.Renewed() {
		return nil
	}
	return st.ends(c.Ended())
}

// end removes a session. That there is none is no error.
func (st *Store) end(ctx context.Context, key string) error {
	var cmd *redis.Cmd
	err := st.client.do(ctx, st.ends(key), func(bool) redis.Cmder {
		cmd = redis.NewCmd(ctx, "del", key)
		return command{cmd}
	})
	if err != nil {
		return err
	}
	if n, ok := cmd.Val().(int64); !ok || n < 0 || n > 1 {
		return errReply
	}
	return nil
}
