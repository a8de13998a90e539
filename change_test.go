package sessions_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessfs/sessions"
)

// A versioned backend holds no lock while a change is applied: it compares
// versions afterwards, and applies the change again when they differ.
type versioned struct {
	mu      sync.Mutex
	records map[string]sessions.Record
	saves   int
}

func newVersioned(t testing.TB, o sessions.BaseOptions) (*sessions.Base, *versioned) {
	t.Helper()
	v := &versioned{records: make(map[string]sessions.Record)}
	o.Key = func(id string) string { return id }
	b, err := sessions.NewBase(v, o)
	if err != nil {
		t.Fatal(err)
	}
	return b, v
}

func (v *versioned) Load(_ context.Context, key string) (sessions.Record, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	rec, ok := v.records[key]
	if !ok {
		return rec, sessions.ErrNotStored
	}
	return rec, nil
}

func (v *versioned) Commit(ctx context.Context, c *sessions.Change) error {
	on := c.Base()
	for {
		if err := c.Apply(on); err != nil {
			return err
		}
		if on = v.swap(c, on); on == c.Base() {
			return nil
		}
		if on.Version == "" {
			on = nil
		}
	}
}

// swap returns c.Base when the change was carried out, and otherwise the stored
// record, of no version when there is none.
func (v *versioned) swap(c *sessions.Change, on *sessions.Record) *sessions.Record {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, ok := v.records[c.Key()]
	if ok != (on != nil) || on != nil && on.Version != now.Version {
		return &now
	}
	delete(v.records, c.Ended())
	if key := c.NewKey(); key != "" {
		rec := *c.Record()
		v.saves++
		rec.Version, rec.Used = strconv.Itoa(v.saves), time.Now()
		v.records[key] = rec
		c.SetVersion(rec.Version)
	}
	return c.Base()
}

// put stores a record as it is.
func (v *versioned) put(key string, change func(*sessions.Record)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	rec := v.records[key]
	change(&rec)
	v.saves++
	rec.Version = strconv.Itoa(v.saves)
	v.records[key] = rec
}

func stored(t testing.TB, b *sessions.Base) *sessions.Session {
	t.Helper()
	s := b.New()
	s.Set("a", 1)
	if err := b.Save(background, s); err != nil {
		t.Fatal(err)
	}
	return s
}

type listOfErrors []error

func (listOfErrors) Error() string { return "an error that == cannot compare" }

func TestUpdateReturnsAnErrorThatCannotBeCompared(t *testing.T) {
	b, _ := newVersioned(t, sessions.BaseOptions{})
	s := stored(t, b)
	err := b.Update(background, s, func(*sessions.Session) error { return listOfErrors{} })
	if _, ok := err.(listOfErrors); !ok {
		t.Errorf("Update = %v", err)
	}
}

func TestCommitThatDropsAnErrorOfApplyIsNoSave(t *testing.T) {
	b := base(func(_ context.Context, c *sessions.Change) error {
		c.Apply(c.Base())
		return nil
	})
	s := b.New()
	s.Set("bad", make(chan int))
	if err := b.Save(background, s); !errors.As(err, new(*sessions.ValueError)) || !s.Modified() || !s.New() {
		t.Errorf("Save = %v, %v", err, s)
	}
	fails := errors.New("the function's")
	if err := b.Update(background, s, func(s *sessions.Session) error { s.Set("b", 1); return fails }); err != fails || s.Get("b") != nil {
		t.Errorf("Update = %v, %v", err, s)
	}
}

func TestSaveOnBaseIsOfASessionThatWasJustSaved(t *testing.T) {
	b, _ := newVersioned(t, sessions.BaseOptions{IdleTimeout: time.Hour})
	s := stored(t, b)
	s.Set("a", 2)
	if err := b.Save(background, s); err != nil {
		t.Error(err)
	}
}

func TestUpdateWithALoginSeesNothingOfTheSessionThatHasEnded(t *testing.T) {
	b, _ := newVersioned(t, sessions.BaseOptions{})
	s := stored(t, b)
	other, err := b.Get(background, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(background, other); err != nil {
		t.Fatal(err)
	}
	s.Login("ann")
	s.Set("mine", 1)
	fails := errors.New("the function's")
	for _, result := range []error{fails, nil} {
		var seen map[string]any // by the last call; the first one is for the record that the session was loaded from
		calls := 0
		err = b.Update(background, s, func(s *sessions.Session) error {
			seen = values(s)
			if calls++; calls == 1 {
				return nil
			}
			return result
		})
		if err != result || calls != 2 || seen["a"] != nil || seen["mine"] != 1 {
			t.Fatalf("Update = %v; the function was called %d times, and got %v", err, calls, seen)
		}
		if result != nil && (s.Get("a") != int64(1) && s.Get("a") != 1 || s.Get("mine") != 1 || s.Owner() != "ann") {
			t.Errorf("after a failed Update: %v of %q", values(s), s.Owner())
		}
	}
	if got, err := b.Get(background, s.ID()); err != nil || got.Len() != 1 || got.Owner() != "ann" {
		t.Errorf("stored: %v of %q, %v", values(got), got.Owner(), err)
	}
}

// Another request has called SetOwner, which keeps the ID.
func TestLoginTakesNothingOverFromAnOwnerWhoCameMeanwhile(t *testing.T) {
	for _, name := range []string{"Save", "Update"} {
		b, v := newVersioned(t, sessions.BaseOptions{})
		s := stored(t, b)
		id := s.ID()
		v.put(id, func(rec *sessions.Record) { rec.Owner, rec.Data = "bob", `{"bob's":1}` })
		s.Login("ann")
		s.Set("mine", 1)
		var err error
		if name == "Save" {
			err = b.Save(background, s)
		} else {
			err = b.Update(background, s, func(s *sessions.Session) error { s.Set("seen", s.Get("bob's")); s.Delete("seen"); return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Get(background, s.ID())
		if err != nil || got.Owner() != "ann" || got.Len() != 1 || got.Get("mine") == nil {
			t.Errorf("%s: %v of %q, %v", name, values(got), got.Owner(), err)
		}
		if _, there := v.records[id]; there || len(v.records) != 1 {
			t.Errorf("%s: bob's session is still there, or %d are", name, len(v.records))
		}
	}
}

func TestLoginOverWhatHasExpiredOrIsDamagedBeginsASession(t *testing.T) {
	for name, spoil := range map[string]func(*sessions.Record){
		"expired": func(rec *sessions.Record) { rec.Used = time.Now().Add(-2 * time.Hour) },
		"damaged": func(rec *sessions.Record) { rec.Damaged = true },
	} {
		var events []string
		b, v := newVersioned(t, sessions.BaseOptions{IdleTimeout: time.Hour, Observe: func(_ context.Context, e sessions.Event) {
			events = append(events, string(e.Kind)+string(e.Reason))
		}})
		s := stored(t, b)
		id := s.ID()
		v.put(id, spoil)
		s.Login("ann")
		s.Set("mine", 1)
		if err := b.Save(background, s); err != nil {
			t.Fatal(name, err)
		}
		got, err := b.Get(background, s.ID())
		if err != nil || got.Owner() != "ann" || got.Len() != 1 || len(v.records) != 1 || s.ID() == id {
			t.Errorf("%s: %v of %q, %v, %d records", name, values(got), got.Owner(), err, len(v.records))
		}
		if name == "expired" && events[1] != "endedexpiry" {
			t.Errorf("events %q", events)
		}
	}
}

// A clone of a session that was never stored may have been, under its ID.
func TestDestroyOfASessionThatWasNeverStoredEndsNoOther(t *testing.T) {
	b, v := newVersioned(t, sessions.BaseOptions{})
	s := b.New()
	clone := s.Clone()
	clone.Set("a", 1)
	if err := b.Save(background, clone); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(background, s); err != nil {
		t.Error(err)
	}
	s.Destroy()
	if err := b.Save(background, s); err != nil {
		t.Error(err)
	}
	s.Destroy()
	s.Set("farewell", 1)
	if err := b.Save(background, s); !errors.Is(err, sessions.ErrExists) {
		t.Errorf("Save = %v, want ErrExists", err)
	}
	if rec := v.records[clone.ID()]; rec.Data != `{"a":1}` || len(v.records) != 1 {
		t.Errorf("stored: %v", v.records)
	}
}

func TestDeleteEndsNoSessionOfTheNextVisitor(t *testing.T) {
	b, v := newVersioned(t, sessions.BaseOptions{KeepMissingID: true})
	s := stored(t, b)
	v.put(s.ID(), func(rec *sessions.Record) { rec.Created = rec.Created.Add(time.Minute) })
	if err := b.Delete(background, s); err != nil || len(v.records) != 1 {
		t.Errorf("%v, %d sessions left", err, len(v.records))
	}
}

func TestKeepMissingIDTakesTheCodecOfTheSessionThatAdoptedTheIDBefore(t *testing.T) {
	asJSON, v := newVersioned(t, sessions.BaseOptions{KeepMissingID: true})
	asGob, err := sessions.NewBase(v, sessions.BaseOptions{KeepMissingID: true, Codec: sessions.Gob(), Key: func(id string) string { return id }})
	if err != nil {
		t.Fatal(err)
	}
	id := asJSON.GenerateKey()
	first, err := asJSON.Get(background, id)
	if err != nil {
		t.Fatal(err)
	}
	second, err := asGob.Get(background, id)
	if err != nil {
		t.Fatal(err)
	}
	second.Set("second", "x")
	v.put(id, func(rec *sessions.Record) {
		*rec = sessions.Record{Codec: "json", Created: first.Created(), Used: time.Now(), Data: `{"first":"y"}`}
	})
	if err := asGob.Save(background, second); err != nil {
		t.Fatal(err)
	}
	if got, err := asJSON.Get(background, id); err != nil || got.Get("first") != "y" || got.Get("second") != "x" {
		t.Errorf("%v, %v", values(got), err)
	}
}

// A server has to know which changes hold for one version alone, and which
// attributes are set.
func TestChangeBuildsOnTheRecordThatApplyGot(t *testing.T) {
	set := sessions.Attributes{}
	all := sessions.Attributes{Created: true, AuthenticatedAt: true, IdleTimeout: true, Lifetime: true, Persistence: true, Owner: true, Meta: true}
	for _, test := range []struct {
		name    string
		exact   bool
		set     sessions.Attributes
		do      func(s *sessions.Session)
		adopted bool
	}{
		{"a value", false, set, func(s *sessions.Session) { s.Set("a", 2) }, false},
		{"Clear", false, set, (*sessions.Session).Clear, false},
		{"Destroy", false, set, (*sessions.Session).Destroy, false},
		{"Destroy and a value", false, all, func(s *sessions.Session) { s.Destroy(); s.Set("a", 1) }, false},
		{"Renew", true, all, (*sessions.Session).Renew, false},
		{"Login", true, all, func(s *sessions.Session) { s.Login("ann") }, false},
		{"Login and Discard", false, set, func(s *sessions.Session) { s.Login("ann"); s.Discard() }, false},
		{"Meta", false, sessions.Attributes{Meta: true}, func(s *sessions.Session) { s.SetMeta("x") }, false},
		{"timeouts", false, sessions.Attributes{IdleTimeout: true, Lifetime: true}, func(s *sessions.Session) {
			s.SetIdleTimeout(time.Hour)
			s.SetLifetime(time.Hour)
		}, false},
		{"Persistence", false, sessions.Attributes{Persistence: true}, func(s *sessions.Session) { s.SetPersistence(sessions.PersistIdle) }, false},
		{"Owner", false, sessions.Attributes{Owner: true}, func(s *sessions.Session) { s.SetOwner("ann") }, false},
		{"an adopted ID", true, set, func(s *sessions.Session) { s.Set("a", 2) }, true},
	} {
		b, _ := newVersioned(t, sessions.BaseOptions{KeepMissingID: test.adopted})
		s := stored(t, b)
		test.do(s)
		check := func(exact bool) func(context.Context, *sessions.Change) error {
			return func(_ context.Context, c *sessions.Change) error {
				if err := c.Apply(c.Base()); err != nil {
					return err
				}
				rec, set := c.Attributes()
				if version, got := c.BuildsOn(); got != exact || got && version != c.Base().Version {
					t.Errorf("%s: BuildsOn = %q, %v", test.name, version, got)
				}
				if c.NewKey() != "" && set != test.set || rec.Owner != c.Record().Owner || rec.Data != "" {
					t.Errorf("%s: Attributes = %+v, %+v", test.name, rec, set)
				}
				return errors.ErrUnsupported
			}
		}
		b.CommitTo(background, s, check(test.exact))
	}
}

// Whatever goroutines do to one *Session, it can be saved afterwards, the last
// save is stored, and no ID that has ended works again.
func TestSessionOfSeveralGoroutinesStaysWhole(t *testing.T) {
	b, v := newVersioned(t, sessions.BaseOptions{IdleTimeout: time.Hour})
	s := stored(t, b)
	acts := []func(i int) error{
		func(i int) error { s.Set(strconv.Itoa(i%5), i); return nil },
		func(i int) error { s.Delete(strconv.Itoa(i % 5)); return nil },
		func(int) error { s.Login("ann"); return nil },
		func(int) error { s.Destroy(); s.Set("after", 1); return nil },
		func(int) error { s.Clear(); return nil },
		func(int) error {
			s.SetMeta("m")
			s.SetLifetime(time.Hour)
			s.SetPersistence(sessions.PersistIdle)
			return nil
		},
		func(int) error { s.Clone().Set("clone", 1); _ = s.String(); s.Keys(); return nil },
		func(int) error { return b.Save(background, s) },
		func(int) error {
			return b.Update(background, s, func(s *sessions.Session) error { s.Set("n", counter.Get(s)+1); return nil })
		},
		func(i int) error {
			if i%7 == 0 {
				s.Discard()
			}
			return nil
		},
		func(int) error {
			defer func() { recover() }()
			return b.Update(background, s, func(s *sessions.Session) error { s.Login("bob"); panic("the function's") })
		},
	}
	var running sync.WaitGroup
	for n, act := range acts {
		running.Go(func() {
			for i := range 100 {
				if err := act(i); err != nil && !errors.Is(err, sessions.ErrUpdating) && !errors.Is(err, sessions.ErrDeleted) {
					t.Errorf("act %d: %v", n, err)
					return
				}
			}
		})
	}
	running.Wait()
	s.Login("ann")
	s.Set("last", 1)
	if err := b.Save(background, s); err != nil {
		t.Fatal(err)
	}
	got, err := b.Get(background, s.ID())
	if err != nil || got.Get("last") != int64(1) || len(got.Keys()) != len(s.Keys()) || len(v.records) != 1 || s.Modified() {
		t.Errorf("%v, stored %v, %v; %d records", values(s), values(got), err, len(v.records))
	}
}

func TestChangeTellsOfALoginAndWhenItWasCalled(t *testing.T) {
	for _, test := range []struct {
		name  string
		owner string // of the stored session
		do    func(s *sessions.Session)
		login bool
	}{
		{"Login", "", func(s *sessions.Session) { s.Login("ann") }, true},
		{"Login of another owner", "bob", func(s *sessions.Session) { s.Login("ann") }, true},
		{"Login of the same owner", "ann", func(s *sessions.Session) { s.Login("ann") }, false},
		{"SetOwner", "", func(s *sessions.Session) { s.SetOwner("ann") }, true},
		{"SetOwner to none", "ann", func(s *sessions.Session) { s.SetOwner("") }, false},
		{"Renew", "ann", (*sessions.Session).Renew, false},
		{"a value", "ann", func(s *sessions.Session) { s.Set("b", 1) }, false},
		{"Login and Destroy", "", func(s *sessions.Session) { s.Login("ann"); s.Destroy() }, false},
	} {
		for _, ended := range []bool{false, true} {
			b, _ := newVersioned(t, sessions.BaseOptions{})
			s := stored(t, b)
			if test.owner != "" {
				s.SetOwner(test.owner)
				if err := b.Save(background, s); err != nil {
					t.Fatal(err)
				}
			}
			called := time.Now()
			test.do(s)
			want := test.login || ended && test.name == "Login of the same owner"
			err := b.CommitTo(background, s, func(_ context.Context, c *sessions.Change) error {
				on := c.Base()
				if ended {
					on = nil
				}
				err := c.Apply(on)
				if at, login := c.Login(); err == nil && (login != want || login && (at.Before(called) || at.After(time.Now()))) {
					t.Errorf("%s, ended %v: Login = %v, %v; want %v", test.name, ended, at, login, want)
				}
				return err
			})
			if err != nil && !(ended && errors.Is(err, sessions.ErrDeleted)) {
				t.Errorf("%s, ended %v: %v", test.name, ended, err)
			}
		}
	}
}

// The record of a session that is touched keeps its Version: only a store that is
// SelfExpiring, or that passes the stored record, takes note of it.
func TestChangeOnBaseIsJudgedByTheUseThatWasLoaded(t *testing.T) {
	for _, selfExpiring := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, v := newVersioned(t, sessions.BaseOptions{IdleTimeout: time.Hour, SelfExpiring: selfExpiring})
			s, err := b.Get(background, stored(t, b).ID())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Minute)
			touched := v.records[s.ID()]
			touched.Used = time.Now()
			v.records[s.ID()] = touched
			time.Sleep(50 * time.Minute)
			s.Set("a", 2)
			var want error
			if !selfExpiring {
				want = sessions.ErrDeleted
			}
			if err := b.Save(background, s); !errors.Is(err, want) {
				t.Errorf("SelfExpiring %v: Save = %v, want %v", selfExpiring, err, want)
			}
		})
	}
}
