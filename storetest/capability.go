package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessfs/sessions"
)

var capabilityChecks = []check{
	withCapability("FailedUpdateChangesNothing", "Updater",
		"When update fails, nothing is saved and the session is what it was.",
		func(ctx context.Context, store sessions.SessionStore, updater sessions.Updater) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			s.Set("pending", true)
			errOwn := errors.New("the update's own")
			err := updater.Update(ctx, s, func(s *sessions.Session) error {
				s.Set("a", int64(2))
				s.Delete("pending")
				return errOwn
			})
			want(errors.Is(err, errOwn), "got error %v, want update's", err)
			want(s.Get("a") == int64(1) && s.Get("pending") == true && s.Modified(), "the session is changed: %v", s)
			want(load(ctx, store, s.ID()).Get("a") == int64(1), "the stored session is changed")
		}),
	withCapability("FailedUpdateKeepsWhatOthersDid", "Updater",
		"When update fails, only what it did is taken back: what another goroutine did to the session meanwhile stays.",
		func(ctx context.Context, store sessions.SessionStore, updater sessions.Updater) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			err := updater.Update(ctx, s, func(updated *sessions.Session) error {
				s.Set("b", int64(2))
				updated.Set("a", int64(2))
				return errors.New("the update's own")
			})
			want(err != nil, "a failed update is no error")
			want(s.Get("a") == int64(1) && s.Get("b") == int64(2), "a = %v, b = %v", s.Get("a"), s.Get("b"))
			need(store.Save(ctx, s), "save")
			want(load(ctx, store, s.ID()).Get("b") == int64(2), "what was done meanwhile is not saved")
		}),
	withCapability("UpdateRefusesOtherSaves", "Updater",
		"While update runs, Save, SaveIfModified, Update and Delete of that session are ErrUpdating at once; the Update itself goes on.",
		func(ctx context.Context, store sessions.SessionStore, updater sessions.Updater) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			var refused error
			updated := make(chan error, 1)
			go func() {
				updated <- updater.Update(ctx, s, func(updated *sessions.Session) error {
					for name, act := range map[string]func(context.Context, *sessions.Session) error{
						"Save": store.Save, "SaveIfModified": store.SaveIfModified, "Delete": store.Delete,
						"Update": func(ctx context.Context, s *sessions.Session) error {
							return updater.Update(ctx, s, func(*sessions.Session) error { return nil })
						},
					} {
						if err := act(ctx, s); !errors.Is(err, sessions.ErrUpdating) {
							refused = fmt.Errorf("%s returned %v, want ErrUpdating", name, err)
						}
					}
					updated.Set("a", int64(2))
					return nil
				})
			}()
			select {
			case err := <-updated:
				need(err, "update")
				need(refused, "inside of an update")
			case <-time.After(10 * time.Second):
				want(false, "inside of an update something waits for the update")
			}
			want(load(ctx, store, s.ID()).Get("a") == int64(2), "the update was not saved")
		}),
	withCapability("UpdateSeesWhatIsStored", "Updater",
		"update gets what is stored, with what the session itself has changed.",
		func(ctx context.Context, store sessions.SessionStore, updater sessions.Updater) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			other := load(ctx, store, s.ID())
			other.Set("a", int64(5))
			need(store.Save(ctx, other), "another request's save")
			s.Set("b", int64(1))
			need(updater.Update(ctx, s, func(s *sessions.Session) error {
				a, _ := s.Get("a").(int64)
				b, _ := s.Get("b").(int64)
				s.Set("sum", a+b)
				return nil
			}), "update")
			got := load(ctx, store, s.ID())
			want(got.Get("sum") == int64(6) && got.Get("b") == int64(1), "sum = %v, b = %v", got.Get("sum"), got.Get("b"))
		}),
	withCapability("UpdateStoresANewSession", "Updater", "Update of a session that is not stored yet stores it.",
		func(ctx context.Context, store sessions.SessionStore, updater sessions.Updater) {
			s := store.New()
			need(updater.Update(ctx, s, func(s *sessions.Session) error {
				s.Set("a", int64(1))
				return nil
			}), "update")
			want(load(ctx, store, s.ID()).Get("a") == int64(1), "it was not stored")
		}),
	withCapability("UpdateOfAnEndedSession", "Updater", "Update of a session that was ended is ErrDeleted, and revives nothing.",
		func(ctx context.Context, store sessions.SessionStore, updater sessions.Updater) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			need(store.Delete(ctx, load(ctx, store, s.ID())), "delete")
			err := updater.Update(ctx, s, func(s *sessions.Session) error {
				s.Set("a", int64(2))
				return nil
			})
			want(errors.Is(err, sessions.ErrDeleted), "got error %v, want ErrDeleted", err)
			gone(ctx, store, s.ID(), "the session was deleted")
		}),
	withCapability("TouchRevivesNothing", "Toucher",
		"Touch of an ended session is ErrDeleted; of another one it changes no value, and reports that it did.",
		func(ctx context.Context, store sessions.SessionStore, toucher sessions.Toucher) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			touched, err := toucher.Touch(ctx, s, 0)
			need(err, "touch")
			want(touched, "nothing was done")
			want(load(ctx, store, s.ID()).Get("a") == int64(1), "a value changed")
			touched, err = toucher.Touch(ctx, s, time.Hour)
			need(err, "touch")
			want(!touched, "a session was touched that had been touched within the interval")
			need(store.Delete(ctx, s), "delete")
			_, err = toucher.Touch(ctx, s, 0)
			want(errors.Is(err, sessions.ErrDeleted), "got error %v, want ErrDeleted", err)
			gone(ctx, store, s.ID(), "the session was deleted")
		}),
	withCapability("TouchDoesNotWait", "Toucher",
		"Touch does nothing, and is no error, while an Update has the session.",
		func(ctx context.Context, store sessions.SessionStore, toucher sessions.Toucher) {
			updater, err := capability[sessions.Updater](store, "Updater")
			if err != nil {
				panic(failed{err})
			}
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			other := load(ctx, store, s.ID())
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			updating, touched, updated := make(chan bool), make(chan error, 1), make(chan error, 1)
			go func() {
				updated <- updater.Update(ctx, s, func(s *sessions.Session) error {
					close(updating)
					select {
					case err := <-touched:
						return err
					case <-ctx.Done():
						return errors.New("Touch waits for the update")
					}
				})
			}()
			<-updating
			_, err = toucher.Touch(ctx, other, 0)
			touched <- err
			need(<-updated, "Touch during an update")
			_, err = toucher.Touch(ctx, other, 0)
			need(err, "Touch after the update")
		}),
	withCapability("DeleteAllEndsAll", "Clearer", "DeleteAll ends every session, and says how many.",
		func(ctx context.Context, store sessions.SessionStore, clearer sessions.Clearer) {
			held := saved(ctx, store, map[string]any{"a": int64(1)})
			for range 9 {
				saved(ctx, store, nil)
			}
			n, err := clearer.DeleteAll(ctx)
			need(err, "DeleteAll")
			want(n == 10 && len(list(ctx, store)) == 0, "ended %d of 10, %d are left", n, len(list(ctx, store)))
			held.Set("a", int64(2))
			err = store.Save(ctx, held)
			want(errors.Is(err, sessions.ErrDeleted), "a save afterwards is %v, want ErrDeleted", err)
		}),
	withCapability("SessionsByOwner", "OwnerStore",
		"ListOwner gives the sessions of an owner, DeleteOwner ends them but for those to keep, and no others.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			var ids []string
			for range 3 {
				ids = append(ids, savedFor(ctx, store, "ann"))
			}
			other := savedFor(ctx, store, "bob")
			nobodys := savedFor(ctx, store, "")
			n := 0
			for s, err := range owners.ListOwner(ctx, "ann") {
				need(err, "ListOwner")
				want(s.Owner() == "ann" && !s.New() && !s.Modified(), "ListOwner gave %v", s)
				n++
			}
			want(n == 3, "ListOwner gave %d of 3 sessions", n)
			n, err := owners.DeleteOwner(ctx, "ann", ids[1])
			need(err, "DeleteOwner")
			want(n == 2, "DeleteOwner ended %d sessions, want 2", n)
			gone(ctx, store, ids[0], "its owner's sessions were ended")
			n, err = owners.DeleteOwner(ctx, "")
			need(err, "DeleteOwner of no owner")
			want(n == 0, "DeleteOwner of the owner \"\" ended %d sessions", n)
			for _, id := range []string{ids[1], other, nobodys} {
				load(ctx, store, id)
			}
		}),
}

// withCapability is a check for stores that are a C.
func withCapability[C any](name, capabilityName, rule string, do func(ctx context.Context, store sessions.SessionStore, c C)) check {
	return check{name: name, rule: rule, run: catching(func(ctx context.Context, store sessions.SessionStore) {
		c, err := capability[C](store, capabilityName)
		if err != nil {
			panic(failed{err})
		}
		do(ctx, store, c)
	})}
}

// savedFor returns the ID of a saved session of that owner.
func savedFor(ctx context.Context, store sessions.SessionStore, owner string) string {
	s := store.New()
	s.SetOwner(owner)
	s.Set("a", int64(1))
	need(store.Save(ctx, s), "save")
	return s.ID()
}
