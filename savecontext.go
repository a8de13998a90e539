package sessions

import (
	"context"
	"sync"
	"time"
)

// A saveContext is a context that ends 30 seconds after it is first waited for. It starts
// its timer then: most saves wait for nobody, and the timer is a twentieth of a request
// that changes its session.
type saveContext struct {
	context.Context

	mu     sync.Mutex
	timed  context.Context // nil before it is waited for
	cancel context.CancelFunc
	ended  bool
}

func (c *saveContext) wait() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithTimeout(c.Context, 30*time.Second)
		if c.ended {
			c.cancel()
		}
	}
	return c.timed
}

func (c *saveContext) Deadline() (time.Time, bool) { return c.wait().Deadline() }
func (c *saveContext) Done() <-chan struct{}       { return c.wait().Done() }

func (c *saveContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.timed != nil:
		return c.timed.Err()
	case c.ended:
		return context.Canceled
	}
	return nil
}

// Value finds the timer's context for package context, which otherwise starts a goroutine
// for each context that is derived from this one.
func (c *saveContext) Value(key any) any {
	c.mu.Lock()
	ctx := c.timed
	c.mu.Unlock()
	if ctx == nil {
		ctx = c.Context
	}
	return ctx.Value(key)
}

func (c *saveContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended = true; c.cancel != nil {
		c.cancel()
	}
}
