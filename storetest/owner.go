package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sessfs/sessions"
)

// ownerChecks are rules about ends and lists of an owner's sessions beside requests.
var ownerChecks = []check{
	withCapability("LoginsAtOnceAreAllListed", "OwnerStore",
		"ListOwner returns every session of logins at the same time, and DeleteOwner ends all but those to keep.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			const logins, rounds = 8, 20
			for round := range rounds {
				need(together(logins, func(int) error { return store.Save(ctx, newLogin(store)) }), "login")
				infos := listOwner(ctx, owners, "ann")
				kept := min(round, 1)
				want(len(infos) == logins+kept, "ListOwner returned %d of %d sessions", len(infos), logins+kept)
				for publicID := range infos {
					n, err := owners.DeleteOwner(ctx, "ann", publicID)
					need(err, "DeleteOwner")
					want(n == logins+kept-1, "DeleteOwner ended %d of %d sessions", n, logins+kept-1)
					break
				}
			}
		}),
	withCapability("LoginFromBeforeTheEndIsRefused", "OwnerStore",
		"A login that was called before a DeleteOwner, and is saved after it, is ErrDeleted and stores nothing. One that was called after it is stored.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			visitor := saved(ctx, store, map[string]any{"a": int64(1)})
			early := []*sessions.Session{newLogin(store), visitor}
			visitor.Login("ann")
			_, err := owners.DeleteOwner(ctx, "ann")
			need(err, "DeleteOwner")
			for _, s := range early {
				err := store.Save(ctx, s)
				want(errors.Is(err, sessions.ErrDeleted), "the login is %v, want ErrDeleted", err)
			}
			late := newLogin(store)
			need(store.Save(ctx, late), "a login that was called after the end")
			infos := listOwner(ctx, owners, "ann")
			want(len(infos) == 1 && infos[late.PublicID()].PublicID != "", "%d sessions are listed, want the late one", len(infos))
		}),
	withCapability("EndIsNotOutrun", "OwnerStore",
		"After a DeleteOwner none of the owner's sessions is stored, however often they are renewed or saved meanwhile.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			for range 20 {
				for _, act := range []func(*sessions.Session){(*sessions.Session).Renew, func(s *sessions.Session) { s.Set("n", int64(1)) }} {
					endNotOutrun(ctx, store, owners, act)
				}
			}
		}),
	limited(withCapability("OwnerHasNoMoreThanMaxSessions", "OwnerStore",
		"Of more logins at the same time than MaxSessions, as many are stored at the end. The others are ErrTooManySessions, or are ended by later ones.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			const logins = 16
			var made, refused atomic.Int64
			need(together(logins, func(int) error {
				s := newLogin(store)
				switch err := store.Save(ctx, s); {
				case err == nil:
					made.Add(1)
				case errors.Is(err, sessions.ErrTooManySessions):
					refused.Add(1)
				default:
					return err
				}
				return nil
			}), "login")
			infos := listOwner(ctx, owners, "ann")
			want(len(infos) == maxSessions && made.Load() >= maxSessions, "%d logins were stored, %d refused, and %d sessions are listed, want %d",
				made.Load(), refused.Load(), len(infos), maxSessions)
		})),
	limited(withCapability("SessionThatEndsMakesRoom", "OwnerStore",
		"A session that has ended does not count for MaxSessions, and neither does the one that logs in again.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			all := make([]*sessions.Session, maxSessions)
			for i := range all {
				all[i] = newLogin(store)
				need(store.Save(ctx, all[i]), "login")
			}
			all[0].Login("ann")
			need(store.Save(ctx, all[0]), "a login in a session of the owner")
			all[1].Destroy()
			need(store.Save(ctx, all[1]), "logout")
			late := newLogin(store)
			need(store.Save(ctx, late), "a login after a logout")
			infos := listOwner(ctx, owners, "ann")
			want(len(infos) == maxSessions && infos[late.PublicID()].PublicID != "" && infos[all[0].PublicID()].PublicID != "",
				"%d sessions are listed, want %d and the last two logins", len(infos), maxSessions)
		})),
}

// maxSessions is the limit in the checks of MaxSessions.
const maxSessions = 3

// limited has a check run with MaxSessions.
func limited(c check) check {
	c.options.MaxSessions = maxSessions
	return c
}

// newLogin returns a session of ann's that is not saved.
func newLogin(store sessions.SessionStore) *sessions.Session {
	s := store.New()
	s.Login("ann")
	return s
}

// endNotOutrun has a session do and save something until it is ended.
func endNotOutrun(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore, act func(*sessions.Session)) {
	s := newLogin(store)
	need(store.Save(ctx, s), "login")
	var over atomic.Bool
	started, done := make(chan bool, 1), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			late := over.Load()
			act(s)
			err := store.Save(ctx, s)
			if err == nil && late {
				err = errors.New("a save that began after the end succeeded")
			}
			if i == 2 || err != nil {
				select {
				case started <- true:
				default:
				}
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	<-started
	_, err := owners.DeleteOwner(ctx, "ann")
	over.Store(true)
	need(err, "DeleteOwner")
	select {
	case err = <-done:
	case <-time.After(time.Minute):
		err = errors.New("the session goes on")
	}
	want(errors.Is(err, sessions.ErrDeleted), "beside the end: %v, want ErrDeleted", err)
	infos := listOwner(ctx, owners, "ann")
	want(len(infos) == 0, "%d sessions are left after the end", len(infos))
}
