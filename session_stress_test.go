package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/storetest"
)

// Goroutines that do everything at once with one *Session, under contexts that
// end at any point, with values and functions that panic: nothing hangs, nothing
// stays locked, and at the end store and session agree.
func TestSessionIsSafeForGoroutinesThatDoEverythingAtOnce(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir()}
	files, beside := newStore(t, o), newStore(t, o)
	sealed := newStore(t, sessions.FilesystemOptions{Sealer: xorSealer{}})
	memory := storetest.NewMemory(0)
	for name, row := range map[string]struct {
		store  sessions.SessionStore
		beside sessions.SessionStore // for requests with a session of their own
	}{
		"files": {files, beside}, "sealed": {sealed, sealed}, "memory": {memory, memory},
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 5 {
				seed := rand.Uint64()
				s := row.store.New()
				s.Set("round", round)
				save(t, row.store, s)
				var ids sync.Map // that the session ever had
				ids.Store(s.ID(), true)
				soon(t, fmt.Sprintf("seed %d", seed), func() {
					err := together(func(g int) error {
						r := rand.New(rand.NewPCG(seed, uint64(g)))
						for range 60 {
							if err := doAnything(r, row.store, row.beside, s); err != nil {
								return err
							}
							ids.Store(s.ID(), true)
						}
						return nil
					})
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
					s.Delete("panics")
					err = row.store.Save(background, s)
					if err != nil && !errors.Is(err, sessions.ErrDeleted) {
						t.Fatalf("seed %d: the last save = %v", seed, err)
					}
					stored := !s.New()
					ids.Range(func(id, _ any) bool {
						loaded := get(t, row.store, id.(string))
						switch live := !loaded.New(); {
						case live != (err == nil && stored && id == s.ID()):
							t.Errorf("seed %d: after %v (stored: %v) a session of its IDs is there: %v, it is its last one: %v", seed, err, stored, live, id == s.ID())
						case live && fmt.Sprint(values(loaded)) != fmt.Sprint(values(s)):
							t.Errorf("seed %d: stored\n%v, the session has\n%v", seed, values(loaded), values(s))
						}
						return true
					})
				})
			}
		})
	}
}

// expected are the errors that are answers here.
var expected = []error{
	sessions.ErrDeleted, sessions.ErrUpdating, context.DeadlineExceeded, context.Canceled, errors.ErrUnsupported,
}

func doAnything(r *rand.Rand, store, beside sessions.SessionStore, s *sessions.Session) (err error) {
	ctx := background
	if r.IntN(3) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(background, time.Duration(r.IntN(300))*time.Microsecond)
		defer cancel()
	}
	key := fmt.Sprint("key", r.IntN(4))
	defer func() {
		if p := recover(); p != nil && p != "expected" {
			panic(p)
		}
		for _, known := range expected {
			if errors.Is(err, known) {
				err = nil
			}
		}
		if errors.As(err, new(*sessions.ValueError)) {
			s.Delete("panics")
			err = nil
		}
	}()
	update := func(s *sessions.Session) error {
		change(r, s, key)
		switch r.IntN(6) {
		case 0:
			return errors.ErrUnsupported
		case 1:
			panic("expected")
		case 2:
			s.Set("panics", panicker{With: "expected"})
		case 3:
			if err := store.Save(background, s); !errors.Is(err, sessions.ErrUpdating) {
				return fmt.Errorf("inside an Update: Save = %w", err)
			}
		}
		return nil
	}
	switch n := r.IntN(100); {
	case n < 30:
		change(r, s, key)
	case n < 55:
		return store.Save(ctx, s)
	case n < 70:
		return store.(sessions.Updater).Update(ctx, s, update)
	case n < 75:
		_, err := store.(sessions.Toucher).Touch(ctx, s, 0)
		return err
	case n < 80:
		c := s.Clone()
		c.Discard() // a renewal, say, that would be another session's
		if c.New() {
			return nil
		}
		c.Set(key, "clone")
		return store.Save(ctx, c)
	case n < 85:
		other, err := beside.Get(ctx, s.ID())
		if err != nil || other.New() {
			return err
		}
		other.Set(key, "beside")
		return beside.Save(ctx, other)
	case n < 88:
		s.Renew()
	case n < 89:
		s.Destroy()
	case n < 90:
		return store.Delete(ctx, s)
	case n < 93:
		s.Discard()
	default:
		_, _, _ = s.Get(key), values(s), s.String()
		s.Flashes()
	}
	return nil
}

func change(r *rand.Rand, s *sessions.Session, key string) {
	switch r.IntN(8) {
	case 0:
		s.Delete(key)
	case 1:
		s.AddFlash(key)
	case 2:
		s.MarkModified()
	case 3:
		s.SetIdleTimeout(time.Duration(1+r.IntN(3)) * time.Hour)
	case 4:
		s.SetOwner(key)
	case 5:
		s.Clear()
	default:
		s.Set(key, []any{r.IntN(10), 2.0})
	}
}

// A countdown is a context that ends when it has been asked about so many times.
type countdown struct {
	context.Context
	left atomic.Int64
	done chan struct{}
	once sync.Once
}

func newCountdown(n int) *countdown {
	c := &countdown{Context: background, done: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) ask() bool {
	over := c.left.Add(-1) < 0
	if over {
		c.once.Do(func() { close(c.done) })
	}
	return over
}

func (c *countdown) Done() <-chan struct{} { c.ask(); return c.done }

func (c *countdown) Err() error {
	if c.ask() {
		return context.Canceled
	}
	return nil
}

// The context ends at each point at which it is asked: either all is done, or
// nothing, and nothing stays locked.
func TestSaveUnderAContextThatEndsAtEachPoint(t *testing.T) {
	type act func(ctx context.Context, store *sessions.FilesystemSessionStore, s *sessions.Session) error
	for name, act := range map[string]act{
		"Save": func(ctx context.Context, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Save(ctx, s)
		},
		"Update": func(ctx context.Context, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Update(ctx, s, setA)
		},
		"Delete": func(ctx context.Context, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Delete(ctx, s)
		},
		"Renew": func(ctx context.Context, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Renew()
			return store.Save(ctx, s)
		},
	} {
		for _, contended := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", contended: ", contended), func(t *testing.T) {
				o := sessions.FilesystemOptions{Path: t.TempDir()}
				store, other := newStore(t, o), newStore(t, o)
				for n, cut := 0, true; cut; n++ {
					if n == 100 {
						t.Fatal("the context is asked without end")
					}
					first := saved(t, store, "n", n)
					s := get(t, store, first.ID())
					file := fileOf(t, o.Path, s)
					before := content(t, file)
					s.Set("b", n)
					release, held := func() {}, make(chan error, 1)
					if contended { // until the countdown is well under way, or over
						release, held = hold(t, other, s.ID())
						time.AfterFunc(time.Millisecond, release)
					} else {
						held <- nil
					}
					var err error
					soon(t, name, func() { err = act(newCountdown(n), store, s) })
					release()
					if err := <-held; err != nil {
						t.Fatal(err)
					}
					cut = errors.Is(err, context.Canceled)
					if err != nil && !cut {
						t.Fatal(err)
					}
					if !cut {
						break
					}
					after, err := os.ReadFile(file)
					if err != nil || string(after) != before || !s.Modified() || s.ID() != first.ID() {
						t.Fatalf("cut off at point %d: %v, session %v", n, err, s)
					}
					soon(t, "a save afterwards", func() { save(t, store, s) })
				}
			})
		}
	}
}
