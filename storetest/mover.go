package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/sessfs/sessions"
)

var moverChecks = []check{
	withCapability("ExportEndsTheSession", "Mover",
		"Export passes the record on and ends the session when that succeeds; otherwise the session stays, and the error is that of the function.",
		func(ctx context.Context, store sessions.SessionStore, mover sessions.Mover) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			errOwn := errors.New("the function's own")
			err := mover.Export(ctx, mover.Key(s.ID()), func(sessions.Record) error { return errOwn })
			want(errors.Is(err, errOwn), "got error %v, want the function's", err)
			held := load(ctx, store, s.ID())
			export(ctx, mover, s)
			gone(ctx, store, s.ID(), "it was exported")
			held.Set("a", int64(2))
			err = store.Save(ctx, held)
			want(errors.Is(err, sessions.ErrDeleted), "a save afterwards is %v, want ErrDeleted", err)
			err = mover.Export(ctx, mover.Key(s.ID()), func(sessions.Record) error { return nil })
			want(errors.Is(err, sessions.ErrNotStored), "a second Export is %v, want ErrNotStored", err)
		}),
	withCapability("ImportKeepsTheSessionAsItIs", "Mover",
		"A session that was exported and imported has the same values, attributes and times, and its timeouts go on.",
		func(ctx context.Context, store sessions.SessionStore, mover sessions.Mover) {
			s := store.New()
			s.Login("ann")
			s.Set("a", "1")
			s.Set("b", []any{int64(1), "x"})
			s.SetMeta("a phone; 192.0.2.1")
			s.SetPersistence(sessions.PersistIdle)
			s.SetIdleTimeout(2 * time.Hour)
			s.SetLifetime(9 * time.Hour)
			need(store.Save(ctx, s), "save")
			rec := export(ctx, mover, s)
			rec.Created, rec.AuthenticatedAt = rec.Created.Add(-3*time.Hour), rec.AuthenticatedAt.Add(-3*time.Hour)
			rec.Used = rec.Used.Add(-time.Hour)
			need(mover.Import(ctx, mover.Key(s.ID()), rec), "import")
			got := load(ctx, store, s.ID())
			want(got.Get("a") == "1" && len(got.Get("b").([]any)) == 2 && got.Len() == 2, "its values are %d", got.Len())
			want(got.Owner() == "ann" && got.Meta() == s.Meta() && got.Persistence() == s.Persistence() &&
				got.IdleTimeout() == s.IdleTimeout() && got.Lifetime() == s.Lifetime(), "its attributes are others")
			for attribute, off := range map[string]time.Duration{
				"Created":         got.Created().Sub(rec.Created).Abs(),
				"AuthenticatedAt": got.AuthenticatedAt().Sub(rec.AuthenticatedAt).Abs(),
				"IdleDeadline":    time.Until(got.IdleDeadline()) - time.Hour,
				"Deadline":        time.Until(got.Deadline()) - 6*time.Hour,
			} {
				want(off.Abs() < 10*time.Second, "%s is off by %v", attribute, off)
			}
			got.Set("a", "2")
			need(store.Save(ctx, got), "a save afterwards")
			want(load(ctx, store, s.ID()).Get("a") == "2", "a save afterwards was lost")
		}),
	withCapability("ImportRevivesAndOverwritesNothing", "Mover",
		"Import is ErrExists when the key is taken, and ErrDeleted when the session has expired.",
		func(ctx context.Context, store sessions.SessionStore, mover sessions.Mover) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			rec := export(ctx, mover, s)
			need(mover.Import(ctx, mover.Key(s.ID()), rec), "import")
			err := mover.Import(ctx, mover.Key(s.ID()), rec)
			want(errors.Is(err, sessions.ErrExists), "a second Import is %v, want ErrExists", err)
			ended := saved(ctx, store, nil)
			rec = export(ctx, mover, ended)
			rec.Used, rec.IdleTimeout = rec.Used.Add(-time.Hour), time.Minute
			err = mover.Import(ctx, mover.Key(ended.ID()), rec)
			want(errors.Is(err, sessions.ErrDeleted), "Import of an expired session is %v, want ErrDeleted", err)
			gone(ctx, store, ended.ID(), "it has expired")
		}),
}

// export ends a session and returns its record.
func export(ctx context.Context, mover sessions.Mover, s *sessions.Session) (rec sessions.Record) {
	need(mover.Export(ctx, mover.Key(s.ID()), func(r sessions.Record) error {
		rec = r
		return nil
	}), "export")
	return rec
}
