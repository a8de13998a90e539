package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/sessfs/sessions"
)

// concurrencyChecks are rules about goroutines that use one session at the same time.
var concurrencyChecks = []check{
	{
		name: "NoConcurrentSaveIsLost",
		rule: "Values that are saved to one session at the same time are all there.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			const writers, saves = 8, 25
			id := saved(ctx, store, nil).ID()
			need(together(writers, func(writer int) error {
				for i := range saves {
					s, err := store.Get(ctx, id)
					if err != nil {
						return err
					}
					s.Set(fmt.Sprintf("%d-%d", writer, i), int64(i))
					if err := store.Save(ctx, s); err != nil {
						return err
					}
				}
				return nil
			}), "save")
			got := load(ctx, store, id).Len()
			want(got == writers*saves, "%d of %d values are there", got, writers*saves)
		}),
	},
	{
		name: "UpdateCounts",
		rule: "Updates that add one, at the same time, add up.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			updater, err := capability[sessions.Updater](store, "Updater")
			if err != nil {
				panic(failed{err})
			}
			const writers, updates = 8, 50
			const n sessions.Key[int64] = "n"
			id := saved(ctx, store, map[string]any{"n": int64(0)}).ID()
			need(together(writers, func(int) error {
				for range updates {
					s, err := store.Get(ctx, id)
					if err == nil {
						err = updater.Update(ctx, s, func(s *sessions.Session) error {
							n.Set(s, n.Get(s)+1)
							return nil
						})
					}
					if err != nil {
						return err
					}
				}
				return nil
			}), "update")
			got := n.Get(load(ctx, store, id))
			want(got == writers*updates, "counted to %d, want %d", got, writers*updates)
		}),
	},
	{
		name: "ReadersNeverSeeHalfASave",
		rule: "A reader beside writers sees a session that was saved: never an error, a new, an empty or a mixed one.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			write := func(s *sessions.Session, i int) {
				text := strings.Repeat(string(rune('a'+i%26)), 10+i*37%3000)
				s.Set("first", text)
				s.Set("second", text)
			}
			s := store.New()
			write(s, 0)
			need(store.Save(ctx, s), "save")
			id, done := s.ID(), make(chan struct{})
			var readers sync.WaitGroup
			var mu sync.Mutex
			var readErr error
			for range 3 {
				readers.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						if err := readPair(ctx, store, id); err != nil {
							mu.Lock()
							readErr = errors.Join(readErr, err)
							mu.Unlock()
							return
						}
					}
				})
			}
			var saveErr error
			for i := 1; i <= 500 && saveErr == nil; i++ {
				write(s, i)
				saveErr = store.Save(ctx, s)
			}
			close(done)
			readers.Wait()
			need(saveErr, "save")
			need(readErr, "read beside a writer")
		}),
	},
	{
		name: "LogoutDuringSlowRequests",
		rule: "A session that is ended while requests save it stays gone, whatever they do.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			for range 50 {
				const requests = 4
				id := saved(ctx, store, map[string]any{"a": int64(1)}).ID()
				var loaded sync.WaitGroup // all have the session before one ends it
				loaded.Add(requests)
				ended := make(chan struct{})
				need(together(requests, func(request int) error {
					if request == 0 {
						defer close(ended)
					}
					s, err := store.Get(ctx, id)
					loaded.Done()
					loaded.Wait()
					if err != nil {
						return err
					}
					switch request {
					case 0:
						s.Destroy()
					case 1:
						<-ended // the slowest; the others race with the logout
						fallthrough
					default:
						s.Set("b", int64(request))
					}
					if err := store.Save(ctx, s); !errors.Is(err, sessions.ErrDeleted) {
						return err
					}
					return nil
				}), "save or logout")
				gone(ctx, store, id, "the session was destroyed")
			}
			want(len(list(ctx, store)) == 0, "%d sessions were revived", len(list(ctx, store)))
		}),
	},
}

func readPair(ctx context.Context, store sessions.SessionStore, id string) error {
	s, err := store.Get(ctx, id)
	if err != nil {
		return err
	}
	first, _ := s.Get("first").(string)
	second, _ := s.Get("second").(string)
	if s.New() || first == "" || first != second || strings.Trim(first, first[:1]) != "" {
		return fmt.Errorf("got %v, whose two values have %d and %d bytes", s, len(first), len(second))
	}
	return nil
}

// together calls f in n goroutines at once, and joins their errors.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = f(i) })
	}
	running.Wait()
	return errors.Join(errs...)
}
