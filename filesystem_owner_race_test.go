package sessions_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/processtest"
)

// raceRounds is how many times two processes try a race. Where SESSIONS_LONG is set it
// is the second number.
const (
	raceRounds     = 150
	raceRoundsLong = 100_000
)

// racers are the acts of a process whose other one ends all sessions of the owner. They
// get a session of the owner that is stored, and a time: the race begins then.
var racers = map[string]func(store *sessions.FilesystemSessionStore, s *sessions.Session, owner string, begin func()) error{
	// Called before the end, and saved beside it.
	"login": func(store *sessions.FilesystemSessionStore, _ *sessions.Session, owner string, begin func()) error {
		s := store.New()
		s.Login(owner)
		begin()
		return store.Save(background, s)
	},
	"login again": func(store *sessions.FilesystemSessionStore, s *sessions.Session, owner string, begin func()) error {
		s.Login(owner)
		begin()
		return store.Save(background, s)
	},
	"login of a visitor": func(store *sessions.FilesystemSessionStore, _ *sessions.Session, owner string, begin func()) error {
		s := store.New()
		s.Set("cart", 1)
		if err := store.Save(background, s); err != nil {
			return err
		}
		s.SetOwner(owner)
		begin()
		return store.Save(background, s)
	},
	"renewal": func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string, begin func()) error {
		s.Renew()
		begin()
		return store.Save(background, s)
	},
	"two renewals": func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string, begin func()) error {
		begin()
		s.Renew()
		err := store.Save(background, s)
		if err == nil {
			s.Renew()
			err = store.Save(background, s)
		}
		return err
	},
	"save": func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string, begin func()) error {
		s.Set("a", 1)
		begin()
		return store.Save(background, s)
	},
	"save of more": func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string, begin func()) error {
		s.Set("a", strings.Repeat("x", 10_000))
		begin()
		return store.Save(background, s)
	},
	"update": func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string, begin func()) error {
		begin()
		return store.Update(background, s, func(s *sessions.Session) error { s.Renew(); return nil })
	},
	"touch": func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string, begin func()) error {
		begin()
		_, err := store.Touch(background, s, 0)
		return err
	},
}

// childRace does an act of racers, or logs in, at the times that it is told.
func childRace() error {
	store, _, err := childStore()
	if err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var act, owner, id string
		if _, err := fmt.Sscanf(in.Text(), "%q %s %s", &act, &owner, &id); err != nil {
			return err
		}
		s, err := store.Get(background, id)
		if err != nil {
			return err
		}
		err = racers[act](store, s, owner, func() {
			fmt.Println("ready")
			in.Scan()
		})
		if err != nil && !errors.Is(err, sessions.ErrDeleted) {
			return fmt.Errorf("%s: %w", act, err)
		}
		fmt.Println(err == nil)
	}
	return nil
}

// A race is a directory, and another process in it.
type race struct {
	*testing.T
	store  *sessions.FilesystemSessionStore
	other  *processtest.Process
	rounds int
}

func newRace(t *testing.T) *race {
	dir := t.TempDir()
	r := &race{T: t, store: newStore(t, sessions.FilesystemOptions{Path: dir}), rounds: raceRounds}
	if os.Getenv("SESSIONS_LONG") != "" {
		r.rounds = raceRoundsLong
	} else {
		t.Logf("%d rounds; %d where SESSIONS_LONG is set", raceRounds, raceRoundsLong)
	}
	r.other = processtest.Start(t, child("race", dirVariable+"="+dir))
	t.Cleanup(func() { r.other.End(t) })
	return r
}

// against has the other process do an act beside one's own, and reports whether the
// other's succeeded.
func (r *race) against(act, owner string, s *sessions.Session, own func()) bool {
	r.Helper()
	fmt.Fprintf(r.other.In, "%q %s %s\n", act, owner, s.ID())
	if got := r.other.Line(r); got != "ready" {
		r.Fatalf("the other process is not ready: %s", got)
	}
	fmt.Fprintln(r.other.In, "go")
	for range rand.IntN(60) { // the other one has to wake up first
		time.Sleep(0)
	}
	if rand.IntN(2) == 0 {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
	}
	own()
	return r.other.Line(r) == "true"
}

// All that began before the end is gone after it, and all that was kept is there.
func TestDeleteOwnerAndRacesOfTwoProcesses(t *testing.T) {
	for act := range racers {
		t.Run(act, func(t *testing.T) {
			r := newRace(t)
			first := 0
			for i := range r.rounds {
				owner := fmt.Sprint("ann", i%100) // whose index is new, or has been used
				kept, s := login(t, r.store, owner), login(t, r.store, owner)
				succeeded := r.against(act, owner, s, func() {
					if n, err := r.store.DeleteOwner(background, owner, kept.PublicID()); n < 1 && act != "two renewals" || err != nil {
						t.Errorf("DeleteOwner = %d, %v", n, err)
					}
				})
				if succeeded {
					first++
				}
				wantOwned(t, r.store, owner, fmt.Sprintf("round %d, it succeeded: %v", i, succeeded), kept)
				if left := len(list(t, r.store)); left > 2 {
					t.Fatalf("round %d: %d sessions are stored", i, left)
				}
				if _, err := r.store.DeleteAll(background); err != nil {
					t.Fatal(err)
				}
				if t.Failed() {
					return
				}
			}
			t.Logf("%d rounds, of which the other process was first in %d", r.rounds, first)
		})
	}
}

// Logins at the same time are all listed.
func TestListOwnerAndLoginsOfTwoProcesses(t *testing.T) {
	r := newRace(t)
	for i := range r.rounds {
		owner := fmt.Sprint("ann", i)
		visitor := saved(t, r.store, "a", 1)
		var own *sessions.Session
		if !r.against("login", owner, visitor, func() { own = login(t, r.store, owner) }) {
			t.Fatalf("round %d: a login failed", i)
		}
		if got := listOwner(t, r.store, owner); len(got) != 2 || got[0].PublicID != own.PublicID() && got[1].PublicID != own.PublicID() {
			t.Fatalf("round %d: %d sessions are listed, want 2", i, len(got))
		}
		if n, err := r.store.DeleteOwner(background, owner, own.PublicID()); n != 1 || err != nil {
			t.Fatalf("round %d: DeleteOwner = %d, %v", i, n, err)
		}
		must(t, r.store.Delete(background, own))
		must(t, r.store.Delete(background, visitor))
	}
}

// A list that runs beside a renewal has the session, by the one or the other name.
func TestListOwnerAndRenewalsOfAnotherProcess(t *testing.T) {
	r := newRace(t)
	for i := range r.rounds {
		owner := fmt.Sprint("ann", i%100)
		s := login(t, r.store, owner)
		r.against("two renewals", owner, s, func() {
			if got := len(listOwner(t, r.store, owner)); got < 1 || got > 3 {
				t.Errorf("round %d: %d sessions are listed, want one", i, got)
			}
		})
		if n, err := r.store.DeleteOwner(background, owner); n != 1 || err != nil || t.Failed() {
			t.Fatalf("round %d: DeleteOwner = %d, %v", i, n, err)
		}
	}
}

// A session that DeleteOne has ended is not renewed, and one that was renewed before is
// there.
func TestDeleteOneAndRenewalsOfAnotherProcess(t *testing.T) {
	r := newRace(t)
	for i := range r.rounds {
		owner := fmt.Sprint("ann", i%100)
		s := login(t, r.store, owner)
		var ended bool
		renewed := r.against("renewal", owner, s, func() {
			var err error
			ended, err = r.store.DeleteOne(background, owner, s.PublicID())
			must(t, err)
		})
		if left := len(listOwner(t, r.store, owner)); ended == renewed || left > 0 == ended {
			t.Fatalf("round %d: ended %v, renewed %v, and %d sessions are left", i, ended, renewed, left)
		}
		if _, err := r.store.DeleteOwner(background, owner); err != nil {
			t.Fatal(err)
		}
	}
}
