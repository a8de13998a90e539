package sessions_test

import (
	"errors"
	"testing"

	"github.com/sessfs/sessions"
)

func TestStoreRefusesTheSessionsOfAnotherOne(t *testing.T) {
	dir := t.TempDir()
	o := sessions.FilesystemOptions{Path: dir, KeepMissingID: true}
	store, same, elsewhere := newStore(t, o), newStore(t, o), newStore(t, sessions.FilesystemOptions{})
	s := same.New()
	s.SetOwner("ann")
	save(t, same, s)
	foreign := map[string]*sessions.Session{
		"new":                     same.New(),
		"saved":                   s,
		"loaded":                  get(t, same, s.ID()),
		"adopted":                 get(t, same, same.GenerateKey()),
		"cloned":                  get(t, same, s.ID()).Clone(),
		"of another directory":    saved(t, elsewhere, "a", 1),
		"of a store of one's own": nowhere.New(),
		"one's own, loaded":       loaded(t, "{}"),
	}
	before := content(t, fileOf(t, dir, s))
	for what, s := range foreign {
		s.Set("b", 1)
		stored, id := s.New(), s.ID()
		for name, act := range saves(t, store) {
			if err := act(background, s); !errors.Is(err, sessions.ErrForeign) && !(name == "Cookies.SaveLate" && err != nil) {
				t.Errorf("%s of a session that is %s = %v, want ErrForeign", name, what, err)
			}
		}
		if !s.Modified() || s.New() != stored || s.ID() != id || s.Err() != nil {
			t.Errorf("%s: it was changed to %v", what, s)
		}
	}
	if content(t, fileOf(t, dir, s)) != before || len(names(t, dir)) != 1 {
		t.Error("the directory was changed")
	}
	if err := commit(s); !errors.Is(err, sessions.ErrForeign) {
		t.Errorf("Commit of a session of a file store = %v, want ErrForeign", err)
	}
	save(t, same, s)
}
