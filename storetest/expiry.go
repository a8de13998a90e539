package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/sessfs/sessions"
)

// idleTimeout is the shortest that stores allow, since the checks wait for it. On a
// machine that is too slow for it a session may expire between two lines; the checks
// notice that, and try again.
const idleTimeout = time.Second

// ownIdleTimeout is a store's idle timeout of which a session can have half: a
// session's own are whole seconds.
const ownIdleTimeout = 2 * time.Second

var expiryChecks = []check{
	expiry("IdleSessionExpires", "A session that was not saved for IdleTimeout is gone: Get returns a new one.", idleTimeout,
		func(ctx context.Context, store sessions.SessionStore) bool {
			before := time.Now()
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			if !alive(ctx, store, s.ID(), before) {
				return false
			}
			time.Sleep(idleTimeout + idleTimeout/10)
			gone(ctx, store, s.ID(), "the session was idle for longer than IdleTimeout")
			return true
		}),
	expiry("SaveBeginsTheIdleTimeAnew", "A save begins the idle time anew, also one that changes no value.", idleTimeout,
		func(ctx context.Context, store sessions.SessionStore) bool {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			time.Sleep(idleTimeout * 6 / 10)
			before := time.Now()
			need(store.Save(ctx, s), "save")
			time.Sleep(idleTimeout * 6 / 10)
			return alive(ctx, store, s.ID(), before)
		}),
	expiry("TouchBeginsTheIdleTimeAnew", "A touch begins the idle time anew.", idleTimeout,
		func(ctx context.Context, store sessions.SessionStore) bool {
			toucher, err := capability[sessions.Toucher](store, "Toucher")
			if err != nil {
				panic(failed{err})
			}
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			time.Sleep(idleTimeout * 6 / 10)
			before := time.Now()
			if _, err = toucher.Touch(ctx, s, 0); time.Since(before) >= idleTimeout*4/10 {
				return false // it may have expired first
			}
			need(err, "touch")
			time.Sleep(idleTimeout * 6 / 10)
			return alive(ctx, store, s.ID(), before)
		}),
	expiry("ExpiryIsFinal", "A save, an update or a touch of a session that has expired since it was loaded is ErrDeleted; it can be destroyed and deleted.", idleTimeout,
		func(ctx context.Context, store sessions.SessionStore) bool {
			s, destroyed := saved(ctx, store, map[string]any{"a": int64(1)}), saved(ctx, store, map[string]any{"a": int64(1)})
			time.Sleep(idleTimeout + idleTimeout/10)
			if updater, ok := store.(sessions.Updater); ok {
				err := updater.Update(ctx, s, func(s *sessions.Session) error { s.Set("a", int64(2)); return nil })
				want(errors.Is(err, sessions.ErrDeleted), "an update of an expired session is %v", err)
			}
			if toucher, ok := store.(sessions.Toucher); ok {
				_, err := toucher.Touch(ctx, s, 0)
				want(errors.Is(err, sessions.ErrDeleted), "a touch of an expired session is %v", err)
			}
			s.Set("a", int64(2))
			err := store.Save(ctx, s)
			want(errors.Is(err, sessions.ErrDeleted), "a save of an expired session is %v", err)
			gone(ctx, store, s.ID(), "the session has expired")
			destroyed.Destroy()
			need(store.Save(ctx, destroyed), "save of an expired session that is destroyed")
			need(store.Delete(ctx, s), "delete of an expired session")
			return true
		}),
	expiry("LoginAfterExpiryBeginsAnew", "A login over a session that has expired stores one of its own, with the values alone that its request has set.", idleTimeout,
		func(ctx context.Context, store sessions.SessionStore) bool {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			old := s.ID()
			time.Sleep(idleTimeout + idleTimeout/10)
			s.Login("ann")
			s.Set("b", int64(1))
			before := time.Now()
			need(store.Save(ctx, s), "save of a login")
			gone(ctx, store, old, "the session has expired")
			if !alive(ctx, store, s.ID(), before) {
				return false
			}
			want(s.Owner() == "ann" && s.Len() == 1 && s.Get("b") == int64(1), "%d values of %q", s.Len(), s.Owner())
			return true
		}),
	expiry("OwnLifetimeEndsASession", "A session with a lifetime of its own ends by that, saved or not.", ownIdleTimeout,
		func(ctx context.Context, store sessions.SessionStore) bool {
			s := store.New()
			s.SetLifetime(ownIdleTimeout / 2)
			created := s.Created()
			need(store.Save(ctx, s), "save")
			time.Sleep(ownIdleTimeout / 4)
			s.Set("a", int64(1))
			err := store.Save(ctx, s)
			if time.Since(created) >= ownIdleTimeout/2 {
				return false
			}
			need(err, "save")
			time.Sleep(ownIdleTimeout * 3 / 10)
			gone(ctx, store, s.ID(), "the session's lifetime is over")
			return true
		}),
	expiry("OwnTimeoutTakesTheStoresPlace", "A session with a timeout of its own expires by that, be it longer or shorter.", ownIdleTimeout,
		func(ctx context.Context, store sessions.SessionStore) bool {
			longer, shorter := store.New(), store.New()
			longer.SetIdleTimeout(time.Hour)
			shorter.SetIdleTimeout(ownIdleTimeout / 2)
			need(store.Save(ctx, longer), "save")
			need(store.Save(ctx, shorter), "save")
			time.Sleep(ownIdleTimeout * 6 / 10)
			gone(ctx, store, shorter.ID(), "the session was idle for longer than its own timeout")
			time.Sleep(ownIdleTimeout / 2)
			load(ctx, store, longer.ID())
			return true
		}),
}

// alive reports whether a session is there that was used after before. It reports
// false when so much time has passed since that it may have expired; otherwise it
// ends the check when the session is gone.
func alive(ctx context.Context, store sessions.SessionStore, id string, before time.Time) bool {
	s, err := store.Get(ctx, id)
	need(err, "get")
	if !s.New() {
		return true
	}
	idle := time.Since(before)
	want(idle >= idleTimeout, "a session is gone %v after it was used, and IdleTimeout is %v", idle, idleTimeout)
	return false
}

// expiry returns a check of a store with an idle timeout. It calls do again while
// that reports that the machine was too slow for a result.
func expiry(name, rule string, idleTimeout time.Duration, do func(ctx context.Context, store sessions.SessionStore) bool) check {
	return check{
		name:    name,
		rule:    rule,
		options: Options{IdleTimeout: idleTimeout},
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			for range 10 {
				if do(ctx, store) {
					return
				}
			}
			want(false, "the machine is too slow to tell")
		}),
	}
}
