package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

const (
	processes  = 8
	goroutines = 8   // of a process
	changes    = 200 // of a goroutine
)

const counter sessions.Key[int] = "n"

// together runs f in the goroutines of a process, each with a session of its own.
func together(store *redisstore.Store, id string, f func(g int, s *sessions.Session) error) error {
	errs := make([]error, goroutines)
	var running sync.WaitGroup
	for g := range errs {
		running.Go(func() {
			s, err := store.Get(background, id)
			if err == nil {
				err = f(g, s)
			}
			errs[g] = err
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func init() {
	programs["update"] = func(store *redisstore.Store, todo task, _ *bufio.Scanner) error {
		return together(store, todo.ID, func(g int, s *sessions.Session) error {
			for range changes {
				if err := store.Update(background, s, func(s *sessions.Session) error { counter.Set(s, counter.Get(s)+1); return nil }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	programs["save"] = func(store *redisstore.Store, todo task, _ *bufio.Scanner) error {
		return together(store, todo.ID, func(g int, s *sessions.Session) error {
			for n := range changes {
				key := savedKey(todo.N, g, n)
				s.Set(key, n)
				if err := store.Save(background, s); err != nil {
					return err
				}
				if got := sessions.Key[int](key).Get(s); got != n {
					return fmt.Errorf("after a save of %d the value is %d", n, got)
				}
				if n%10 == 9 {
					var err error
					if s, err = store.Get(background, todo.ID); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
}

// savedKey is the key of a goroutine's nth save. It has four, which it saves in turn.
func savedKey(process, goroutine, n int) string {
	return fmt.Sprintf("%d-%d-%d", process, goroutine, n%4)
}

// inProcesses runs a program in processes beside one another, on one session.
func inProcesses(t *testing.T, store *redisstore.Store, addr, program string) *sessions.Session {
	t.Helper()
	s := saved(t, store, map[string]any{"n": 0})
	var all []*process
	for i := range processes {
		all = append(all, task{Program: program, Addr: addr, ID: s.ID(), N: i}.start(t))
	}
	for _, p := range all {
		p.end(t)
	}
	if s = stored(t, store, s.ID()); s == nil {
		t.Fatal("the session is gone")
	}
	return s
}

func TestUpdateInProcessesCountsEveryCall(t *testing.T) {
	server := redistest.Start(t)
	store := newStore(t, server.Client(t), redisstore.Options{})
	s := inProcesses(t, store, server.Addr, "update")
	if got, want := counter.Get(s), processes*goroutines*changes; got != want {
		t.Errorf("counted to %d, want %d", got, want)
	}
}

func TestSaveInProcessesLosesNoValue(t *testing.T) {
	server := redistest.Start(t)
	store := newStore(t, server.Client(t), redisstore.Options{})
	s := inProcesses(t, store, server.Addr, "save")
	for p := range processes {
		for g := range goroutines {
			for n := changes - 4; n < changes; n++ {
				key := savedKey(p, g, n)
				if got := sessions.Key[int](key).Get(s); got != n {
					t.Errorf("%s is %d, want %d", key, got, n)
				}
			}
		}
	}
}

// The processes of a storm load sessions. Then the first ends each, and the others
// save it, slower or faster.
const (
	stormProcesses = 4
	stormSessions  = 100 // at a time
)

// An outcome counts the results of a process in a storm.
type outcome struct {
	Saved, Refused int
	Renewed        []string // the new IDs
}

func init() {
	programs["storm"] = func(store *redisstore.Store, todo task, in *bufio.Scanner) error {
		for in.Scan() {
			ids := strings.Fields(in.Text())
			loaded := make([]*sessions.Session, len(ids))
			for i, id := range ids {
				var err error
				if loaded[i], err = store.Get(background, id); err != nil || loaded[i].New() {
					return fmt.Errorf("before the storm: %v, new %v", err, loaded[i].New())
				}
			}
			fmt.Println("loaded")
			in.Scan()
			var o outcome
			for i, s := range loaded {
				f := o.save
				if todo.N == 0 {
					f = o.end
				}
				if err := f(store, s, i); err != nil {
					return err
				}
			}
			text, err := json.Marshal(o)
			if err != nil {
				return err
			}
			fmt.Println(string(text))
		}
		return nil
	}
}

// end ends a session: by a logout, by Delete, or by a renewal.
func (o *outcome) end(store *redisstore.Store, s *sessions.Session, i int) error {
	time.Sleep(rand.N(300 * time.Microsecond))
	switch i % 4 {
	case 0:
		return store.Delete(background, s)
	case 1:
		s.Renew()
		err := store.Save(background, s)
		o.Renewed = append(o.Renewed, s.ID())
		return err
	}
	s.Destroy()
	return store.Save(background, s)
}

// save saves a session, in one of several ways.
func (o *outcome) save(store *redisstore.Store, s *sessions.Session, i int) (err error) {
	s.Set("late", i)
	time.Sleep(rand.N(300 * time.Microsecond))
	switch rand.IntN(4) {
	case 0:
		err = store.Update(background, s, func(s *sessions.Session) error { counter.Set(s, counter.Get(s)+1); return nil })
	case 1:
		_, err = store.Touch(background, s, 0)
	case 2:
		s.Clear()
		s.Set("late", i)
		s.SetIdleTimeout(time.Hour)
		fallthrough
	default:
		err = store.Save(background, s)
	}
	switch {
	case errors.Is(err, sessions.ErrDeleted):
		o.Refused++
		err = nil
	case err == nil:
		o.Saved++
	}
	return err
}

func TestLogoutBesideSlowSavesIsFinal(t *testing.T) {
	rounds := times(t, 600, 10_000) / stormSessions
	server := redistest.Start(t)
	client := server.Client(t)
	store := newStore(t, client, redisstore.Options{})
	var all []*process
	for i := range stormProcesses {
		all = append(all, task{Program: "storm", Addr: server.Addr, N: i}.start(t))
	}
	var total outcome
	for range rounds {
		var ids []string
		for range stormSessions {
			ids = append(ids, saved(t, store, map[string]any{"user": "ann"}).ID())
		}
		renewed := storm(t, all, ids, &total)
		for _, id := range ids {
			if stored(t, store, id) != nil {
				t.Fatal("a session lives after its end")
			}
		}
		for _, id := range renewed {
			if s := stored(t, store, id); s == nil || s.Get("user") == nil && s.Get("late") == nil {
				t.Fatal("a renewed session is gone, or half there")
			}
		}
		// Half a hash would be a key more.
		if n, err := client.DBSize(background).Result(); err != nil || n != int64(len(renewed)) {
			t.Fatalf("%d keys are there (%v), want %d", n, err, len(renewed))
		}
		if err := client.FlushDB(background).Err(); err != nil { // after DeleteAll a renewal would be ended too
			t.Fatal(err)
		}
	}
	for _, p := range all {
		p.end(t)
	}
	t.Logf("%d ends, beside them %d saves that were carried out and %d refused", rounds*stormSessions, total.Saved, total.Refused)
	if total.Saved == 0 || total.Refused == 0 {
		t.Error("the saves were not beside the ends")
	}
}

// storm lets the processes loose on the sessions, and returns the IDs of those that were
// renewed.
func storm(t *testing.T, all []*process, ids []string, total *outcome) (renewed []string) {
	t.Helper()
	for _, p := range all {
		fmt.Fprintln(p.in, strings.Join(ids, " "))
	}
	for _, p := range all {
		p.line(t)
	}
	for _, p := range all {
		fmt.Fprintln(p.in)
	}
	for _, p := range all {
		var o outcome
		if err := json.Unmarshal([]byte(p.line(t)), &o); err != nil {
			t.Fatal(err)
		}
		total.Saved += o.Saved
		total.Refused += o.Refused
		renewed = append(renewed, o.Renewed...)
	}
	return renewed
}
