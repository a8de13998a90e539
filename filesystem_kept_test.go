package sessions_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessfs/sessions"
)

// The sessions of one file that is kept open share the text that they were loaded from, and
// nothing that one of them can change.
func TestGetOfAFileInUseMakesASessionOfItsOwn(t *testing.T) {
	for name, o := range map[string]sessions.FilesystemOptions{
		"JSON":             {},
		"gob":              {Codec: sessions.Gob()},
		"no timeouts":      {IdleTimeout: sessions.Never, Lifetime: sessions.Never},
		"hashed names":     {HashNames: true},
		"adopting its IDs": {KeepMissingID: true},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, o)
			s := store.New()
			s.SetOwner("ann")
			s.SetIdleTimeout(time.Hour)
			s.Set("list", []string{"a", "b"})
			s.Set("n", 1)
			save(t, store, s)
			want := func(got *sessions.Session, text string) {
				t.Helper()
				list, _ := sessions.Key[[]string]("list").Lookup(got)
				if is := fmt.Sprintf("%v %d %s %v", list, sessions.Key[int]("n").Get(got), got.Owner(), got.IdleTimeout()); is != text {
					t.Errorf("got %s, want %s", is, text)
				}
			}
			var running sync.WaitGroup
			for range 8 {
				running.Go(func() {
					for i := range 50 {
						got := get(t, store, s.ID())
						want(got, "[a b] 1 ann 1h0m0s")
						// In place, and in the session alone.
						list, _ := sessions.Key[[]string]("list").Lookup(got)
						list[0] = "changed"
						switch i % 4 {
						case 0:
							got.Set("n", 2)
						case 1:
							got.Clear()
						case 2:
							got.Delete("list")
							got.SetOwner("bob")
						case 3:
							got.MarkModified()
							got.SetIdleTimeout(time.Minute)
						}
					}
				})
			}
			running.Wait()
			got := get(t, store, s.ID())
			got.Set("n", 2)
			save(t, store, got)
			want(get(t, store, s.ID()), "[a b] 2 ann 1h0m0s")
			want(got, "[a b] 2 ann 1h0m0s")
		})
	}
}

// A file in use is judged by the time that it has now.
func TestGetOfAFileInUseSeesItsExpiryAndItsTouches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, sessions.FilesystemOptions{IdleTimeout: time.Hour, Lifetime: 10 * time.Hour})
		s := store.New()
		s.Set("a", 1)
		save(t, store, s)
		for n := range 11 {
			for range 3 {
				if got := get(t, store, s.ID()); got.New() != (n >= 10) {
					t.Fatalf("after %d half hours it is new: %v", 2*n, got.New())
				}
			}
			if ok, err := store.Touch(t.Context(), s, time.Second); n > 0 && n < 10 && (!ok || err != nil) || n >= 10 && !errors.Is(err, sessions.ErrDeleted) {
				t.Fatalf("after %d half hours, Touch = %v, %v", 2*n, ok, err)
			}
			time.Sleep(time.Hour - time.Second)
			if n == 9 {
				time.Sleep(time.Minute)
			}
		}
	})
}
