package sessions_test

import (
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// keeping makes two stores that keep missing IDs in one directory, as two
// processes would, and an ID that is not stored.
func keeping(t *testing.T, o sessions.FilesystemOptions) (first, second *sessions.FilesystemSessionStore, id string) {
	t.Helper()
	o.KeepMissingID = true
	o.Path = t.TempDir()
	first, second = newStore(t, o), newStore(t, o)
	return first, second, first.GenerateKey()
}

// A slow request of one visitor must not reach the session of the next one who
// comes with the same ID, on a shared computer for example.
func TestKeepMissingIDKeepsASlowRequestOutOfTheNextVisitorsSession(t *testing.T) {
	slowSaves := map[string]func(store *sessions.FilesystemSessionStore, s *sessions.Session) error{
		"Save": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Save(background, s)
		},
		"Renew": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Renew()
			return store.Save(background, s)
		},
		"Clear": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Clear()
			return store.Save(background, s)
		},
		"Update": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Update(background, s, func(*sessions.Session) error { t.Error("update was called"); return nil })
		},
	}
	for name, o := range map[string]sessions.FilesystemOptions{"plain": {}, "sealed": {Sealer: xorSealer{}}, "hashed": {HashNames: true}} {
		for how, slowSave := range slowSaves {
			for _, loaded := range []string{"before the session began", "from the session"} {
				t.Run(name+"/"+how+" of a request that loaded "+loaded, func(t *testing.T) {
					store, other, id := keeping(t, o)
					slow := get(t, other, id)
					visitor := get(t, store, id)
					visitor.Set("user", "first")
					save(t, store, visitor)
					if loaded == "from the session" {
						slow = get(t, other, id)
					}
					slow.Set("cart", "first's")
					visitor.Destroy()
					save(t, store, visitor)

					next := get(t, store, id)
					next.Set("user", "next")
					save(t, store, next)
					for range 2 {
						if err := slowSave(other, slow); !errors.Is(err, sessions.ErrDeleted) {
							t.Errorf("the slow request's save = %v, want ErrDeleted", err)
						}
					}
					if got, want := values(get(t, store, id)), map[string]any{"user": "next"}; !maps.Equal(got, want) {
						t.Errorf("the next visitor's session has %v, want %v", got, want)
					}
					next.Set("more", 1)
					save(t, store, next)
				})
			}
		}
	}
}

func TestKeepMissingIDSlowLogoutEndsItsOwnSessionAlone(t *testing.T) {
	store, other, id := keeping(t, sessions.FilesystemOptions{})
	visitor := get(t, store, id)
	visitor.Set("user", "first")
	save(t, store, visitor)
	slow := get(t, other, id)
	visitor.Destroy()
	save(t, store, visitor)
	next := get(t, store, id)
	next.Set("user", "next")
	save(t, store, next)
	slow.Destroy()
	slow.AddFlash("bye")
	save(t, other, slow)
	if got := get(t, store, id).Get("user"); got != "next" || slow.ID() == id {
		t.Errorf("the next visitor's session has the user %v", got)
	}

	// Of two requests that adopted an ID together, one logs out.
	id = store.GenerateKey()
	a, b := get(t, store, id), get(t, other, id)
	b.Set("user", "b")
	save(t, other, b)
	a.Destroy()
	save(t, store, a)
	if got := get(t, store, id); got.Len() != 0 {
		t.Errorf("a logout left %v", values(got))
	}
	if b.Set("n", 1); !errors.Is(other.Save(background, b), sessions.ErrDeleted) {
		t.Error("a logout was undone")
	}
}

// An ID is adopted until the session has been saved, and no longer.
func TestKeepMissingIDEndsWithTheFirstSave(t *testing.T) {
	store, other, id := keeping(t, sessions.FilesystemOptions{})
	for _, save := range []func(s *sessions.Session) error{
		func(s *sessions.Session) error { return store.Save(background, s) },
		func(s *sessions.Session) error { return store.Update(background, s, setA) },
	} {
		early := get(t, other, id)
		s := get(t, store, id)
		if err := save(s); err != nil {
			t.Fatal(err)
		}
		if err := other.Delete(background, get(t, other, id)); err != nil {
			t.Fatal(err)
		}
		s.Set("late", 1)
		for range 2 {
			if err := save(s); !errors.Is(err, sessions.ErrDeleted) {
				t.Errorf("a save after the session was ended = %v, want ErrDeleted", err)
			}
		}
		if got := get(t, store, id); got.Len() != 0 {
			t.Errorf("the session is back: %v", values(got))
		}
		// Nor does it go into one that began before it and was stored after its end.
		early.Set("early", 1)
		if err := other.Save(background, early); err != nil {
			t.Fatal(err)
		}
		if err := save(s); !errors.Is(err, sessions.ErrDeleted) {
			t.Errorf("a save into another session = %v, want ErrDeleted", err)
		}
		if err := other.Delete(background, early); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeepMissingIDUpdateCallsItsFunctionOnce(t *testing.T) {
	store, other, id := keeping(t, sessions.FilesystemOptions{})
	a, b := get(t, store, id), get(t, other, id)
	a.Set("pending", true)
	calls := 0
	err := store.Update(background, a, func(s *sessions.Session) error {
		calls++
		b.Set("b", 1)
		if calls == 1 {
			save(t, other, b)
		}
		counter.Set(s, counter.Get(s)+1)
		return nil
	})
	if calls != 1 || !errors.Is(err, sessions.ErrExists) {
		t.Errorf("the function was called %d times, Update = %v; want once, and ErrExists", calls, err)
	}
	if got, want := values(a), map[string]any{"pending": true}; !maps.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	if got, want := values(get(t, store, id)), map[string]any{"b": int64(1)}; !maps.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	// An error of the function that looks like the store's is no reason either.
	calls = 0
	err = store.Update(background, get(t, store, store.GenerateKey()), func(*sessions.Session) error { calls++; return sessions.ErrExists })
	if calls != 1 || !errors.Is(err, sessions.ErrExists) {
		t.Errorf("the function was called %d times, Update = %v; want once, and its error", calls, err)
	}
}

// Of requests that adopt an ID at once, and count, each one acknowledged counts.
func TestKeepMissingIDUpdateCountsWhatItAcknowledges(t *testing.T) {
	store, other, _ := keeping(t, sessions.FilesystemOptions{})
	deadline := time.Now().Add(5 * time.Second)
	for range 50 {
		id := store.GenerateKey()
		var calls, counted atomic.Int64
		var adopted []*sessions.Session
		for range goroutines {
			adopted = append(adopted, get(t, store, id))
		}
		err := together(func(g int) error {
			err := store.Update(background, adopted[g], func(s *sessions.Session) error {
				calls.Add(1)
				counter.Set(s, counter.Get(s)+1)
				return nil
			})
			switch {
			case err == nil:
				counted.Add(1)
			case errors.Is(err, sessions.ErrExists), errors.Is(err, sessions.ErrDeleted):
				return nil
			}
			return err
		})
		if got := counter.Get(get(t, other, id)); err != nil || got != counted.Load() || got == 0 || calls.Load() > goroutines {
			t.Fatalf("%v: counted to %d, acknowledged %d, %d calls", err, got, counted.Load(), calls.Load())
		}
		if time.Now().After(deadline) {
			break // on a machine that is busy
		}
	}
}
