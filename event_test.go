package sessions_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

func TestObserveGetsTheEventsOfSessions(t *testing.T) {
	dir := t.TempDir()
	var got []string
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour, Observe: func(ctx context.Context, e sessions.Event) {
		text := string(e.Kind)
		if e.Reason != "" {
			text += " " + string(e.Reason)
		}
		if e.Err != nil {
			text += " failed"
		}
		if e.Duration <= 0 || e.Duration > time.Minute || ctx == nil {
			t.Errorf("%s: a duration of %v", text, e.Duration)
		}
		got = append(got, text)
	}})
	want := func(what string, events ...string) {
		t.Helper()
		if !slices.Equal(got, events) {
			t.Errorf("%s: got %q, want %q", what, got, events)
		}
		got = nil
	}
	s := store.New()
	s.Set("a", 1)
	want("New")
	save(t, store, s)
	want("first save", "created")
	other := get(t, store, s.ID())
	want("Get", "loaded")
	get(t, store, store.GenerateKey())
	get(t, store, "no ID")
	want("Get of what is not stored", "missing", "missing")
	other.Set("b", 1)
	save(t, store, other)
	want("save", "saved")
	s.Set("c", 1)
	save(t, store, s)
	want("save beside another", "saved", "merged")
	s.Login("ann")
	save(t, store, s)
	want("login", "saved", "renewed")
	other.Set("b", 2)
	if err := store.Save(background, other); !errors.Is(err, sessions.ErrDeleted) {
		t.Error(err)
	}
	want("save under the old ID", "dropped")
	s.Set("a", make(chan int))
	if store.Save(background, s) == nil {
		t.Error("a channel was saved")
	}
	want("save of a channel", "saved failed")
	s.Discard()
	if err := os.Chtimes(fileOf(t, dir, s), time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	get(t, store, s.ID())
	want("Get of what has expired", "ended expiry")
	s = store.New()
	s.Set("a", 1)
	save(t, store, s)
	s.Destroy()
	save(t, store, s)
	want("logout", "created", "ended logout")
	s = store.New()
	s.Set("a", 1)
	save(t, store, s)
	if err := errors.Join(store.Delete(background, s), store.Delete(background, s)); err != nil {
		t.Error(err)
	}
	want("Delete, twice", "created", "ended delete")
	s = store.New()
	s.Set("a", 1)
	save(t, store, s)
	if err := os.WriteFile(fileOf(t, dir, s), []byte(strings.Repeat("x", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	s = get(t, store, s.ID())
	want("Get of what is damaged", "created", "damaged")
	s.Destroy()
	save(t, store, s)
	want("logout with what is damaged", "ended logout")
	for range 3 {
		s = store.New()
		s.SetOwner("bob")
		save(t, store, s)
	}
	got = nil
	if _, err := store.DeleteOwner(background, "bob", s.PublicID()); err != nil {
		t.Error(err)
	}
	want("DeleteOwner", "ended owner", "ended owner")
	if _, err := store.DeleteAll(background); err != nil {
		t.Error(err)
	}
	want("DeleteAll", "ended owner", "ended owner") // and the session that has expired
}

// A hook that is not set costs less than 20 ns.
func BenchmarkObserveThatIsNotSet(b *testing.B) {
	for b.Loop() {
		nowhere.Unobserved(background)
	}
}
