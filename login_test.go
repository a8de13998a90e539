package sessions_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

func TestLoginKeepsTheValuesOfAnAnonymousSessionUnderANewID(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "cart", 1)
	old, began := s.ID(), time.Now()
	s.Login("ann")
	save(t, store, s)
	got := get(t, store, s.ID())
	if got.Get("cart") != int64(1) || got.Owner() != "ann" || s.ID() == old || got.AuthenticatedAt().Before(began) || got.Created().Before(began) {
		t.Errorf("%v: owner %q, authenticated at %v", values(got), got.Owner(), got.AuthenticatedAt())
	}
	if !get(t, store, old).New() {
		t.Error("the old ID still works")
	}
}

func TestLoginOfTheSameOwnerKeepsTheSession(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	s.Login("ann")
	s.Set("note", "mine")
	s.SetIdleTimeout(time.Hour)
	save(t, store, s)
	first := s.AuthenticatedAt()
	s.Login("ann")
	save(t, store, s)
	got := get(t, store, s.ID())
	if got.Get("note") != "mine" || got.IdleTimeout() != time.Hour || !got.AuthenticatedAt().After(first) {
		t.Errorf("%v, %v, authenticated at %v", values(got), got.IdleTimeout(), got.AuthenticatedAt())
	}
}

func TestLoginAsAnotherOwnerStartsFromNothing(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	s.Login("ann")
	s.Set("note", "ann's")
	s.AddFlash("hello ann")
	s.SetIdleTimeout(time.Hour)
	s.SetLifetime(2 * time.Hour)
	s.SetMeta("ann's browser")
	save(t, store, s)
	old := s.ID()
	s.Set("before", "the login")
	s.Login("bob")
	s.Set("after", "the login")
	save(t, store, s)
	got := get(t, store, s.ID())
	if got.Len() != 1 || got.Get("after") != "the login" || got.Owner() != "bob" || got.IdleTimeout() != 0 || got.Lifetime() != 0 || got.Meta() != "" {
		t.Errorf("%v of %q, %v, %v, %q", values(got), got.Owner(), got.IdleTimeout(), got.Lifetime(), got.Meta())
	}
	if !get(t, store, old).New() || s.ID() == old {
		t.Error("ann's session still works")
	}
}

// Two clicks, a logout or a timeout beside the login: the session that the login
// saw is gone when it is saved.
func TestLoginOfASessionThatHasEndedStoresOneOfItsOwn(t *testing.T) {
	for name, end := range map[string]func(store *sessions.FilesystemSessionStore, s *sessions.Session) error{
		"by a logout": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Destroy()
			return store.Save(background, s)
		},
		"by another login": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Login("ann")
			return store.Save(background, s)
		},
		"by DeleteAll": func(store *sessions.FilesystemSessionStore, _ *sessions.Session) error {
			_, err := store.DeleteAll(background)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, sessions.FilesystemOptions{})
			planted := store.New()
			planted.Set("planted", true)
			planted.SetIdleTimeout(time.Hour)
			save(t, store, planted)
			s := get(t, store, planted.ID())
			if err := end(store, get(t, store, planted.ID())); err != nil {
				t.Fatal(err)
			}
			s.Login("ann")
			s.Set("mine", 1)
			s.SetMeta("browser")
			save(t, store, s)
			got := get(t, store, s.ID())
			if got.Owner() != "ann" || got.Len() != 1 || got.Get("mine") != int64(1) || got.Get("planted") != nil ||
				got.IdleTimeout() != 0 || got.Meta() != "browser" || got.AuthenticatedAt().IsZero() {
				t.Errorf("%v of %q, %v, %q, authenticated at %v", values(got), got.Owner(), got.IdleTimeout(), got.Meta(), got.AuthenticatedAt())
			}
			if !get(t, store, planted.ID()).New() {
				t.Error("the old ID works again")
			}
			if values(s)["planted"] != nil || s.Modified() {
				t.Errorf("the session holds %v", values(s))
			}
		})
	}
}

func TestLoginInAnUpdateOfASessionThatHasEndedIsErrDeleted(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "a", 1)
	if _, err := store.DeleteAll(background); err != nil {
		t.Fatal(err)
	}
	login := func(s *sessions.Session) error {
		t.Error("the function was called")
		s.Login("ann")
		return nil
	}
	if err := store.Update(background, s, login); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("Update = %v, want ErrDeleted", err)
	}
}

func TestLoginWithoutAnOwnerPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it did not")
		}
	}()
	nowhere.New().Login("")
}

func TestLoginWithoutValuesIsStored(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "a", 1)
	s.Destroy()
	s.Login("ann")
	save(t, store, s)
	if got := get(t, store, s.ID()); got.New() || got.Owner() != "ann" {
		t.Errorf("%v of %q", got, got.Owner())
	}
}

func TestSetLifetimeTakesTheStoresPlace(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, Lifetime: time.Hour})
	shorter, longer := store.New(), store.New()
	shorter.Set("a", 1)
	shorter.SetLifetime(time.Second)
	longer.Set("a", 1)
	longer.SetLifetime(2 * time.Hour)
	save(t, store, shorter)
	save(t, store, longer)
	time.Sleep(1100 * time.Millisecond)
	if !get(t, store, shorter.ID()).New() || get(t, store, longer.ID()).Lifetime() != 2*time.Hour {
		t.Error("a session's own lifetime does not count")
	}
	shorter.Set("a", 2)
	if err := store.Save(background, shorter); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("Save after the lifetime = %v, want ErrDeleted", err)
	}
	if r, err := store.Prune(background, prune.Options{}); err != nil || r.Removed != 1 {
		t.Errorf("Prune = %+v, %v", r, err)
	}
}

func TestSetMetaCutsBetweenCharacters(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	s.SetMeta("\xff" + strings.Repeat("é", sessions.MaxMeta) + "\n")
	if got := s.Meta(); got != strings.Repeat("é", sessions.MaxMeta/2) {
		t.Errorf("%d bytes", len(got))
	}
	s.SetMeta("a b\n%&=é")
	s.SetOwner(" o\n=")
	save(t, store, s)
	if got := get(t, store, s.ID()); got.Meta() != "a b\n%&=é" || got.Owner() != " o\n=" {
		t.Errorf("got %q of %q", got.Meta(), got.Owner())
	}
}
