package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/sessfs/sessions"
)

// changeChecks are rules about two requests that overlap: each has loaded the session
// before the other saves it. The saves come one after the other.
var changeChecks = []check{
	twoRequests("DifferentValuesAreBothKept", "A sets a, B sets b: both are there.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			a.Set("a", "A")
			b.Set("b", "B")
			need(store.Save(ctx, a), "A's save")
			need(store.Save(ctx, b), "B's save")
			s := load(ctx, store, a.ID())
			want(s.Get("a") == "A" && s.Get("b") == "B", "a = %v, b = %v", s.Get("a"), s.Get("b"))
			want(b.Get("a") == "A" && !b.Modified() && !b.New(), "after its save B does not hold the merged values")
			want(s.Get("old") == "kept", "a value that was not changed is lost")
		}),
	twoRequests("TheLaterSaveOfAValueWins", "A sets a, B sets a: the later save's value is there, also when it is the original one.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			a.Set("old", "A")
			b.Set("old", "kept")
			need(store.Save(ctx, a), "A's save")
			need(store.Save(ctx, b), "B's save")
			want(load(ctx, store, a.ID()).Get("old") == "kept", "the earlier save's value is there")
		}),
	twoRequests("DeletedValueStaysDeleted", "A deletes a, B sets b: a is gone, b is there.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			a.Delete("old")
			b.Set("b", "B")
			need(store.Save(ctx, a), "A's save")
			need(store.Save(ctx, b), "B's save")
			s := load(ctx, store, a.ID())
			_, there := s.Lookup("old")
			want(!there && s.Get("b") == "B", "a is there: %v, b = %v", there, s.Get("b"))
		}),
	twoRequests("ClearThenAnotherSave", "A clears, B sets b and saves later: the values from before are gone, b is there.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			a.Clear()
			b.Set("b", "B")
			need(store.Save(ctx, a), "A's save")
			need(store.Save(ctx, b), "B's save")
			s := load(ctx, store, a.ID())
			want(s.Len() == 1 && s.Get("b") == "B", "%d values, b = %v", s.Len(), s.Get("b"))
		}),
	twoRequests("ClearAfterAnotherSave", "B sets b, A clears and saves later: everything is gone.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			a.Clear()
			b.Set("b", "B")
			need(store.Save(ctx, b), "B's save")
			need(store.Save(ctx, a), "A's save")
			want(load(ctx, store, a.ID()).Len() == 0, "values are left")
		}),
	twoRequests("SavedSessionHasTheValuesOfOthers", "A saves a value that B was handed out before, B saves another: then B's session has A's.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			want(b.Get("prefs") != nil, "there is no value")
			a.Set("prefs", map[string]any{"theme": "dark"})
			need(store.Save(ctx, a), "A's save")
			b.Set("b", "B")
			need(store.Save(ctx, b), "B's save")
			prefs, _ := b.Get("prefs").(map[string]any)
			want(prefs["theme"] == "dark", "after its save B has the theme %v", prefs["theme"])
		}),
	twoRequests("LogoutIsFinal", "A logs out, B saves: the session stays gone, and B's save is ErrDeleted.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			id := a.ID()
			a.Destroy()
			need(store.Save(ctx, a), "A's save")
			b.Set("b", "B")
			err := store.Save(ctx, b)
			want(errors.Is(err, sessions.ErrDeleted), "B's save is %v, want ErrDeleted", err)
			gone(ctx, store, id, "the session was destroyed")
			want(len(list(ctx, store)) == 0, "the session was revived under another ID")
		}),
	twoRequests("DeleteIsFinal", "A deletes the session, B saves: it stays gone, and B's save is ErrDeleted.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			need(store.Delete(ctx, a), "A's delete")
			b.Set("b", "B")
			err := store.Save(ctx, b)
			want(errors.Is(err, sessions.ErrDeleted), "B's save is %v, want ErrDeleted", err)
			want(b.Modified(), "B's session counts as saved")
			gone(ctx, store, b.ID(), "the session was deleted")
		}),
	twoRequests("RenewalIsFinal", "A renews, B saves under the old ID: the old ID never works again, and nothing is revived.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			old := a.ID()
			a.Renew()
			a.Set("user", "ann")
			need(store.Save(ctx, a), "A's save")
			want(a.ID() != old && store.IsValidKey(a.ID()), "the ID is not a new one")
			b.Set("b", "B")
			err := store.Save(ctx, b)
			want(errors.Is(err, sessions.ErrDeleted), "B's save is %v, want ErrDeleted", err)
			gone(ctx, store, old, "the session was renewed")
			s := load(ctx, store, a.ID())
			want(s.Get("user") == "ann" && s.Get("old") == "kept", "values were lost with the renewal")
			want(len(list(ctx, store)) == 1, "%d sessions are stored", len(list(ctx, store)))
		}),
	twoRequests("RenewalKeepsWhatOthersSaved", "B saves, A renews later: B's values are under the new ID.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			b.Set("b", "B")
			need(store.Save(ctx, b), "B's save")
			a.Renew()
			need(store.Save(ctx, a), "A's save")
			want(load(ctx, store, a.ID()).Get("b") == "B", "B's value is lost")
		}),
	twoRequests("DifferentAttributesAreBothKept", "A sets the owner and a timeout, B sets Meta and a lifetime: all are there.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			a.SetOwner("ann")
			a.SetIdleTimeout(time.Hour)
			b.SetMeta("device")
			b.SetLifetime(2 * time.Hour)
			need(store.Save(ctx, a), "A's save")
			need(store.Save(ctx, b), "B's save")
			s := load(ctx, store, a.ID())
			want(s.Owner() == "ann" && s.IdleTimeout() == time.Hour, "A's owner %q, timeout %v", s.Owner(), s.IdleTimeout())
			want(s.Meta() == "device" && s.Lifetime() == 2*time.Hour, "B's Meta %q, lifetime %v", s.Meta(), s.Lifetime())
			want(b.Owner() == "ann" && !b.Modified(), "after its save B does not hold A's owner")
		}),
	twoRequests("LoginIsARenewal", "A logs in, B saves under the old ID: A keeps the values under a new ID, the old one never works again.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			old := a.ID()
			a.Login("ann")
			need(store.Save(ctx, a), "A's save")
			b.Set("b", "B")
			err := store.Save(ctx, b)
			want(errors.Is(err, sessions.ErrDeleted), "B's save is %v, want ErrDeleted", err)
			gone(ctx, store, old, "the session's owner logged in")
			s := load(ctx, store, a.ID())
			want(a.ID() != old && s.Owner() == "ann" && s.Get("old") == "kept", "owner %q, old = %v", s.Owner(), s.Get("old"))
			want(len(list(ctx, store)) == 1, "%d sessions are stored", len(list(ctx, store)))
		}),
	twoRequests("LoginAfterTheEndBeginsAnew", "A logs out, B logs in later: B's save stores a session of its own, with the values alone that B has set.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			old := a.ID()
			a.Destroy()
			need(store.Save(ctx, a), "A's save")
			b.Login("ann")
			b.Set("b", "B")
			need(store.Save(ctx, b), "B's save")
			gone(ctx, store, old, "the session was destroyed")
			s := load(ctx, store, b.ID())
			want(s.Owner() == "ann" && s.Len() == 1 && s.Get("b") == "B", "%d values of %q came back", s.Len(), s.Owner())
			want(b.Len() == 1 && !b.Modified(), "after its save B holds %d values", b.Len())
		}),
	{
		name: "LoginOfAnotherOwnerBeginsAnew",
		rule: "A login of another owner ends the session, and nothing of it is in the new one.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := store.New()
			s.Login("ann")
			s.Set("hers", int64(1))
			s.SetMeta("her device")
			need(store.Save(ctx, s), "save")
			old := s.ID()
			s.Login("bob")
			s.Set("his", int64(1))
			need(store.Save(ctx, s), "save")
			gone(ctx, store, old, "another owner logged in")
			loaded := load(ctx, store, s.ID())
			want(loaded.Owner() == "bob" && loaded.Len() == 1 && loaded.Get("his") == int64(1) && loaded.Meta() == "",
				"%d values of %q came back, Meta %q", loaded.Len(), loaded.Owner(), loaded.Meta())
		}),
	},
	twoRequests("NestedChangeIsCarriedAlone", "A changes inside a value and calls MarkModified, B sets b: both are kept, and only changed values are carried.",
		func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session) {
			a.Get("untouched") // handed out, and not changed
			a.Get("prefs").(map[string]any)["theme"] = "dark"
			a.MarkModified()
			b.Set("b", "B")
			b.Set("untouched", []any{"B"})
			need(store.Save(ctx, b), "B's save")
			need(store.Save(ctx, a), "A's save")
			s := load(ctx, store, a.ID())
			prefs, _ := s.Get("prefs").(map[string]any)
			want(prefs["theme"] == "dark", "the change inside a value is lost")
			list, _ := s.Get("untouched").([]any)
			want(s.Get("b") == "B" && len(list) == 1, "B's values are lost")
		}),
	{
		name: "DestroyedSessionMayBeginAnew",
		rule: "Values that are set after Destroy are stored under a new ID, and nothing from before with them.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := saved(ctx, store, map[string]any{"user": "ann"})
			old := s.ID()
			s.Destroy()
			s.Set("farewell", true)
			need(store.Save(ctx, s), "save")
			gone(ctx, store, old, "the session was destroyed")
			loaded := load(ctx, store, s.ID())
			want(loaded.Len() == 1 && loaded.Get("farewell") == true, "%d values came back", loaded.Len())
		}),
	},
}

// twoRequests returns a check of two requests that have loaded the same session.
func twoRequests(name, rule string, do func(ctx context.Context, store sessions.SessionStore, a, b *sessions.Session)) check {
	return check{name: name, rule: rule, run: catching(func(ctx context.Context, store sessions.SessionStore) {
		id := saved(ctx, store, map[string]any{
			"old":       "kept",
			"prefs":     map[string]any{"theme": "light"},
			"untouched": []any{},
		}).ID()
		do(ctx, store, load(ctx, store, id), load(ctx, store, id))
	})}
}
