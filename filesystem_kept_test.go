package sessions_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
	"weak"

	"github.com/sessfs/sessions"
)

// The sessions of one file that is kept open share the text that they were loaded from, and
// nothing that one of them can change.
func TestGetOfAFileInUseMakesASessionOfItsOwn(t *testing.T) {
	for name, o := range map[string]sessions.FilesystemOptions{
		"JSON":             {},
		"gob":              {Codec: sessions.Gob()},
		"no timeouts":      {IdleTimeout: sessions.Never, Lifetime: sessions.Never},
		"hashed names":     {HashNames: true},
		"sealed":           {Sealer: xorSealer{}},
		"adopting its IDs": {KeepMissingID: true},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, o)
			s := store.New()
			s.SetOwner("ann")
			s.SetIdleTimeout(time.Hour)
			s.Set("list", []string{"a", "b"})
			s.Set("n", 1)
			save(t, store, s)
			want := func(got *sessions.Session, text string) {
				t.Helper()
				list, _ := sessions.Key[[]string]("list").Lookup(got)
				if is := fmt.Sprintf("%v %d %s %v", list, sessions.Key[int]("n").Get(got), got.Owner(), got.IdleTimeout()); is != text {
					t.Errorf("got %s, want %s", is, text)
				}
			}
			var running sync.WaitGroup
			for range 8 {
				running.Go(func() {
					for i := range 50 {
						got := get(t, store, s.ID())
						want(got, "[a b] 1 ann 1h0m0s")
						// In place, and in the session alone.
						list, _ := sessions.Key[[]string]("list").Lookup(got)
						list[0] = "changed"
						switch i % 4 {
						case 0:
							got.Set("n", 2)
						case 1:
							got.Clear()
						case 2:
							got.Delete("list")
							got.SetOwner("bob")
						case 3:
							got.MarkModified()
							got.SetIdleTimeout(time.Minute)
						}
					}
				})
			}
			running.Wait()
			got := get(t, store, s.ID())
			got.Set("n", 2)
			save(t, store, got)
			want(get(t, store, s.ID()), "[a b] 2 ann 1h0m0s")
			want(got, "[a b] 2 ann 1h0m0s")
		})
	}
}

// A doublingJSON writes a value so that a load finds two, each time into the same memory.
type doublingJSON struct {
	jsonOfMine
	buf *[]byte
}

func (c doublingJSON) Marshal(v any) ([]byte, error) {
	data, err := c.jsonOfMine.Marshal(v)
	*c.buf = fmt.Appendf((*c.buf)[:0], " %s ,\"also %s\": true\n", data, rand.Text())
	return *c.buf, err
}

// A load after a save finds the session as another store does, which reads it from the
// file alone.
func TestGetAfterASaveOfAFileInUseFindsThatOfTheFile(t *testing.T) {
	owner := sessions.FilesystemOptions{Sealer: ringSealer{"k"}}
	for name, o := range map[string]sessions.FilesystemOptions{
		"JSON":             {},
		"gob":              {Codec: sessions.Gob()},
		"JSON of its own":  {Codec: doublingJSON{jsonOfMine{sessions.JSON(), "mine"}, new([]byte)}},
		"sealed":           owner,
		"sealed, hashed":   {Sealer: owner.Sealer, HashNames: true},
		"hashed names":     {HashNames: true},
		"no timeouts":      {IdleTimeout: sessions.Never, Lifetime: sessions.Never},
		"adopting its IDs": {KeepMissingID: true},
		"synced":           {Sync: sessions.SyncFull},
	} {
		t.Run(name, func(t *testing.T) {
			o.Path = t.TempDir()
			o.Observe = func(_ context.Context, e sessions.Event) {
				if e.Kind == sessions.EventMerged {
					t.Error("a save found other bytes than its load")
				}
			}
			store := newStore(t, o)
			s := store.New()
			s.Set("n", 0)
			save(t, store, s)
			for i, change := range []func(s *sessions.Session){
				func(s *sessions.Session) { s.Set("n", 1) },
				func(s *sessions.Session) { s.Set("n", 2.0); s.Set("a", "\"\n\u2028é") },
				func(s *sessions.Session) { s.Set("list", []string{"a", "b"}); s.Set("A", nil) },
				func(s *sessions.Session) {
					list, _ := sessions.Key[[]string]("list").Lookup(s)
					list[1] = "changed"
					s.MarkModified()
				},
				func(s *sessions.Session) { s.Delete("n") },
				func(s *sessions.Session) { s.SetMeta("a b=c\n&") },
				func(s *sessions.Session) { s.SetMeta("another"); s.Set("n", 3) },
				func(s *sessions.Session) { s.Login("ann b") },
				func(s *sessions.Session) { s.Set("n", 4) },
				func(s *sessions.Session) { s.SetMeta("a third") },
				func(s *sessions.Session) { s.SetIdleTimeout(time.Hour); s.SetLifetime(48 * time.Hour) },
				func(s *sessions.Session) { s.SetPersistence(sessions.PersistUntilClosed) },
				func(s *sessions.Session) { s.Set("n", 5) },
				func(s *sessions.Session) { s.Set("large", strings.Repeat("x", 1000)) },
				func(s *sessions.Session) { s.Delete("large"); s.SetMeta("") },
				func(s *sessions.Session) { s.Clear() },
				func(s *sessions.Session) { s.Set("n", 6) },
			} {
				for _, how := range []string{"Save", "Update"} {
					var loaded *sessions.Session
					for range 3 { // from the second use on the file stays open
						loaded = get(t, store, s.ID())
					}
					loaded.Get("n")
					if how == "Save" {
						change(loaded)
						save(t, store, loaded)
					} else if err := store.Update(t.Context(), loaded, func(s *sessions.Session) error { change(s); return nil }); err != nil {
						t.Fatal(err)
					}
					s = loaded
					if got, want := all(get(t, store, s.ID())), all(get(t, newStore(t, o), s.ID())); got != want {
						t.Errorf("after %s %d it is\n%s\nand in the file\n%s", how, i, got, want)
					}
				}
			}
		})
	}
}

// all returns all that a session shows.
func all(s *sessions.Session) string {
	text := fmt.Sprintf("%t %t %#v %#v %q %q %v %v %v", s.New(), s.Modified(), s.Created(), s.AuthenticatedAt(), s.Owner(), s.Meta(), s.IdleTimeout(), s.Lifetime(), s.Persistence())
	for key, value := range s.All() {
		text += fmt.Sprintf(" %q: %#v", key, value)
	}
	list, ok := sessions.Key[[]string]("list").Lookup(s)
	return text + fmt.Sprint(list, ok)
}

// The text of an application, of which a part is saved, may be large: the body of a request.
func TestSaveOfAFileInUseKeepsNoTextOfTheApplication(t *testing.T) {
	for name, change := range map[string]func(s *sessions.Session, text string){
		"Meta":    func(s *sessions.Session, text string) { s.SetMeta(text) },
		"a key":   func(s *sessions.Session, text string) { s.Set(text[:10], 1) },
		"a value": func(s *sessions.Session, text string) { s.Set("a", text[:10]) },
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, sessions.FilesystemOptions{})
			s := store.New()
			s.SetMeta("short")
			save(t, store, s)
			kept := func() weak.Pointer[byte] {
				for n := range 3 {
					s = get(t, store, s.ID())
					s.Set("n", n)
					save(t, store, s)
				}
				loaded := get(t, store, s.ID())
				text := strings.Repeat("x", 1<<20)
				change(loaded, text)
				save(t, store, loaded)
				return weak.Make(unsafe.StringData(text))
			}()
			runtime.GC()
			if kept.Value() != nil {
				t.Error("it is in memory, and its session gone")
			}
			runtime.KeepAlive(store)
		})
	}
}

// The session was large when one loaded it that goes on with the small one.
func TestSaveOfAFileInUseKeepsNoTextOfALargerOne(t *testing.T) {
	for _, meta := range []string{"", "short"} {
		o := sessions.FilesystemOptions{Path: t.TempDir()}
		store, other := newStore(t, o), newStore(t, o)
		use := func(id string) {
			for range 3 {
				s := get(t, store, id)
				s.Set("n", rand.Text())
				save(t, store, s)
			}
		}
		round := func() {
			s := saved(t, store, "a", "b")
			s.SetMeta(meta)
			save(t, store, s)
			use(s.ID())
			s = get(t, store, s.ID())
			large := get(t, other, s.ID())
			large.Set("large", strings.Repeat("x", 1<<18))
			save(t, other, large)
			s.Set("large", nil)
			for range 4 {
				s.Set("n", rand.Text())
				save(t, store, s)
				get(t, store, s.ID())
				get(t, store, s.ID()).Get("a")
			}
		}
		round()
		before := inUse()
		for range 10 {
			round()
		}
		if more := inUse() - before; more > 1<<19 {
			t.Errorf("Meta %q: ten small sessions have %d KB", meta, more>>10)
		}
		runtime.KeepAlive(store)
	}
}

// inUse returns how many bytes of memory are in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // of pools, too
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A file in use is judged by the time that it has now.
func TestGetOfAFileInUseSeesItsExpiryAndItsTouches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t, sessions.FilesystemOptions{IdleTimeout: time.Hour, Lifetime: 10 * time.Hour})
		s := store.New()
		s.Set("a", 1)
		save(t, store, s)
		for n := range 11 {
			for range 3 {
				if got := get(t, store, s.ID()); got.New() != (n >= 10) {
					t.Fatalf("after %d half hours it is new: %v", 2*n, got.New())
				}
			}
			if ok, err := store.Touch(t.Context(), s, time.Second); n > 0 && n < 10 && (!ok || err != nil) || n >= 10 && !errors.Is(err, sessions.ErrDeleted) {
				t.Fatalf("after %d half hours, Touch = %v, %v", 2*n, ok, err)
			}
			time.Sleep(time.Hour - time.Second)
			if n == 9 {
				time.Sleep(time.Minute)
			}
		}
	})
}
