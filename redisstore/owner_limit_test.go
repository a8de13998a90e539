package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// entered moves the entry of a session in the index back in time.
func entered(t *testing.T, server *redistest.Server, s *sessions.Session, age time.Duration) {
	t.Helper()
	client := server.Client(t)
	for _, index := range server.Keys(t) {
		if !strings.Contains(index, "owner:") {
			continue
		}
		for name := range client.HGetAll(t.Context(), index).Val() {
			if strings.Contains(name, s.PublicID()) {
				client.HSet(t.Context(), index, name, fmt.Sprint(time.Now().Add(-age).UnixMilli())+" 0")
			}
		}
	}
}

func TestMaxSessionsEndsTheOldestOrRefuses(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("RefuseLogin=%v", refuse), func(t *testing.T) {
			server := redistest.Start(t)
			var ended []sessions.EndReason
			store := newStore(t, server.Client(t), redisstore.Options{MaxSessions: 2, RefuseLogin: refuse, Observe: func(_ context.Context, e sessions.Event) {
				if e.Kind == sessions.EventEnded {
					ended = append(ended, e.Reason)
				}
			}})
			first, second, bobs := loggedIn(t, store, "ann"), loggedIn(t, store, "ann"), loggedIn(t, store, "bob")
			third := store.New()
			third.Login("ann")
			if err := store.Save(t.Context(), third); !errors.Is(err, sessions.ErrTooManySessions) {
				t.Errorf("a login beside young ones is %v, want ErrTooManySessions", err)
			}
			visitor := get(t, store, bobs.ID()) // bob's browser
			visitor.Login("ann")
			if err := store.Save(t.Context(), visitor); !errors.Is(err, sessions.ErrTooManySessions) || get(t, store, bobs.ID()).New() {
				t.Errorf("it is %v, and bob's session is ended", err)
			}
			again := get(t, store, second.ID()) // needs no room
			again.Login("ann")
			save(t, store, again)
			entered(t, server, first, time.Hour)
			err := store.Save(t.Context(), third)
			if refuse {
				if !errors.Is(err, sessions.ErrTooManySessions) {
					t.Errorf("a login is %v, want ErrTooManySessions", err)
				}
				save(t, store, get(t, store, first.ID()))
				if _, err := store.DeleteOne(t.Context(), "ann", first.PublicID()); err != nil {
					t.Fatal(err)
				}
				err = store.Save(t.Context(), third)
			}
			if err != nil || !get(t, store, first.ID()).New() || get(t, store, again.ID()).New() || len(listed(t, store, "ann")) != 2 {
				t.Errorf("%v, or another session than the oldest is ended", err)
			}
			want := []sessions.EndReason{sessions.EndedByLimit}
			if refuse {
				want = []sessions.EndReason{sessions.EndedByOwner}
			}
			if fmt.Sprint(ended) != fmt.Sprint(want) {
				t.Errorf("the ends are %v, want %v", ended, want)
			}
		})
	}
}

// A session from before the server's clock was set back is not of the same moment.
func TestMaxSessionsAfterTheClockIsSetBack(t *testing.T) {
	server := redistest.Start(t)
	store := newStore(t, server.Client(t), redisstore.Options{MaxSessions: 1})
	entered(t, server, loggedIn(t, store, "ann"), -time.Hour)
	loggedIn(t, store, "ann")
	if n := len(listed(t, store, "ann")); n != 1 {
		t.Errorf("%d are listed, want 1", n)
	}
}

// A public ID to keep that looks like a time does not make the end one that is over.
func TestDeleteOwnerKeepsATextThatIsNoID(t *testing.T) {
	store := newStore(t, redistest.Start(t).Client(t), redisstore.Options{})
	s := store.New()
	s.Login("ann")
	if _, err := store.DeleteOwner(t.Context(), "ann", "1"); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), s); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("a login from before the end is %v, want ErrDeleted", err)
	}
}

// Sessions that have expired take no room.
func TestMaxSessionsCountsTheLiving(t *testing.T) {
	server := redistest.Start(t)
	store := newStore(t, server.Client(t), redisstore.Options{MaxSessions: 2})
	living, expired := loggedIn(t, store, "ann"), loggedIn(t, store, "ann")
	key, _ := store.KeyOf(expired)
	server.Client(t).Del(t.Context(), key)
	entered(t, server, living, 2*time.Hour)
	entered(t, server, expired, time.Hour)
	loggedIn(t, store, "ann")
	if get(t, store, living.ID()).New() || len(listed(t, store, "ann")) != 2 {
		t.Error("the living session was ended")
	}
}

func TestMaxSessionsIsExact(t *testing.T) {
	const logins, most = 64, 5
	store := newStore(t, redistest.Start(t).Client(t), redisstore.Options{MaxSessions: most})
	var running sync.WaitGroup
	var done atomic.Int64
	for range logins {
		running.Go(func() {
			s := store.New()
			s.Login("ann")
			switch err := store.Save(t.Context(), s); {
			case err == nil:
				done.Add(1)
			case !errors.Is(err, sessions.ErrTooManySessions):
				t.Error(err)
			}
		})
	}
	running.Wait()
	if n := len(listed(t, store, "ann")); n != most || done.Load() != most {
		t.Errorf("%d sessions, %d logins; want %d", n, done.Load(), most)
	}
}
