// Package storetest tests a [sessions.SessionStore]: the interface, its optional
// capabilities, and the promises about concurrent requests. A test of a store of
// one's own is
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, o storetest.Options) sessions.SessionStore {
//			return newStore(t, o.IdleTimeout)
//		})
//	}
//
// Each check is a subtest that names the rule it found broken. Checks of a
// capability that the store lacks are skipped, and name it. The example is the
// smallest store that passes, [NewMemory] one that has every capability.
//
// Stores that several processes or machines share need a test of that beside this
// one.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// Options are the options of a store under test.
type Options struct {
	_ struct{} // no literal without names

	// IdleTimeout is the store's idle timeout: a second or two in the checks of
	// expiry, and zero in all others, where any timeout of an hour or more will do.
	// For a store without one, newStore returns nil when IdleTimeout is not zero.
	IdleTimeout time.Duration

	// MaxSessions is the limit of an owner's sessions: a few in the checks of it,
	// and zero, for none, in all others. For an OwnerStore without one, newStore
	// returns nil when MaxSessions is not zero.
	MaxSessions int
}

// Run tests the stores that newStore makes: a new one, without sessions, for each
// check. Checks run in parallel, so newStore is called by several goroutines at once.
// One check closes a store that is an io.Closer, to see it fail. Run closes no other
// store: newStore registers that with t.Cleanup.
func Run(t *testing.T, newStore func(t *testing.T, o Options) sessions.SessionStore) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t, c.options)
			if store == nil && c.options != (Options{}) {
				t.Skip(c.unavailable())
			}
			switch err := c.run(t.Context(), store); {
			case errors.As(err, new(unsupported)):
				t.Skip(err)
			case err != nil:
				t.Errorf("%v\nThe rule: %s", err, c.rule)
			}
		})
	}
}

// A check is one rule and a trial of it. The error of run is the breach of the rule,
// or an unsupported.
type check struct {
	name    string
	rule    string
	options Options
	run     func(ctx context.Context, store sessions.SessionStore) error
}

// unavailable is the reason why the check cannot try a store that newStore did not make.
func (c check) unavailable() string {
	if c.options.MaxSessions > 0 {
		return "the store has no MaxSessions"
	}
	return "the store has no IdleTimeout"
}

func checks() []check {
	var all []check
	all = append(all, contractChecks...)
	all = append(all, changeChecks...)
	all = append(all, concurrencyChecks...)
	all = append(all, capabilityChecks...)
	all = append(all, ownerChecks...)
	all = append(all, moverChecks...)
	return append(all, expiryChecks...)
}

// unsupported is the error of a check for a capability that the store does not have.
type unsupported struct{ capability string }

func (u unsupported) Error() string { return "the store is no " + u.capability }

// capability returns the store as a C, or an unsupported.
func capability[C any](store sessions.SessionStore, name string) (C, error) {
	c, ok := store.(C)
	if !ok {
		return c, unsupported{name}
	}
	return c, nil
}

// need ends the check with the error, if there is one.
func need(err error, what string) {
	if err != nil {
		panic(failed{fmt.Errorf("%s: %w", what, err)})
	}
}

// want ends the check with an error, unless ok.
func want(ok bool, format string, args ...any) {
	if !ok {
		panic(failed{fmt.Errorf(format, args...)})
	}
}

type failed struct{ err error }

// catching returns a check's run from a function that uses need and want. These end
// it by a panic, which must come from its own goroutine.
func catching(f func(ctx context.Context, store sessions.SessionStore)) func(context.Context, sessions.SessionStore) error {
	return func(ctx context.Context, store sessions.SessionStore) (err error) {
		defer func() {
			switch p := recover().(type) {
			case nil:
			case failed:
				err = p.err
			default:
				panic(p)
			}
		}()
		f(ctx, store)
		return nil
	}
}

// saved returns a session that was saved with these values.
func saved(ctx context.Context, store sessions.SessionStore, values map[string]any) *sessions.Session {
	s := store.New()
	for key, value := range values {
		s.Set(key, value)
	}
	need(store.Save(ctx, s), "save of a new session")
	return s
}

// load returns the stored session of an ID. There must be one.
func load(ctx context.Context, store sessions.SessionStore, id string) *sessions.Session {
	s, err := store.Get(ctx, id)
	need(err, "get of a stored session")
	want(!s.New() && s.ID() == id, "get of a stored session returned a new one")
	return s
}

// gone checks that there is no session of an ID.
func gone(ctx context.Context, store sessions.SessionStore, id, why string) {
	s, err := store.Get(ctx, id)
	need(err, "get of a session that is gone")
	want(s.New() && s.ID() != id && s.Len() == 0, "%s, and there still is one of its ID", why)
}

// keyOf returns the key under which the store lists a session.
func keyOf(store sessions.SessionStore, s *sessions.Session) string {
	if k, ok := store.(interface {
		KeyOf(*sessions.Session) (string, error)
	}); ok {
		key, _ := k.KeyOf(s)
		return key
	}
	return s.ID()
}

// list returns the listed keys.
func list(ctx context.Context, store sessions.SessionStore) map[string]bool {
	ids := make(map[string]bool)
	for id, err := range store.List(ctx) {
		need(err, "list")
		want(!ids[id], "list returned an ID twice")
		ids[id] = true
	}
	return ids
}
