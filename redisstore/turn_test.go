package redisstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// Some of those who wait for one that works long give up; the others get their turn.
func TestUpdatesThatGiveUpLetOthersPass(t *testing.T) {
	store := newStore(t, redistest.Start(t).Client(t), redisstore.Options{})
	const counter sessions.Key[int] = "n"
	s := saved(t, store, "n", 0)
	count := func(s *sessions.Session) error { counter.Set(s, counter.Get(s)+1); return nil }
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 20 {
		counter.Set(s, 0)
		save(t, store, s)
		var all, quitters sync.WaitGroup
		entered, goOn := make(chan struct{}), make(chan struct{})
		enter := sync.OnceFunc(func() { close(entered) })
		update := func(ctx context.Context, f func(*sessions.Session) error, want error) {
			if err := store.Update(ctx, s.Clone(), f); !errors.Is(err, want) {
				t.Errorf("Update is %v, want %v", err, want)
			}
		}
		all.Go(func() { update(ctx, func(s *sessions.Session) error { enter(); <-goOn; return count(s) }, nil) })
		<-entered
		short, end := context.WithCancel(ctx)
		for range 4 {
			quitters.Go(func() { update(short, count, context.Canceled) })
			all.Go(func() { update(ctx, count, nil) })
		}
		time.Sleep(time.Millisecond)
		end()
		quitters.Wait()
		close(goOn)
		all.Wait()
		s = get(t, store, s.ID())
		if n := counter.Get(s); n != 5 {
			t.Fatalf("%d updates counted, want 5", n)
		}
	}
}
