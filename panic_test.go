package sessions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// soon runs an operation that must not wait for a lock that is never given back.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

// A panicker's methods panic when it is told to.
type panicker struct {
	With any
	Text string
}

func (p panicker) MarshalJSON() ([]byte, error) {
	if p.With != nil {
		panic(p.With)
	}
	return json.Marshal(p.Text)
}

func (p *panicker) UnmarshalJSON([]byte) error { panic("secretvalue") }

func (p panicker) GobEncode() ([]byte, error) {
	if p.With != nil {
		panic(p.With)
	}
	return []byte(p.Text), nil
}

func (p *panicker) GobDecode([]byte) error { panic("secretvalue") }

var errSecret = errors.New("secretvalue")

func TestValueErrorIsTheErrorOfAnEncodersPanic(t *testing.T) {
	for name, codec := range map[string]sessions.Codec{"json": sessions.JSON(), "gob": sessions.Gob(panicker{})} {
		for _, with := range []any{"secretvalue", errSecret, 7, fmt.Stringer(nil)} {
			if with == nil {
				with = (*panicker)(nil)
			}
			t.Run(fmt.Sprintf("%s %T", name, with), func(t *testing.T) {
				o := sessions.FilesystemOptions{Path: t.TempDir(), Codec: codec}
				store, other := newStore(t, o), newStore(t, o)
				s := saved(t, store, "a", "before")
				bad := panicker{With: with}
				s.Set("secretkey", bad)
				soon(t, "a save", func() {
					for what, act := range map[string]func() error{
						"Save":           func() error { return store.Save(background, s) },
						"SaveIfModified": func() error { return store.SaveIfModified(background, s) },
						"Update, pending": func() error {
							return store.Update(background, s, func(*sessions.Session) error { return nil })
						},
						"Update, set inside": func() error {
							return store.Update(background, get(t, store, s.ID()), func(s *sessions.Session) error { s.Set("secretkey", bad); return nil })
						},
						"Save of a new session": func() error {
							fresh := store.New()
							fresh.Set("secretkey", bad)
							return store.Save(background, fresh)
						},
					} {
						err := act()
						var valueErr *sessions.ValueError
						if !errors.As(err, &valueErr) || valueErr.Key != "secretkey" || valueErr.Err == nil {
							t.Errorf("%s = %v, want a ValueError for the key", what, err)
						}
						if text := fmt.Sprintf("%v %s %+v", err, err, err); strings.Contains(text, "secret") || !strings.Contains(text, "panicked") {
							t.Errorf("%s: the error shows the key or the value, or not that there was a panic: %s", what, text)
						}
						if with == error(errSecret) && !errors.Is(err, errSecret) {
							t.Errorf("%s = %v, want the panic in its chain", what, err)
						}
					}
				})
				// Another store, which is as good as another process, gets the lock.
				soon(t, "another store's save", func() {
					b := get(t, other, s.ID())
					b.Set("b", 1)
					save(t, other, b)
				})
				soon(t, "the session", func() {
					s.Delete("secretkey")
					s.Set("a", "after")
					save(t, store, s)
				})
				if got := get(t, store, s.ID()); got.Get("a") != "after" || got.Get("b") == nil {
					t.Errorf("%v: a = %v, b = %v", got, got.Get("a"), got.Get("b"))
				}
			})
		}
	}
}

func TestMiddlewareSurvivesAValueThatPanics(t *testing.T) {
	bad := any(panicker{With: "secretvalue"})
	st := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		defer func() { // as many do
			if recover() != nil {
				w.WriteHeader(http.StatusTeapot)
			}
		}()
		s := sessions.FromContext(r.Context())
		switch r.URL.Path {
		case "/bad":
			s.Set("a", bad)
		case "/good":
			s.Set("a", "good")
		}
		fmt.Fprint(w, s.Get("a"))
	})
	soon(t, "a request", func() {
		st.get(t, "/good")
		for range 2 {
			if res, _ := st.get(t, "/bad"); res.StatusCode != http.StatusInternalServerError {
				t.Errorf("a value that panics: status %d, want 500", res.StatusCode)
			}
		}
		if _, body := st.get(t, "/"); body != "good" {
			t.Errorf("the next request is answered %q", body)
		}
		if _, body := st.get(t, "/good"); body != "good" {
			t.Errorf("the next save is answered %q", body)
		}
	})
	if log := st.log.String(); strings.Contains(log, "secretvalue") {
		t.Errorf("the log shows the value: %s", log)
	}
}

func TestCommitFreesTheSessionWhenAValuePanics(t *testing.T) {
	s := loaded(t, `{"stored":1}`)
	s.Set("a", panicker{With: "secretvalue"})
	soon(t, "Commit", func() {
		for range 2 {
			if err := commit(s); !errors.As(err, new(*sessions.ValueError)) {
				t.Errorf("Commit = %v, want a ValueError", err)
			}
		}
		s.Delete("a")
		if err := commit(s); err != nil {
			t.Error(err)
		}
	})
}

func TestLookupOfAValueWhoseDecoderPanicsFindsNone(t *testing.T) {
	for name, codec := range map[string]sessions.Codec{"json": sessions.JSON(), "gob": sessions.Gob(panicker{})} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, sessions.FilesystemOptions{Codec: codec})
			key := sessions.Key[panicker]("a")
			s := get(t, store, saved(t, store, "a", panicker{Text: "x"}).ID())
			soon(t, "the session", func() {
				for range 2 {
					if v, ok := key.Lookup(s); ok || v != (panicker{}) {
						t.Errorf("Lookup = %v, %v", v, ok)
					}
				}
				if v, ok := s.Lookup("a"); name == "gob" && ok {
					t.Errorf("the untyped Lookup = %v", v)
				}
				if _, ok := key.Pop(s); ok || s.Len() != 0 {
					t.Errorf("Pop found it, or %d values are left", s.Len())
				}
				s.Set("set", panicker{With: "x"}) // held as one type, asked for as another
				if _, ok := sessions.Key[string]("set").Lookup(s); ok {
					t.Error("a value that cannot be encoded was found as a string")
				}
				s.Delete("set")
				save(t, store, s)
			})
		})
	}
}

// A trap is a codec and a sealer that panics in the call that it is set for.
type trap struct {
	sessions.Codec
	xorSealer
	next string
	skip int // so many of these calls
}

func (p *trap) spring(call string) {
	if p.next != call {
		return
	}
	if p.skip--; p.skip < 0 {
		panic("sprung")
	}
}

func (p *trap) Name() string { p.spring("Name"); return "trap" }
func (p *trap) Marshal(v any) ([]byte, error) {
	p.spring("Marshal")
	return p.Codec.Marshal(v)
}
func (p *trap) Unmarshal(data []byte, v any) error {
	p.spring("Unmarshal")
	return p.Codec.Unmarshal(data, v)
}
func (p *trap) Seal(plaintext []byte, context string) ([]byte, error) {
	p.spring("Seal")
	return p.xorSealer.Seal(plaintext, context)
}
func (p *trap) Open(sealed []byte, context string) ([]byte, error) {
	p.spring("Open")
	return p.xorSealer.Open(sealed, context)
}

// Each thing that is done with a session, while each thing that the application
// supplies panics: the panic may go on, but nothing stays locked, nothing is
// lost and nothing half done.
func TestPanicOfCodecOrSealerLeavesEverythingFree(t *testing.T) {
	acts := map[string]func(store *sessions.FilesystemSessionStore, s *sessions.Session) error{
		"Get":     func(_ *sessions.FilesystemSessionStore, s *sessions.Session) error { s.Get("list"); return nil },
		"All":     func(_ *sessions.FilesystemSessionStore, s *sessions.Session) error { values(s); return nil },
		"Len":     func(_ *sessions.FilesystemSessionStore, s *sessions.Session) error { s.Len(); return nil },
		"Clone":   func(_ *sessions.FilesystemSessionStore, s *sessions.Session) error { s.Clone().Len(); return nil },
		"Flashes": func(_ *sessions.FilesystemSessionStore, s *sessions.Session) error { s.Flashes(); return nil },
		"typed": func(_ *sessions.FilesystemSessionStore, s *sessions.Session) error {
			sessions.Key[[]int]("list").Get(s)
			return nil
		},
		"load": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error {
			_, err := st.Get(background, s.ID())
			return err
		},
		"Save": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error { return st.Save(background, s) },
		"Update": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return st.Update(background, s, setA)
		},
		"Renew": func(st *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s = s.Clone()
			s.Renew()
			return st.Save(background, s)
		},
	}
	for i := range 15 {
		call, skip := []string{"Name", "Marshal", "Unmarshal", "Seal", "Open"}[i%5], i/5
		for what, act := range acts {
			t.Run(fmt.Sprint(call, " ", skip+1, " ", what), func(t *testing.T) {
				dir := t.TempDir()
				p := &trap{Codec: sessions.JSON()}
				store := newStore(t, sessions.FilesystemOptions{Path: dir, Codec: p, Sealer: p})
				first := saved(t, store, "list", []int{1, 2})
				for _, prepare := range []func(s *sessions.Session){
					func(*sessions.Session) {},
					func(s *sessions.Session) { s.Set("b", 1); s.Get("list"); s.MarkModified() },
				} {
					s, other := get(t, store, first.ID()), get(t, store, first.ID())
					prepare(s)
					other.Set("other", true)
					save(t, store, other)
					p.next, p.skip = call, skip
					renewed := false
					soon(t, what, func() {
						defer func() { recover() }()
						renewed = act(store, s) == nil && what == "Renew"
					})
					p.next = ""
					if renewed { // without that call
						return
					}
					soon(t, "the session afterwards", func() {
						if got := s.Get("list"); fmt.Sprint(got) != "[1 2]" && what != "Flashes" {
							t.Errorf("list = %v", got)
						}
						s.Set("after", 1)
						ctx, cancel := context.WithTimeout(background, 10*time.Second)
						defer cancel()
						if err := store.Save(ctx, s); err != nil {
							t.Errorf("Save afterwards = %v", err)
						}
					})
					if got := get(t, store, s.ID()); fmt.Sprint(got.Get("list")) != "[1 2]" || got.Get("other") != true {
						t.Errorf("stored afterwards: %v", values(got))
					}
				}
				if got := names(t, dir); len(got) != 1 {
					t.Errorf("%d files, want 1", len(got))
				}
			})
		}
	}
}

func setA(s *sessions.Session) error { s.Set("a", 1); return nil }

func TestMiddlewareLeavesNothingLockedWhenTheSealerPanics(t *testing.T) {
	p := &trap{}
	store := newStore(t, sessions.FilesystemOptions{Sealer: p})
	id := saved(t, store, "a", 1).ID()
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "__Host-session", Value: id})
	soon(t, "the middleware", func() {
		s, err := cookies.Load(r)
		if err != nil || s.New() {
			t.Fatal(s, err)
		}
		s.Set("a", 2)
		p.next = "Seal"
		func() {
			defer func() { recover() }()
			cookies.Commit(httptest.NewRecorder(), r, s)
			t.Error("no panic")
		}()
		p.next = ""
		if err := cookies.Commit(httptest.NewRecorder(), r, s); err != nil {
			t.Error(err)
		}
	})
}

func TestBackendThatPanicsLeavesTheSessionFree(t *testing.T) {
	var where string
	sprung := func(at string) {
		if at == where {
			panic("sprung")
		}
	}
	stored := sessions.Record{Codec: "json", Created: time.Now(), Used: time.Now(), Data: `{"a":1}`}
	b, err := sessions.NewBase(backend(func(_ context.Context, c *sessions.Change) error {
		sprung("before Apply")
		if err := c.Apply(&stored); err != nil {
			return err
		}
		sprung("after Apply")
		c.Record()
		return nil
	}), sessions.BaseOptions{
		Key:     func(id string) string { sprung("Key"); return id },
		RenewID: func(id string) string { sprung("RenewID"); return id + "+" },

		IdleTimeout: sessions.Never, Lifetime: sessions.Never, // the records have no times
	})
	if err != nil {
		t.Fatal(err)
	}
	update := func(inner *sessions.Session) error { inner.Set("mine", 1); sprung("update"); return nil }
	acts := map[string]func(s *sessions.Session) error{
		"Save":   func(s *sessions.Session) error { return b.Save(background, s) },
		"Update": func(s *sessions.Session) error { return b.Update(background, s, update) },
		"Delete": func(s *sessions.Session) error { return b.Delete(background, s) },
	}
	for _, at := range []string{"before Apply", "after Apply", "Key", "RenewID", "update"} {
		for name, act := range acts {
			t.Run(name+", "+at, func(t *testing.T) {
				s := loadedBy(t, b, `{"a":1}`)
				s.Set("b", 1)
				s.Renew()
				soon(t, "the save", func() {
					defer func() { recover() }()
					where = at
					act(s)
					where = ""
				})
				passed := where == ""
				where = ""
				if !passed && (!s.Modified() || s.ID() != "id" || s.Get("mine") != nil || s.Get("b") != 1) {
					t.Errorf("left %v of %v", s, values(s))
				}
				soon(t, "a save afterwards", func() {
					if err := b.Save(background, s); err != nil || s.Modified() {
						t.Errorf("a save afterwards = %v, left %v", err, s)
					}
				})
			})
		}
	}
}
