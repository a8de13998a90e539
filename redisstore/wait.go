package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A wait is for replicas to have a write; nil is none.
type wait struct {
	key      string // of the write
	replicas int
	timeout  time.Duration
}

// ends returns the wait for the end of a session under key.
func (st *Store) ends(key string) *wait {
	if st.opts.WaitReplicas == 0 {
		return nil
	}
	return &wait{key, st.opts.WaitReplicas, st.opts.WaitTimeout}
}

// canWait reports whether the client can do as WaitReplicas says.
func (cl *client) canWait(o Options) error {
	switch {
	case o.WaitReplicas == 0:
		return nil
	case cl.masterOf == nil:
		return errors.New("WaitReplicas needs a client that reaches the master of a key, which a pipelining one does not")
	case cl.readTimeout > 0 && o.WaitTimeout >= cl.readTimeout:
		return fmt.Errorf("WaitTimeout %v: want less than the client's ReadTimeout, %v", o.WaitTimeout, cl.readTimeout)
	}
	return nil
}

// errReplicas is the error of an end or a renewal that a failover may take back.
var errReplicas = errors.New("it was carried out, and fewer replicas than WaitReplicas have it")

// writtenKey is a key in the slot of another one.
func writtenKey(key string) string { return key[:strings.IndexByte(key, '}')+1] + "written" }

// answerAfter sends a command and waits for replicas to have it, on one connection: WAIT is
// for its last write, since Redis 7.2. So it writes a key that ends by itself before: a repeated
// command, which may find nothing to change, waits for the first one.
func (cl *client) answerAfter(ctx context.Context, w *wait, cmd redis.Cmder) error {
	master, err := cl.masterOf(ctx, w.key)
	if err != nil {
		return err
	}
	pipe := master.Pipeline()
	_ = pipe.Process(ctx, cmd)
	_ = pipe.Set(ctx, writtenKey(w.key), "", time.Second)
	waited := redis.NewCmd(ctx, "wait", w.replicas, w.timeout.Milliseconds())
	_ = pipe.Process(ctx, waited)
	_, err = pipe.Exec(ctx)
	if cmdErr := cmd.Err(); cmdErr != nil {
		return cmdErr
	}
	if err == nil && waited.Val().(int64) < int64(w.replicas) {
		err = errReplicas
	}
	return err
}
