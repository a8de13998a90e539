package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// A login is a session of an owner.
type login struct {
	ID           string
	Began, Known int64 // before and after the call of Login
	Saved        int64 // after its save
	Refused      bool  // which was refused
	Ended        bool  // it, or a later save, was refused
}

// An end is a call of DeleteOwner.
type end struct{ began, returned int64 }

func clock() int64 { return time.Now().UnixNano() }

const (
	roundLogins = 4  // sessions that a goroutine of a process makes in a round
	ownerRounds = 25 // rounds of an owner, whose list grows with each
)

func init() {
	programs["login"] = func(store *redisstore.Store, todo task, in *bufio.Scanner) error {
		for in.Scan() {
			all := make([]login, 2*roundLogins)
			errs := make([]error, len(all))
			var running sync.WaitGroup
			for g := range 2 {
				running.Go(func() {
					for i := g; i < len(all); i += 2 {
						all[i], errs[i] = logIn(store, in.Text())
					}
				})
			}
			running.Wait()
			text, err := json.Marshal(all)
			if err := errors.Join(append(errs, err)...); err != nil {
				return err
			}
			fmt.Println(string(text))
		}
		return nil
	}
}

// logIn makes a session of an owner, renews and saves it some times.
func logIn(store *redisstore.Store, owner string) (login, error) {
	s := store.New()
	s.Set("a", 1)
	l := login{Began: clock()}
	if rand.IntN(2) == 0 { // after a time as a guest
		if err := store.Save(background, s); err != nil {
			return l, err
		}
		l.Began = clock()
	}
	s.Login(owner)
	l.Known = clock()
	err := store.Save(background, s)
	l.Saved, l.Refused = clock(), err != nil
	for n := rand.IntN(4); n > 0 && err == nil; n-- {
		if rand.IntN(2) == 0 {
			s.Renew()
		} else {
			s.Set("a", n)
		}
		err = store.Save(background, s)
	}
	if l.ID = s.ID(); errors.Is(err, sessions.ErrDeleted) {
		l.Ended, err = true, nil
	}
	return l, err
}

// DeleteOwner ends each session whose login began before, whatever its renewals and saves do
// meanwhile, and none whose login begins afterwards; ListOwner misses none. On a cluster, where
// sessions and index are on several servers.
func TestOwnersOfManyProcessesAreNotOutrun(t *testing.T) {
	rounds := times(t, 100, 3000)
	cluster := redistest.StartCluster(t, 3)
	store := newStore(t, cluster.Client(t), redisstore.Options{})
	var all []*process
	for range 3 {
		all = append(all, task{Program: "login", Addr: strings.Join(cluster.Addrs(), ",")}.start(t))
	}
	ended, lived := 0, 0
	var last time.Duration // of the logins of a round
	for round := range rounds {
		owner := fmt.Sprint("ann", round/ownerRounds)
		started := time.Now()
		for _, p := range all {
			fmt.Fprintln(p.in, owner)
		}
		time.Sleep(rand.N(last + time.Millisecond))
		e := end{began: clock()}
		n, err := store.DeleteOwner(background, owner)
		if err != nil {
			t.Fatal(err)
		}
		e.returned = clock()
		var logins []login
		for _, p := range all {
			var some []login
			if err := json.Unmarshal([]byte(p.line(t)), &some); err != nil {
				t.Fatal(err)
			}
			logins = append(logins, some...)
		}
		last = time.Since(started)
		ended += n
		lived += checkOwner(t, store, owner, logins, e)
	}
	for _, p := range all {
		p.end(t)
	}
	t.Logf("%d ends, which ended %d sessions; %d outlived the one of their round", rounds, ended, lived)
	if ended == 0 || lived == 0 {
		t.Error("no session was ended, or each")
	}
}

// checkOwner checks the sessions of a round, and returns how many live. Those of the rounds before
// have ended.
func checkOwner(t *testing.T, store *redisstore.Store, owner string, logins []login, e end) int {
	t.Helper()
	living, listed := make(map[string]bool), make(map[string]bool)
	for _, l := range logins {
		lives := !l.Ended && stored(t, store, l.ID) != nil
		if lives {
			living[sessions.PublicID(l.ID)] = true
		}
		switch {
		case lives && e.began > l.Known:
			t.Error("a session lives whose login began before the end of all of its owner")
		case l.Refused && e.returned > l.Began-(l.Saved-l.Known):
			// By the answer of the server it is not clear which was first.
		case !lives && e.returned < l.Began:
			t.Error("a session is gone whose login began after the end")
		}
	}
	for info, err := range store.ListOwner(background, owner) {
		if err != nil {
			t.Fatal(err)
		}
		listed[info.PublicID] = true
	}
	if !maps.Equal(listed, living) {
		t.Errorf("ListOwner has %d sessions, and %d live", len(listed), len(living))
	}
	return len(living)
}
