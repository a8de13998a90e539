// Package storetest tries a [sessions.SessionStore] against everything that
// the interface, its optional capabilities and the promises about concurrent
// requests demand. A test of a store of one's own is
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, o storetest.Options) sessions.SessionStore {
//			return newStore(t, o.IdleTimeout)
//		})
//	}
//
// Each check is a subtest that names the rule it found broken. Checks of a
// capability that the store lacks are skipped, and name it. [NewMemory] is a
// store that passes all of them, and small enough to start from.
//
// The crossings of several processes or machines are not tried.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// Options are the options with which a store under test has to be made.
type Options struct {
	_ struct{} // no literal without names

	// IdleTimeout is the store's idle timeout, a second or two in the checks of
	// expiry; zero, in all others, means none. For a store that has none
	// newStore returns nil when IdleTimeout is not zero.
	IdleTimeout time.Duration
}

// Run tries the stores that newStore makes: a new one, with no sessions in it,
// for each check. A store that is an io.Closer is closed in the course of one
// check, to see it fail; whatever else is to be tidied up is newStore's to
// register with t.
func Run(t *testing.T, newStore func(t *testing.T, o Options) sessions.SessionStore) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t, c.options)
			if store == nil && c.options != (Options{}) {
				t.Skip("the store has no IdleTimeout")
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

// A check is one rule and a trial of it. The error of run tells how a store
// breaks the rule, or is lacking.
type check struct {
	name    string
	rule    string
	options Options
	run     func(ctx context.Context, store sessions.SessionStore) error
}

func checks() []check {
	var all []check
	all = append(all, contractChecks...)
	all = append(all, changeChecks...)
	all = append(all, concurrencyChecks...)
	all = append(all, capabilityChecks...)
	return append(all, expiryChecks...)
}

// unsupported is the error of a check for a capability that the store has not.
type unsupported struct{ capability string }

func (l unsupported) Error() string { return "the store is no " + l.capability }

// capability returns the store as a C.
func capability[C any](store sessions.SessionStore, name string) (C, error) {
	c, ok := store.(C)
	if !ok {
		return c, unsupported{name}
	}
	return c, nil
}

// need takes the place of the usual three lines after a call that must not
// fail: the check that calls it ends with the error.
func need(err error, what string) {
	if err != nil {
		panic(failed{fmt.Errorf("%s: %w", what, err)})
	}
}

// want ends the check unless ok.
func want(ok bool, format string, args ...any) {
	if !ok {
		panic(failed{fmt.Errorf(format, args...)})
	}
}

type failed struct{ err error }

// catching makes a run of a check that is written catching on, with need and
// want. Both end it from its own goroutine only.
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

// load returns the stored session of that ID, which must be there.
func load(ctx context.Context, store sessions.SessionStore, id string) *sessions.Session {
	s, err := store.Get(ctx, id)
	need(err, "get of a stored session")
	want(!s.New() && s.ID() == id, "get of a stored session gave a new one")
	return s
}

// gone makes sure that there is no session of that ID.
func gone(ctx context.Context, store sessions.SessionStore, id, why string) {
	s, err := store.Get(ctx, id)
	need(err, "get of a session that is gone")
	want(s.New() && s.ID() != id && s.Len() == 0, "%s, and its ID still gives a session", why)
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
		want(!ids[id], "list gave an ID twice")
		ids[id] = true
	}
	return ids
}
