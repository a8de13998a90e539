package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
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
		"When update fails, only its own changes are taken back: those of another goroutine to the session stay.",
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
		"update gets the session as it is stored, with the changes that it has itself.",
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
	withCapability("GetTouchIsGetAndTouch", "GetToucher",
		"GetTouch loads what Get loads, and restarts the idle timeout as Touch does.",
		func(ctx context.Context, store sessions.SessionStore, toucher sessions.GetToucher) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			for interval, want1 := range map[time.Duration]bool{0: true, time.Hour: false} {
				got, touched, err := toucher.GetTouch(ctx, s.ID(), interval)
				need(err, "GetTouch")
				want(got.ID() == s.ID() && !got.New() && !got.Modified() && got.Get("a") == int64(1), "GetTouch gave another session")
				want(touched == want1, "GetTouch with the interval %v has touched: %v", interval, touched)
				got.Set("a", int64(1))
				need(store.Save(ctx, got), "save of a session of GetTouch")
			}
			need(store.Delete(ctx, s), "delete")
			for _, id := range []string{s.ID(), store.GenerateKey(), "no ID"} {
				got, touched, err := toucher.GetTouch(ctx, id, 0)
				need(err, "GetTouch of an unknown ID")
				want(got.New() && got.ID() != id && !touched, "GetTouch of an unknown ID gave %v, touched %v", got, touched)
			}
			want(len(list(ctx, store)) == 0, "GetTouch stored something")
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
	withCapability("DeleteAllEndsAll", "Clearer", "DeleteAll ends every session, and returns their number.",
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
		"ListOwner returns the sessions of an owner, DeleteOwner ends them but for those to keep, and no others.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			var own []*sessions.Session
			for range 3 {
				own = append(own, savedFor(ctx, store, "ann"))
			}
			other, unowned := savedFor(ctx, store, "bob"), savedFor(ctx, store, "")
			infos := listOwner(ctx, owners, "ann")
			for _, s := range own {
				_, ok := infos[s.PublicID()]
				want(ok, "ListOwner misses a session")
			}
			want(len(infos) == 3, "ListOwner returned %d of 3 sessions", len(infos))
			n, err := owners.DeleteOwner(ctx, "ann", own[1].PublicID())
			need(err, "DeleteOwner")
			want(n == 2, "DeleteOwner ended %d sessions, want 2", n)
			gone(ctx, store, own[0].ID(), "its owner's sessions were ended")
			for _, none := range []string{"", "carl"} {
				want(len(listOwner(ctx, owners, none)) == 0, "ListOwner of the owner %q returned sessions", none)
				n, err = owners.DeleteOwner(ctx, none)
				need(err, "DeleteOwner of no owner")
				want(n == 0, "DeleteOwner of the owner %q ended %d sessions", none, n)
			}
			for _, s := range []*sessions.Session{own[1], other, unowned} {
				load(ctx, store, s.ID())
			}
		}),
	withCapability("ListOwnerEndsWithTheContext", "OwnerStore",
		"When its context ends, ListOwner ends with the context's error, and the zero SessionInfo beside it.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			list := func(ctx context.Context) iter.Seq2[sessions.SessionInfo, error] { return owners.ListOwner(ctx, "ann") }
			listError(list(ended(ctx)), context.Canceled)
			for range 3 {
				savedFor(ctx, store, "ann")
			}
			listEnds(ctx, list)
		}),
	withCapability("ListOwnerDescribes", "OwnerStore",
		"ListOwner returns the attributes of a session, and neither its ID nor its key.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			s := store.New()
			s.Login("ann")
			s.SetMeta("a phone; 192.0.2.1")
			s.SetPersistence(sessions.PersistUntilClosed)
			s.SetIdleTimeout(time.Hour)
			s.SetLifetime(2 * time.Hour)
			need(store.Save(ctx, s), "save")
			infos := listOwner(ctx, owners, "ann")
			info := infos[s.PublicID()]
			want(len(infos) == 1 && info.PublicID == s.PublicID(), "ListOwner returned %d sessions, want one with the PublicID of the saved one", len(infos))
			want(!strings.Contains(fmt.Sprint(info), s.ID()), "ListOwner returned the session's ID")
			want(info.Meta == s.Meta() && info.Persistence == s.Persistence(), "Meta %q, Persistence %d", info.Meta, info.Persistence)
			for what, at := range map[string][2]time.Time{
				"Created":         {info.Created, s.Created()},
				"AuthenticatedAt": {info.AuthenticatedAt, s.AuthenticatedAt()},
				"IdleDeadline":    {info.IdleDeadline, time.Now().Add(time.Hour)},
				"Deadline":        {info.Deadline, s.Created().Add(2 * time.Hour)},
			} {
				off := at[0].Sub(at[1]).Abs()
				want(off < 10*time.Second, "%s is off by %v", what, off)
			}
		}),
	withCapability("DeleteOneEndsOne", "OwnerStore",
		"DeleteOne ends the session of that public ID, and never another owner's.",
		func(ctx context.Context, store sessions.SessionStore, owners sessions.OwnerStore) {
			s, kept, other, unowned := savedFor(ctx, store, "ann"), savedFor(ctx, store, "ann"), savedFor(ctx, store, "bob"), savedFor(ctx, store, "")
			for _, test := range []struct {
				owner, publicID string
				want            bool
			}{
				{"ann", other.PublicID(), false},
				{"", unowned.PublicID(), false},
				{"ann", s.ID(), false},
				{"ann", s.PublicID(), true},
				{"ann", s.PublicID(), false},
			} {
				ended, err := owners.DeleteOne(ctx, test.owner, test.publicID)
				need(err, "DeleteOne")
				want(ended == test.want, "DeleteOne is %v, want %v", ended, test.want)
			}
			gone(ctx, store, s.ID(), "DeleteOne has ended it")
			for _, s := range []*sessions.Session{kept, other, unowned} {
				load(ctx, store, s.ID())
			}
		}),
}

// withCapability returns a check for stores that are a C.
func withCapability[C any](name, capabilityName, rule string, do func(ctx context.Context, store sessions.SessionStore, c C)) check {
	return check{name: name, rule: rule, run: catching(func(ctx context.Context, store sessions.SessionStore) {
		c, err := capability[C](store, capabilityName)
		if err != nil {
			panic(failed{err})
		}
		do(ctx, store, c)
	})}
}

// listOwner returns the sessions of an owner by their public IDs.
func listOwner(ctx context.Context, owners sessions.OwnerStore, owner string) map[string]sessions.SessionInfo {
	infos := make(map[string]sessions.SessionInfo)
	for info, err := range owners.ListOwner(ctx, owner) {
		need(err, "ListOwner")
		infos[info.PublicID] = info
	}
	return infos
}

// savedFor returns a saved session of that owner.
func savedFor(ctx context.Context, store sessions.SessionStore, owner string) *sessions.Session {
	s := store.New()
	s.SetOwner(owner)
	s.Set("a", int64(1))
	need(store.Save(ctx, s), "save")
	return s
}
