package sessions_test

import (
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

func TestDeadlinesAreThoseOfTheStoreOrTheSessionsOwn(t *testing.T) {
	const h = time.Hour
	for _, test := range []struct{ storeIdle, storeLife, idle, life, wantIdle, wantLife time.Duration }{
		{storeIdle: h, storeLife: 3 * h, wantIdle: h, wantLife: 3 * h},
		{storeIdle: h, storeLife: 3 * h, idle: 2 * h, life: 9 * h, wantIdle: 2 * h, wantLife: 9 * h},
		{storeIdle: sessions.Never, storeLife: sessions.Never},
		{storeIdle: sessions.Never, storeLife: sessions.Never, idle: 2 * h, life: 9 * h, wantIdle: 2 * h, wantLife: 9 * h},
	} {
		dir := t.TempDir()
		store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: test.storeIdle, Lifetime: test.storeLife})
		s, began := store.New(), time.Now()
		s.Login("ann")
		s.SetIdleTimeout(test.idle)
		s.SetLifetime(test.life)
		deadline := func(timeout time.Duration, from time.Time) time.Time {
			if timeout == 0 {
				return time.Time{}
			}
			return from.Add(timeout)
		}
		check := func(when string, used time.Time) {
			t.Helper()
			idle, end := deadline(test.wantIdle, used), deadline(test.wantLife, began)
			if !near(s.IdleDeadline(), idle) || !near(s.Deadline(), end) {
				t.Errorf("%+v, %s: %v and %v, want %v and %v", test, when, s.IdleDeadline(), s.Deadline(), idle, end)
			}
			for _, info := range listOwner(t, store, "ann") {
				if info.PublicID != s.PublicID() || !near(info.IdleDeadline, idle) || !near(info.Deadline, end) {
					t.Errorf("%+v, %s, listed: %+v, want %v and %v", test, when, info, idle, end)
				}
			}
		}
		check("new", began)
		save(t, store, s)
		check("saved", began)
		age(t, fileOf(t, dir, s), h/2)
		if s = get(t, store, s.ID()); test.wantIdle > 0 {
			check("loaded", began.Add(-h/2))
		}
		s.Set("a", 1)
		if want := deadline(test.wantIdle, began); !near(s.IdleDeadline(), want) {
			t.Errorf("%+v, modified: %v, want %v", test, s.IdleDeadline(), want)
		}
	}
}

// near forgives the delays of a busy machine.
func near(a, b time.Time) bool { return a.Sub(b).Abs() < time.Minute }
