package redisstore

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A client sends commands to the server, each of them once. Clients of go-redis repeat
// a command by themselves when its answer is lost; the save that was carried out
// would be taken for another's.
type client struct {
	process   func(context.Context, redis.Cmder) error
	pipelined func(context.Context, func(redis.Pipeliner) error) ([]redis.Cmder, error)
	obeysCtx  bool                                                // a command ends with its context
	submit    func(context.Context, redis.Cmder) redis.AutoFuture // nil but in a deferred pipelining face

	// For the commands that need a certain server; nil in the pipelining face.
	masterOf    func(ctx context.Context, key string) (redis.Cmdable, error)
	masters     func(context.Context) ([]redis.Cmdable, error)
	readTimeout time.Duration
}

// A single is a client of one server, or of the master that Sentinel names.
type single interface {
	redis.Cmdable
	Options() *redis.Options
}

// A cluster is a client of a cluster.
type cluster interface {
	Options() *redis.ClusterOptions
	ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
	MasterForKey(context.Context, string) (*redis.Client, error)
}

// A deferred is a pipelining face, which may return before its commands are answered.
type deferred interface {
	IsBlocking() bool
	Submit(context.Context, redis.Cmder) redis.AutoFuture
}

// newClient takes a client of go-redis. Its kind is found by its methods, so that it may be
// embedded in another type.
func newClient(c redis.Cmdable) (*client, error) {
	switch c.(type) {
	case nil:
		return nil, errors.New("the client is nil")
	case redis.Pipeliner:
		return nil, errors.New("the client is a pipeline, whose commands wait for Exec")
	case *redis.Tx:
		return nil, errors.New("the client is a transaction")
	case *redis.Ring:
		return nil, errors.New("the client is a Ring, which looks for a session elsewhere when its server is down")
	}
	processor, ok := c.(interface {
		Process(context.Context, redis.Cmder) error
	})
	if !ok {
		return nil, errors.New("the client has no method Process")
	}
	cl := &client{process: processor.Process, pipelined: c.Pipelined}
	switch c := c.(type) {
	case cluster:
		o := c.Options()
		if o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return nil, errors.New("the client reads from replicas, where a session that has ended may still be: want no ReadOnly, RouteByLatency or RouteRandomly")
		}
		cl.obeysCtx, cl.readTimeout = o.ContextTimeoutEnabled, o.ReadTimeout
		cl.masterOf = func(ctx context.Context, key string) (redis.Cmdable, error) { return c.MasterForKey(ctx, key) }
		cl.masters = func(ctx context.Context) ([]redis.Cmdable, error) { return mastersOf(ctx, c) }
	case deferred:
		if !c.IsBlocking() {
			cl.submit = c.Submit
		}
	case single:
		o := c.Options()
		cl.obeysCtx, cl.readTimeout = o.ContextTimeoutEnabled, o.ReadTimeout
		cl.masterOf = func(context.Context, string) (redis.Cmdable, error) { return c, nil }
		cl.masters = func(context.Context) ([]redis.Cmdable, error) { return []redis.Cmdable{c}, nil }
	}
	return cl, nil
}

// mastersOf collects the masters, of which ForEachMaster visits several at once.
func mastersOf(ctx context.Context, c cluster) (all []redis.Cmdable, err error) {
	var mu sync.Mutex
	err = c.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, master)
		return nil
	})
	return all, err
}

// A command is a [redis.Cmder] that go-redis does not repeat, nor answers from a cache.
type (
	command    struct{ *redis.Cmd }
	mapCommand struct{ *redis.MapStringStringCmd }
)

func (command) NoRetry() bool    { return true }
func (mapCommand) NoRetry() bool { return true }

// repeats are the pauses before a command is sent again that the server did not
// answer, since the connection broke, or cannot carry out yet. After a timeout none is.
var repeats = [...]time.Duration{5 * time.Millisecond, 25 * time.Millisecond, 125 * time.Millisecond}

// do sends the command that f makes, until it has an answer. f gets whether an
// earlier one may have been carried out.
func (cl *client) do(ctx context.Context, wait *wait, f func(repeated bool) redis.Cmder) error {
	return cl.repeat(ctx, func(repeated bool) error { return cl.once(ctx, wait, f(repeated)) })
}

// repeat calls send until there is an answer, and not at all when the context has ended.
func (cl *client) repeat(ctx context.Context, send func(repeated bool) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	repeated := false
	for n := 0; ; n++ {
		err := send(repeated)
		if err == nil {
			return nil
		}
		lost, again := isLost(err), isNotYet(err)
		if !lost && !again || n == len(repeats) {
			return err
		}
		repeated = repeated || lost
		select {
		case <-time.After(repeats[n]):
		case <-ctx.Done():
			return err
		}
	}
}

// once sends a command, and returns when it is answered or the context ends.
func (cl *client) once(ctx context.Context, wait *wait, cmd redis.Cmder) error {
	if cl.submit != nil {
		return cl.submit(ctx, cmd).WaitContext(ctx)
	}
	_, err := await(ctx, cl, func() (struct{}, error) { return struct{}{}, cl.answer(ctx, wait, cmd) })
	return err
}

// await calls f, which asks the server, and returns when that does or the context ends. By
// itself go-redis waits as long as its own timeouts, unless ContextTimeoutEnabled is set.
func await[T any](ctx context.Context, cl *client, f func() (T, error)) (result T, err error) {
	if cl.obeysCtx || ctx.Done() == nil {
		return f()
	}
	type answer struct {
		T   T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		result, err := f()
		done <- answer{result, err}
	}()
	select {
	case a := <-done:
		return a.T, a.err
	case <-ctx.Done():
		return result, ctx.Err()
	}
}

func (cl *client) answer(ctx context.Context, wait *wait, cmd redis.Cmder) error {
	if wait != nil {
		return cl.answerAfter(ctx, wait, cmd)
	}
	_ = cl.process(ctx, cmd)
	return cmd.Err() // which waits, in a pipeline
}

// isLost reports whether the connection broke, so that the command may have been carried
// out or not.
func isLost(err error) bool {
	if errors.As(err, new(redis.Error)) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && !op.Timeout()
}

// isNotYet reports whether the server has refused a command that it may soon carry out:
// it starts, or a replica takes its place, or a slot has moved.
func isNotYet(err error) bool {
	for _, prefix := range []string{"LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
