package sessions_test

import (
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

func TestMarkModifiedCarriesWhatWasChangedInPlace(t *testing.T) {
	for name, codec := range map[string]sessions.Codec{"json": nil, "gob": sessions.Gob(point{}, map[string]int64(nil))} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, sessions.FilesystemOptions{Codec: codec})
			s := store.New()
			s.Set("map", map[string]any{"k": "v"})
			s.Set("point", point{X: 1, Tags: map[string]string{"k": "v"}})
			save(t, store, s)
			s = get(t, store, s.ID())
			s.Get("map").(map[string]any)["k"] = "w"
			sessions.Key[point]("point").Get(s).Tags["k"] = "w"
			if s.Modified() {
				t.Error("a change in place modified the session")
			}
			s.MarkModified()
			save(t, store, s)
			s = get(t, store, s.ID())
			if got := s.Get("map"); !reflect.DeepEqual(got, map[string]any{"k": "w"}) {
				t.Errorf("map = %v", got)
			}
			if got := sessions.Key[point]("point").Get(s); got.X != 1 || got.Tags["k"] != "w" {
				t.Errorf("point = %+v", got)
			}
		})
	}
}

// Only looked at, a value is not carried, though decoding and encoding it again
// may make other bytes: then it would overwrite another request's value.
func TestMarkModifiedDoesNotCarryWhatWasOnlyLookedAt(t *testing.T) {
	values := map[string]any{
		"struct":  point{X: 1, Y: 2, Label: "l", At: &time.Time{}}, // whose fields are not sorted
		"uint":    map[string]any{"u": uint64(1<<64 - 1), "n": 1},
		"floats":  []float64{1, 2.5, 1e21},
		"numbers": map[string]any{"f": 1.5, "n": 1},
		"html":    []string{"<&>"},
	}
	for name, codec := range map[string]sessions.Codec{"json": nil, "gob": sessions.Gob(point{})} {
		for key, value := range values {
			t.Run(name+" "+key, func(t *testing.T) {
				store := newStore(t, sessions.FilesystemOptions{Codec: codec})
				id := saved(t, store, key, value).ID()
				typed, untyped, other := get(t, store, id), get(t, store, id), get(t, store, id)
				untyped.Get(key)
				untyped.MarkModified()
				sessions.Key[map[string]any](key).Get(typed)
				sessions.Key[point](key).Get(typed)
				sessions.Key[[]float64](key).Get(typed)
				typed.MarkModified()
				other.Set(key, "other")
				save(t, store, other)
				for _, s := range []*sessions.Session{untyped, typed} {
					save(t, store, s)
					if got := get(t, store, id).Get(key); got != "other" {
						t.Errorf("what another request set became %v", got)
					}
				}
			})
		}
	}
}

func TestUpdateSeesWhatIsStoredAndKeepsWhatWasChangedBefore(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	s.Set("list", []any{1})
	s.Set("n", 1)
	s.Set("untouched", []any{1})
	save(t, store, s)
	slow, other := get(t, store, s.ID()), get(t, store, s.ID())
	slow.Set("mine", true)
	slow.Get("list").([]any)[0] = "changed in place"
	slow.Get("untouched")
	slow.MarkModified()
	other.Set("n", 2)
	other.Set("list", []any{2})
	other.Set("untouched", []any{2})
	save(t, store, other)
	err := store.Update(background, slow, func(s *sessions.Session) error {
		if got := s.Get("n"); got != int64(2) {
			t.Errorf("n = %v, want what is stored", got)
		}
		if got := s.Get("untouched"); !reflect.DeepEqual(got, []any{int64(2)}) {
			t.Errorf("untouched = %v, want what is stored", got)
		}
		counter.Set(s, counter.Get(s)+1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := values(get(t, store, s.ID()))
	want := map[string]any{"n": int64(3), "mine": true, "list": []any{"changed in place"}, "untouched": []any{int64(2)}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestUpdateThatFailsLeavesSessionAndFileAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := saved(t, store, "n", 1)
	other := get(t, store, s.ID())
	other.Set("other", true)
	save(t, store, other)
	before := content(t, fileOf(t, dir, s))
	s.Set("pending", true)
	errMine := errors.New("mine")
	err := store.Update(background, s, func(s *sessions.Session) error { s.Clear(); s.Set("n", 2); s.Renew(); return errMine })
	if !errors.Is(err, errMine) {
		t.Errorf("Update = %v, want its function's error", err)
	}
	func() {
		defer func() {
			if recover() != "panics" {
				t.Error("the panic did not go on")
			}
		}()
		store.Update(background, s, func(s *sessions.Session) error { s.Destroy(); panic("panics") })
	}()
	if got, want := values(s), map[string]any{"n": 1, "pending": true}; !reflect.DeepEqual(got, want) || !s.Modified() {
		t.Errorf("%v %v, want %v", s, got, want)
	}
	if content(t, fileOf(t, dir, s)) != before {
		t.Error("the file was changed")
	}
	save(t, store, s) // the lock is free, and nothing of it is left over
	if got, want := values(get(t, store, s.ID())), map[string]any{"n": int64(1), "pending": true, "other": true}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Under -race: a failed update puts the session back while others look at it.
func TestUpdateThatFailsLetsTheSessionBeRead(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "n", 1)
	err := together(func(int) error {
		for range 50 {
			s.Get("n")
			_ = s.String()
			if err := store.Update(background, s, func(*sessions.Session) error { return errors.ErrUnsupported }); err == nil {
				return errors.New("no error")
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestSaveBringsInTheChangesOfOthers(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "a", 1)
	other := get(t, store, s.ID())
	s.Get("a")
	other.Set("a", 2)
	other.Set("b", []any{1})
	save(t, store, other)
	s.Set("c", 3)
	save(t, store, s)
	if got := values(s); !reflect.DeepEqual(got, map[string]any{"a": int64(2), "b": []any{int64(1)}, "c": 3}) {
		t.Errorf("after the save the session holds %v", got)
	}
	if s.Modified() || s.New() {
		t.Errorf("%v is not clean", s)
	}
}

func TestSaveLeavesChangesDuringItToTheNext(t *testing.T) {
	s := loaded(t, `{"a":1}`)
	s.Set("b", 1)
	var kept sessions.Record
	write := func(c *sessions.Change) error {
		s.Set("b", 2)
		s.Set("late", true)
		kept = *c.Record()
		return nil
	}
	if err := commitTo(s, sessions.Record{Data: `{"a":1}`}, write); err != nil || kept.Data != `{"a":1,"b":1}` {
		t.Errorf("Commit = %v, wrote %s", err, kept.Data)
	}
	if !s.Modified() || s.Get("b") != 2 {
		t.Errorf("%v: want what was changed meanwhile to wait for the next save", s)
	}
	keep := func(c *sessions.Change) error { kept = *c.Record(); return nil }
	if err := commitTo(s, kept, keep); err != nil || kept.Data != `{"a":1,"b":2,"late":true}` || s.Modified() {
		t.Errorf("Commit = %v, wrote %s, left %v", err, kept.Data, s)
	}
}

func TestDestroyDuringASaveLeavesTheSessionAnonymous(t *testing.T) {
	stored := sessions.Record{Codec: "json", Data: `{"a":1}`, Owner: "ann", IdleTimeout: time.Hour, Used: time.Now()}
	s, err := nowhere.Load("id", "id", stored)
	if err != nil {
		t.Fatal(err)
	}
	s.Set("b", 1)
	write := func(*sessions.Change) error { s.Destroy(); return nil }
	if err := commitTo(s, stored, write); err != nil || s.Owner() != "" || s.IdleTimeout() != 0 || s.Len() != 0 {
		t.Errorf("Commit = %v, left the owner %q, the timeout %v and %d values", err, s.Owner(), s.IdleTimeout(), s.Len())
	}
}

func TestSaveOfASessionTooLargeIsRefusedAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, MaxSize: 10_000})
	s := saved(t, store, "a", 1)
	before := content(t, fileOf(t, dir, s))
	s.Set("large", strings.Repeat("x", 10_000))
	if err := store.Save(background, s); !errors.Is(err, sessions.ErrTooLarge) {
		t.Errorf("Save = %v, want ErrTooLarge", err)
	}
	if content(t, fileOf(t, dir, s)) != before || !s.Modified() {
		t.Errorf("%v, or its file, was changed", s)
	}
	s.Renew()
	if err := store.Save(background, s); !errors.Is(err, sessions.ErrTooLarge) || len(names(t, dir)) != 1 {
		t.Errorf("Save with a new ID = %v, want ErrTooLarge; %d files", err, len(names(t, dir)))
	}
	s.Set("large", strings.Repeat("x", 9_900))
	save(t, store, s)
}

func TestSaveOfANewSessionNeverReplacesAStoredOne(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	taken := s.Clone() // has the same ID
	s.Set("a", 1)
	save(t, store, s)
	taken.Set("a", 2)
	if err := store.Save(background, taken); !errors.Is(err, sessions.ErrExists) || !taken.New() || !taken.Modified() {
		t.Errorf("Save = %v, want ErrExists; %v", err, taken)
	}
	if got := get(t, store, s.ID()).Get("a"); got != int64(1) {
		t.Errorf("a = %v", got)
	}
}

func TestRenewMakesAnotherIDAndEndsTheOldOne(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, Sync: sessions.SyncFull})
	s := saved(t, store, "a", 1)
	old, created := s.ID(), s.Created()
	other := get(t, store, old)
	other.Set("other", true)
	save(t, store, other)
	s.Renew()
	if s.ID() != old {
		t.Error("the ID changed before the save")
	}
	save(t, store, s)
	if s.ID() == old || !s.Created().After(created) || s.Modified() || s.New() {
		t.Errorf("%v, the same ID: %v, created %v after the old one", s, s.ID() == old, s.Created().Sub(created))
	}
	gone(t, store, old)
	if got, want := values(get(t, store, s.ID())), map[string]any{"a": int64(1), "other": true}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	fresh := store.New() // has nothing that could be ended
	id := fresh.ID()
	fresh.Renew()
	if save(t, store, fresh); fresh.ID() != id || len(names(t, dir)) != 2 {
		t.Errorf("a new session that was renewed: the same ID %v; %d files", fresh.ID() == id, len(names(t, dir)))
	}
}

func TestSaveOfOneSessionBySeveralGoroutines(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	var n atomic.Int64
	err := together(func(g int) error {
		for range 50 {
			s.Set(ownKey("", g, int(n.Add(1))), 1)
			if err := store.Save(background, s); err != nil {
				return err
			}
		}
		return nil
	})
	if got := get(t, store, s.ID()).Len(); err != nil || got != goroutines*50 {
		t.Errorf("%v, %d values, want %d", err, got, goroutines*50)
	}
}

// Neither header nor values of the file tell that another request has set Meta.
func TestSaveKeepsTheMetaOfAnotherRequest(t *testing.T) {
	for name, sealer := range map[string]sessions.Sealer{"plain": nil, "sealed": xorSealer{}} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, sessions.FilesystemOptions{Sealer: sealer})
			s := store.New()
			s.SetOwner("ann")
			s.SetMeta("one")
			save(t, store, s)
			slow, fast := get(t, store, s.ID()), get(t, store, s.ID())
			fast.SetMeta("two")
			save(t, store, fast)
			slow.Set("a", 1)
			save(t, store, slow)
			if got := get(t, store, s.ID()); got.Meta() != "two" || got.Get("a") != int64(1) {
				t.Errorf("Meta %q and a %v, want that of one request and the value of the other", got.Meta(), got.Get("a"))
			}
		})
	}
}
