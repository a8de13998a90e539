package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// The table of promises to concurrent requests: A and B load the same session,
// change it, and save it in this order, through stores of two processes' kind
// or through one.
func TestSaveKeepsTheChangesOfConcurrentRequests(t *testing.T) {
	set := func(key string, value any) func(*sessions.Session) {
		return func(s *sessions.Session) { s.Set(key, value) }
	}
	remove := func(key string) func(*sessions.Session) { return func(s *sessions.Session) { s.Delete(key) } }
	inPlace := func(s *sessions.Session) {
		s.Get("map").(map[string]any)["n"] = 1
		s.Get("list") // handed out, and not changed
		s.MarkModified()
	}
	for _, row := range []struct {
		name string
		a, b func(*sessions.Session)
		want string // of the values afterwards, as fmt prints them without the map and the list
	}{
		{"sets a | sets b", set("a", 1), set("b", 2), "a:1 b:2"},
		{"sets a | sets a", set("a", 1), set("a", 2), "a:2"},
		{"deletes a | sets b", remove("a"), set("b", 2), "b:2"},
		{"sets b | deletes a", set("b", 2), remove("a"), "b:2"},
		{"sets a | deletes a", set("a", 1), remove("a"), ""},
		{"deletes a | sets a", remove("a"), set("a", 1), "a:1"},
		{"clears | sets b", (*sessions.Session).Clear, set("b", 2), "b:2 !list !map"},
		{"sets b | clears", set("b", 2), (*sessions.Session).Clear, "!list !map"},
		{"clears, sets a | sets b", func(s *sessions.Session) { s.Clear(); s.Set("a", 1) }, set("b", 2), "a:1 b:2 !list !map"},
		{"changes inside | sets b", inPlace, set("b", 2), "a:0 b:2 map.n:1"},
		{"sets b | changes inside", set("b", 2), inPlace, "a:0 b:2 map.n:1"},
		{"replaces the list | changes inside the map", set("list", 7), inPlace, "a:0 list:7 map.n:1"},
		{"adds a flash | adds a flash", func(s *sessions.Session) { s.AddFlash(1) }, func(s *sessions.Session) { s.AddFlash(2) }, "flash:1 flash:2 a:0"},
		{"owner | idle timeout", func(s *sessions.Session) { s.SetOwner("u") }, func(s *sessions.Session) { s.SetIdleTimeout(time.Hour) }, "a:0 owner:u age:1h0m0s"},
		{"idle timeout | sets b", func(s *sessions.Session) { s.SetIdleTimeout(time.Hour) }, set("b", 2), "a:0 b:2 age:1h0m0s"},
		{"sets b | idle timeout", set("b", 2), func(s *sessions.Session) { s.SetIdleTimeout(time.Hour) }, "a:0 b:2 age:1h0m0s"},
		{"renews | nothing", (*sessions.Session).Renew, func(*sessions.Session) {}, "a:0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for name, o := range map[string]sessions.FilesystemOptions{"json": {}, "gob": {Codec: sessions.Gob()}, "sealed": {Sealer: xorSealer{}}} {
				o.Path = t.TempDir()
				first, second := newStore(t, o), newStore(t, o)
				s := first.New()
				s.Set("a", 0)
				s.Set("map", map[string]any{"k": map[string]any{"x": 1.5}, "n": 0})
				s.Set("list", []any{1, 2.5, "x"})
				save(t, first, s)
				a, b := get(t, first, s.ID()), get(t, second, s.ID())
				row.a(a)
				row.b(b)
				save(t, first, a)
				err := second.SaveIfModified(background, b)
				if err != nil {
					t.Fatal(err)
				}
				if got := summary(get(t, first, a.ID())); got != row.want {
					t.Errorf("%s: afterwards %q, want %q", name, got, row.want)
				}
			}
		})
	}
}

// summary prints the parts of a session that the table's rows look at.
func summary(s *sessions.Session) string {
	var parts []string
	for key, v := range s.All() {
		switch {
		case key == "map":
			if n := fmt.Sprint(v.(map[string]any)["n"]); n != "0" {
				parts = append(parts, "map.n:"+n)
			}
		case key == "list" && fmt.Sprint(v) == "[1 2.5 x]":
		case strings.HasPrefix(key, "_flash"):
			parts = append(parts, fmt.Sprint("flash:", v))
		default:
			parts = append(parts, fmt.Sprint(key, ":", v))
		}
	}
	for _, key := range []string{"list", "map"} {
		if _, ok := s.Lookup(key); !ok {
			parts = append(parts, "!"+key)
		}
	}
	if s.Owner() != "" {
		parts = append(parts, "owner:"+s.Owner())
	}
	if s.IdleTimeout() != 0 {
		parts = append(parts, "age:"+s.IdleTimeout().String())
	}
	return strings.Join(parts, " ")
}

// ended are the ways in which a session ends under a request that holds it.
var ended = map[string]func(store *sessions.FilesystemSessionStore, s *sessions.Session) error{
	"destroy": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error {
		s.Destroy()
		return st.Save(background, s)
	},
	"destroy, with a farewell": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error {
		s.Destroy()
		s.AddFlash("bye")
		return st.Save(background, s)
	},
	"renew": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error {
		s.Renew()
		return st.Save(background, s)
	},
	"delete": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error { return st.Delete(background, s) },
	"delete all": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error {
		_, err := st.DeleteAll(background)
		return err
	},
	"delete owner": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error {
		_, err := st.DeleteOwner(background, "u")
		return err
	},
	"rm": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error {
		return os.RemoveAll(s.Get("file").(string))
	},
}

func TestDestroyedSessionStaysEnded(t *testing.T) {
	for name, end := range ended {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour}
			first, second := newStore(t, o), newStore(t, o)
			s := first.New()
			id := s.ID()
			s.SetOwner("u")
			s.Set("file", filepath.Join(dir, "session_"+id+".sess"))
			save(t, first, s)
			slow := make([]*sessions.Session, 6)
			for i := range slow {
				slow[i] = get(t, second, id)
				slow[i].Set("slow", i)
			}
			if err := end(first, s); err != nil {
				t.Fatal(err)
			}
			slow[1].Clear()
			slow[2].Renew()
			slow[3].SetIdleTimeout(time.Minute)
			for i, s := range slow[:4] {
				if err := second.Save(background, s); !errors.Is(err, sessions.ErrDeleted) {
					t.Errorf("save %d = %v, want ErrDeleted", i, err)
				}
				if err := second.Save(background, s); !errors.Is(err, sessions.ErrDeleted) {
					t.Errorf("save %d again = %v, want ErrDeleted", i, err)
				}
			}
			err := second.Update(background, slow[4], func(*sessions.Session) error { t.Error("update was called"); return nil })
			if !errors.Is(err, sessions.ErrDeleted) {
				t.Errorf("Update = %v, want ErrDeleted", err)
			}
			if _, err := second.Touch(background, slow[5], 0); !errors.Is(err, sessions.ErrDeleted) {
				t.Errorf("Touch = %v, want ErrDeleted", err)
			}
			slow[5].Destroy()
			if err := second.Save(background, slow[5]); err != nil {
				t.Errorf("a second logout = %v, want no error", err)
			}
			gone(t, first, id)
			want := 0
			if s.ID() != id && s.Len() > 0 {
				want = 1 // renewed, or with a farewell: stored under another ID
				if got := get(t, first, s.ID()); got.New() || got.Len() != s.Len() {
					t.Errorf("under its new ID: %v", got)
				}
			}
			if got := len(names(t, dir)); got != want {
				t.Errorf("%d files are left, want %d", got, want)
			}
		})
	}
}

// A request that began before the logout saves after it: 1,000 times, with the
// two of them at once.
func TestDestroyDuringASlowRequestIsNeverUndone(t *testing.T) {
	dir := t.TempDir()
	o := sessions.FilesystemOptions{Path: dir}
	first, second := newStore(t, o), newStore(t, o)
	for name, slowStore := range map[string]*sessions.FilesystemSessionStore{"one store": first, "two stores": second} {
		refused := 0
		for i := range 500 {
			s := saved(t, first, "user", "ann")
			a, slow := get(t, first, s.ID()), get(t, slowStore, s.ID())
			a.Destroy()
			slow.Set("i", i)
			var errA, errSlow error
			var wg sync.WaitGroup
			wg.Go(func() { errA = first.Save(background, a) })
			wg.Go(func() { errSlow = slowStore.Save(background, slow) })
			wg.Wait()
			if errA != nil || errSlow != nil && !errors.Is(errSlow, sessions.ErrDeleted) {
				t.Fatalf("logout = %v, save = %v", errA, errSlow)
			}
			if errSlow != nil {
				refused++
			}
			gone(t, first, s.ID())
		}
		t.Logf("%s: %d of 500 saves came too late", name, refused)
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("%d files are left", len(got))
	}
}

func TestUpdateCountsBesideOthersThatCount(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	id := saved(t, store, "n", 0).ID()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := increment(store, id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := counter.Get(get(t, store, id)); got != 400 {
		t.Errorf("n = %d, want 400", got)
	}
}

var counter = sessions.Key[int64]("n")

func increment(store *sessions.FilesystemSessionStore, id string) error {
	s, err := store.Get(background, id)
	if err != nil {
		return err
	}
	return store.Update(background, s, func(s *sessions.Session) error {
		counter.Set(s, counter.Get(s)+1)
		return nil
	})
}

func TestSaveThatWaitsObeysItsContextAndLeavesNothingHeld(t *testing.T) {
	dir := t.TempDir()
	o := sessions.FilesystemOptions{Path: dir}
	first, second := newStore(t, o), newStore(t, o)
	id := saved(t, first, "n", 0).ID()
	for name, waiting := range map[string]*sessions.FilesystemSessionStore{"one store": first, "two stores": second} {
		t.Run(name, func(t *testing.T) {
			held, release, done := make(chan bool), make(chan bool), make(chan error)
			go func() {
				s, _ := first.Get(background, id)
				done <- first.Update(background, s, func(*sessions.Session) error { held <- true; <-release; return nil })
			}()
			<-held
			s := get(t, waiting, id) // a reader does not wait
			s.Set("a", 1)
			for what, act := range map[string]func(context.Context) error{
				"Save":   func(ctx context.Context) error { return waiting.Save(ctx, s) },
				"Update": func(ctx context.Context) error { return waiting.Update(ctx, s, nil) },
				"Delete": func(ctx context.Context) error { return waiting.Delete(ctx, s) },
			} {
				ctx, cancel := context.WithTimeout(background, 20*time.Millisecond)
				if err := act(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s = %v, want context.DeadlineExceeded", what, err)
				}
				cancel()
			}
			if touched, err := waiting.Touch(background, s, 0); touched || err != nil {
				t.Errorf("Touch = %v, %v, want that it does nothing", touched, err)
			}
			if !s.Modified() || s.Get("a") != 1 {
				t.Errorf("%v after a save that failed; want it as it was", s)
			}
			close(release)
			if err := <-done; err != nil {
				t.Error(err)
			}
			ctx, cancel := context.WithTimeout(background, 10*time.Second)
			defer cancel()
			if err := waiting.Save(ctx, s); err != nil {
				t.Errorf("Save when nobody holds the lock = %v", err)
			}
		})
	}
}
