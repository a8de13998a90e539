package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// saves are all the ways to save or end a session, or to keep it alive.
func saves(t *testing.T, store *sessions.FilesystemSessionStore) map[string]func(context.Context, *sessions.Session) error {
	t.Helper()
	commit := func(o sessions.CookieOptions) func(context.Context, *sessions.Session) error {
		cookies, err := sessions.NewCookies(store, o)
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context, s *sessions.Session) error {
			return cookies.Commit(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil), s)
		}
	}
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func(context.Context, *sessions.Session) error{
		"Save":           store.Save,
		"SaveIfModified": store.SaveIfModified,
		"Delete":         store.Delete,
		"Update": func(ctx context.Context, s *sessions.Session) error {
			return store.Update(ctx, s, func(*sessions.Session) error { t.Error("an update inside the update was called"); return nil })
		},
		"Touch":                       func(ctx context.Context, s *sessions.Session) error { _, err := store.Touch(ctx, s, 0); return err },
		"Cookies.Commit":              commit(sessions.CookieOptions{}),
		"Cookies.Commit that touches": commit(sessions.CookieOptions{RenewOnAccess: time.Second}),
		"Cookies.SaveLate": func(ctx context.Context, s *sessions.Session) error {
			return cookies.SaveLate(httptest.NewRequestWithContext(ctx, "GET", "/", nil), s)
		},
	}
}

func TestUpdateRefusesEverySaveWhileItsFunctionRuns(t *testing.T) {
	for _, state := range []struct {
		name string
		make func(t *testing.T, store *sessions.FilesystemSessionStore) *sessions.Session
		do   func(s *sessions.Session)
	}{
		{"new", func(_ *testing.T, store *sessions.FilesystemSessionStore) *sessions.Session { return store.New() }, nil},
		{"loaded", reload, nil},
		{"adopted", func(t *testing.T, store *sessions.FilesystemSessionStore) *sessions.Session {
			return get(t, store, store.GenerateKey())
		}, nil},
		{"modified", reload, func(s *sessions.Session) { s.Set("b", 1) }},
		{"cleared", reload, func(s *sessions.Session) { s.Clear() }},
		{"renewed", reload, func(s *sessions.Session) { s.Renew() }},
		{"destroyed", reload, func(s *sessions.Session) { s.Destroy() }},
	} {
		store := newStore(t, sessions.FilesystemOptions{KeepMissingID: true})
		for name, act := range saves(t, store) {
			t.Run(state.name+" "+name, func(t *testing.T) {
				s := state.make(t, store)
				if state.do != nil {
					state.do(s)
				}
				var err error
				soon(t, "the update", func() {
					err = store.Update(background, s, func(inner *sessions.Session) error {
						inner.Set("inside", 1)
						for who, s := range map[string]*sessions.Session{"the session": s, "what the function got": inner} {
							if err := act(background, s); !errors.Is(err, sessions.ErrUpdating) {
								t.Errorf("inside, of %s: %v, want ErrUpdating", who, err)
							}
							other := make(chan error)
							go func() { other <- act(background, s) }()
							if err := <-other; !errors.Is(err, sessions.ErrUpdating) {
								t.Errorf("in another goroutine, of %s: %v, want ErrUpdating", who, err)
							}
						}
						return nil
					})
				})
				if err != nil || s.Modified() || get(t, store, s.ID()).Get("inside") != int64(1) {
					t.Errorf("the update itself = %v, left %v; want it saved", err, s)
				}
				s.Set("after", 1)
				save(t, store, s)
			})
		}
	}
}

// reload returns a session that was saved and loaded.
func reload(t *testing.T, store *sessions.FilesystemSessionStore) *sessions.Session {
	return get(t, store, saved(t, store, "a", 1).ID())
}

// Those who wait when the function begins are sent away as well: the function may
// be waiting for them.
func TestUpdateSendsAwayThoseWhoWaitWhenItsFunctionBegins(t *testing.T) {
	opened, goOn := make(chan bool), make(chan bool)
	own := base(func(_ context.Context, c *sessions.Change) error {
		close(opened)
		<-goOn
		return c.Apply(c.Base())
	})
	s := loadedBy(t, own, `{"a":1}`)
	waiting := make(chan error, 3)
	updated := make(chan error)
	go func() {
		updated <- own.Update(background, s, func(s *sessions.Session) error {
			for range cap(waiting) {
				if err := <-waiting; !errors.Is(err, sessions.ErrUpdating) {
					t.Errorf("got %v, want ErrUpdating", err)
				}
			}
			return nil
		})
	}()
	<-opened // the update has its turn
	for range cap(waiting) {
		go func() { waiting <- own.Save(background, s) }()
	}
	time.Sleep(50 * time.Millisecond) // for them to wait; those who come later are refused as well
	close(goOn)
	soon(t, "the update", func() {
		if err := <-updated; err != nil {
			t.Error(err)
		}
	})
}

// hold holds a session's lock in another store's Update until release, after
// which done has the Update's error.
func hold(t *testing.T, store *sessions.FilesystemSessionStore, id string) (release func(), done chan error) {
	t.Helper()
	s := get(t, store, id)
	held, let := make(chan bool), make(chan bool)
	done = make(chan error, 1)
	go func() {
		done <- store.Update(background, s, func(*sessions.Session) error { close(held); <-let; return nil })
	}()
	<-held
	return sync.OnceFunc(func() { close(let) }), done
}

func TestSaveWaitsForAnotherSaveOfTheSessionNoLongerThanItsContext(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir()}
	store, other := newStore(t, o), newStore(t, o)
	for name, act := range saves(t, store) {
		if strings.HasPrefix(name, "Cookies") || name == "Touch" {
			continue // which have a deadline of their own, and need not wait
		}
		t.Run(name, func(t *testing.T) {
			s := reload(t, store)
			release, held := hold(t, other, s.ID())
			defer release()
			s.Set("b", 1)
			first := make(chan error)
			go func() { first <- store.Save(background, s) }()
			time.Sleep(20 * time.Millisecond) // for it to be the first, which it need not be
			ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
			defer cancel()
			soon(t, name, func() {
				if err := act(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, want context.DeadlineExceeded", err)
				}
			})
			release()
			soon(t, "the first save", func() {
				if err := errors.Join(<-held, <-first); err != nil {
					t.Error(err)
				}
				s.Set("c", 1)
				save(t, store, s)
			})
		})
	}
}

// Under -race: goroutines that come, give up and come again leave nothing held,
// and each change that was acknowledged is there.
func TestSaveOfOneSessionUnderContextsThatEnd(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := reload(t, store)
	var mu sync.Mutex
	want := map[string]any{"a": int64(1)}
	soon(t, "the saves", func() {
		err := together(func(g int) error {
			for i := range 100 {
				ctx, cancel := context.WithTimeout(background, time.Duration(rand.IntN(200))*time.Microsecond)
				key := fmt.Sprint(g, ".", i)
				var err error
				if i%3 == 0 {
					err = store.Update(ctx, s, func(s *sessions.Session) error { s.Set(key, int64(i)); return nil })
				} else {
					s.Set(key, int64(i))
					err = store.Save(ctx, s)
				}
				cancel()
				switch {
				case err == nil || i%3 != 0: // a value that was set is saved by a later save
					mu.Lock()
					want[key] = int64(i)
					mu.Unlock()
				}
				if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, sessions.ErrUpdating) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		save(t, store, s)
	})
	if got := values(get(t, store, s.ID())); !reflect.DeepEqual(got, want) {
		t.Errorf("%d values, want %d", len(got), len(want))
	}
}

func TestMiddlewareRefusesToBeginAResponseInsideAnUpdate(t *testing.T) {
	var st *site
	failed := make(chan error, 1)
	updated := make(chan error, 1)
	st = newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			failed <- err
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		switch r.URL.Path {
		case "/inside":
			updated <- st.store.Update(r.Context(), s, func(s *sessions.Session) error {
				_, err := fmt.Fprint(w, "half")
				if err == nil {
					t.Error("the response began inside the update")
				}
				s.Set("n", 2)
				return nil
			})
		case "/late":
			fmt.Fprint(w, "begun")
			updated <- st.store.Update(r.Context(), s, func(s *sessions.Session) error {
				failed <- sessions.Save(r.Context())
				s.Set("n", 3)
				return nil
			})
		case "/set":
			s.Set("n", 1)
		default:
			fmt.Fprint(w, s.Get("n"))
		}
	})
	soon(t, "a request", func() {
		st.get(t, "/set")
		for _, path := range []string{"/inside", "/late"} {
			res, body := st.get(t, path)
			if err := <-failed; !errors.Is(err, sessions.ErrUpdating) || strings.Contains(body, "half") {
				t.Errorf("%s: error %v, body %q; want ErrUpdating", path, err, body)
			}
			if path == "/inside" && res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("status %d, want the error handler's", res.StatusCode)
			}
			if err := <-updated; err != nil {
				t.Errorf("%s: the update = %v", path, err)
			}
		}
		if _, body := st.get(t, "/"); body != "3" {
			t.Errorf("afterwards n = %s, want 3", body)
		}
	})
}

// changesOfOthers are changes of other goroutines to a session.
var changesOfOthers = []struct {
	name string
	do   func(s *sessions.Session)
}{
	{"nothing", func(s *sessions.Session) {}},
	{"set", func(s *sessions.Session) { s.Set("a", "theirs"); s.Set("new", "theirs") }},
	{"delete", func(s *sessions.Session) { s.Delete("a"); s.Delete("stored") }},
	{"clear", func(s *sessions.Session) { s.Clear(); s.Set("a", "theirs") }},
	{"destroy", func(s *sessions.Session) { s.Destroy(); s.Set("a", "theirs"); s.SetIdleTimeout(time.Minute) }},
	{"owner and timeout", func(s *sessions.Session) { s.SetOwner("theirs"); s.SetIdleTimeout(2 * time.Hour) }},
	{"in place", func(s *sessions.Session) {
		if m, ok := s.Get("map").(map[string]any); ok {
			m["k"] = "theirs"
		}
		s.MarkModified()
	}},
	{"marked only", func(s *sessions.Session) { s.MarkModified() }},
	{"flash", func(s *sessions.Session) { s.AddFlash("theirs") }},
	{"renew", func(s *sessions.Session) { s.Renew() }},
	{"discard", func(s *sessions.Session) { s.Set("a", "theirs"); s.SetIdleTimeout(time.Minute); s.Discard() }},
}

// twins are two sessions that were loaded when they had the same values, and
// that a third request has saved since.
func twins(t *testing.T, store *sessions.FilesystemSessionStore) (a, b *sessions.Session) {
	t.Helper()
	var twins [2]*sessions.Session
	for i := range twins {
		s := store.New()
		s.Set("a", "stored")
		s.Set("stored", "stored")
		s.Set("map", map[string]any{"k": "stored"})
		s.SetOwner("stored")
		save(t, store, s)
		twins[i] = get(t, store, s.ID())
		third := get(t, store, s.ID())
		third.Set("third", "third's")
		third.Set("a", "third's")
		third.SetIdleTimeout(time.Hour)
		save(t, store, third)
	}
	return twins[0], twins[1]
}

// describe is all that can be seen of a session but the parts that differ anyway.
func describe(s *sessions.Session, start time.Time) string {
	all := values(s)
	flashes := 0
	for key := range all {
		if strings.HasPrefix(key, "_flash") {
			delete(all, key)
			flashes++
		}
	}
	return fmt.Sprint(s, " ", all, " ", flashes, " flash messages, owner ", s.Owner(), ", timeout ", s.IdleTimeout(), ", renewed ", s.Created().After(start))
}

// Whatever others do to a session before and while the function of a failing
// Update runs, and however it fails: only the function's own changes are taken back.
func TestUpdateThatFailsTakesBackWhatItsFunctionDidAlone(t *testing.T) {
	failing := map[string]func(s *sessions.Session) error{
		"an error":                     func(*sessions.Session) error { return errors.ErrUnsupported },
		"a panic":                      func(*sessions.Session) error { panic("secretvalue") },
		"a save that is too large":     func(s *sessions.Session) error { s.Set("x", strings.Repeat("x", 20_000)); return nil },
		"a value that cannot be saved": func(s *sessions.Session) error { s.Set("x", make(chan int)); return nil },
	}
	for how, fail := range failing {
		store := newStore(t, sessions.FilesystemOptions{MaxSize: 10_000})
		for _, before := range changesOfOthers {
			for _, during := range changesOfOthers {
				if strings.HasPrefix(how, "a ") && how != "a panic" && (during.name == "clear" || during.name == "destroy") {
					continue // takes away the cause of the failure
				}
				t.Run(how+"/"+before.name+"/"+during.name, func(t *testing.T) {
					s, twin := twins(t, store)
					start := time.Now()
					before.do(s)
					before.do(twin)
					func() {
						defer func() { recover() }()
						err := store.Update(background, s, func(inner *sessions.Session) error {
							soon(t, "another goroutine", func() { during.do(s) })
							inner.Destroy()
							inner.Set("a", "mine")
							inner.Set("mine", 1)
							inner.SetOwner("mine")
							inner.SetIdleTimeout(time.Second)
							return fail(inner)
						})
						if err == nil {
							t.Error("the update did not fail")
						}
					}()
					during.do(twin)
					if got, want := describe(s, start), describe(twin, start); got != want {
						t.Errorf("after the update\n%s, want\n%s", got, want)
					}
					save(t, store, s)
					save(t, store, twin)
					if got, want := describe(get(t, store, s.ID()), start), describe(get(t, store, twin.ID()), start); got != want {
						t.Errorf("after a save\n%s, want\n%s", got, want)
					}
				})
			}
		}
	}
}

// Changes by others while the function of an Update runs are saved with it, and
// those made while it is being saved are saved by the next save.
func TestUpdateLosesNothingThatOthersDoMeanwhile(t *testing.T) {
	for _, before := range changesOfOthers {
		for _, during := range changesOfOthers {
			if during.name == "discard" {
				continue // forgets nothing that the update has begun to save
			}
			t.Run(before.name+"/"+during.name, func(t *testing.T) {
				store := newStore(t, sessions.FilesystemOptions{})
				s, twin := twins(t, store)
				start := time.Now()
				before.do(s)
				before.do(twin)
				err := store.Update(background, s, func(inner *sessions.Session) error {
					soon(t, "another goroutine", func() { during.do(s) })
					inner.Set("mine", inner.Get("third"))
					return nil
				})
				if err != nil || s.Modified() {
					t.Errorf("Update = %v, left %v", err, s)
				}
				if during.name != "clear" && during.name != "destroy" { // which came later than the function
					twin.Set("mine", "third's")
					if before.name == "clear" || before.name == "destroy" {
						twin.Set("mine", nil)
					}
				}
				during.do(twin)
				save(t, store, twin)
				if got, want := describe(s, start), describe(twin, start); got != want {
					t.Errorf("after the update\n%s, want\n%s", got, want)
				}
				if got, want := describe(get(t, store, s.ID()), start), describe(get(t, store, twin.ID()), start); got != want {
					t.Errorf("stored\n%s, want\n%s", got, want)
				}
			})
		}
	}
}

// A function may as well use the session that it closes over.
func TestUpdateCountsWhicheverSessionItsFunctionUses(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	id := saved(t, store, "n", 0).ID()
	err := together(func(int) error {
		for range 20 {
			s, err := store.Get(background, id)
			if err == nil {
				err = store.Update(background, s, func(*sessions.Session) error { counter.Set(s, counter.Get(s)+1); return nil })
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if got := counter.Get(get(t, store, id)); err != nil || got != 20*goroutines {
		t.Errorf("n = %d, %v; want %d", got, err, 20*goroutines)
	}
}

func TestUpdateHandsItsFunctionASessionThatIsACloneAfterwards(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	for _, fails := range []error{nil, errors.ErrUnsupported} {
		s := reload(t, store)
		var inner *sessions.Session
		err := store.Update(background, s, func(given *sessions.Session) error { inner = given; inner.Set("n", 1); return fails })
		if !errors.Is(err, fails) {
			t.Fatal(err)
		}
		inner.Set("later", 1)
		if s.Get("later") != nil {
			t.Error("the session shares what was done to the clone")
		}
		soon(t, "its save", func() { save(t, store, inner) })
		if got := get(t, store, s.ID()); got.Get("later") != int64(1) || got.Get("n") != int64(1) {
			t.Errorf("stored: %v", values(got))
		}
	}
}

func TestUpdateThatFailsToWriteKeepsWhatOthersDidMeanwhile(t *testing.T) {
	for _, fails := range []error{nil, errors.ErrUnsupported} {
		var s *sessions.Session
		var kept sessions.Record
		own := base(applied(sessions.Record{Data: `{"a":1,"list":[1]}`}, func(c *sessions.Change) error {
			s.Set("during the write", 1)
			kept = *c.Record()
			return fails
		}))
		s = loadedBy(t, own, `{"a":1,"list":[1]}`)
		err := own.Update(background, s, func(inner *sessions.Session) error { inner.Set("a", 2); s.Set("b", 1); return nil })
		if !errors.Is(err, fails) || kept.Data != `{"a":2,"b":1,"list":[1]}` {
			t.Errorf("Update = %v, wrote %s", err, kept.Data)
		}
		want := map[string]any{"a": 2, "b": 1, "list": []any{int64(1)}, "during the write": 1}
		if fails != nil {
			want["a"] = int64(1)
		}
		if got := values(s); !reflect.DeepEqual(got, want) || !s.Modified() {
			t.Errorf("%v left %v of %v, want %v", err, s, got, want)
		}
	}
}

// Values handed out before a failing Update, or to others while its function
// ran, can be changed in place after it.
func TestUpdateRemembersWhatWasHandedOutMeanwhile(t *testing.T) {
	for _, fails := range []error{nil, errors.ErrUnsupported} {
		store := newStore(t, sessions.FilesystemOptions{})
		s := get(t, store, saved(t, store, "list", []any{1}).ID())
		store.Update(background, s, func(inner *sessions.Session) error {
			s.Get("list").([]any)[0] = "changed"
			inner.Set("n", 1)
			return fails
		})
		s.MarkModified()
		save(t, store, s)
		if got := fmt.Sprint(get(t, store, s.ID()).Get("list")); got != "[changed]" {
			t.Errorf("after an update with the error %v: list = %s", fails, got)
		}
	}
	store := newStore(t, sessions.FilesystemOptions{})
	s := get(t, store, saved(t, store, "list", []any{1}).ID())
	other := get(t, store, s.ID())
	list := s.Get("list").([]any)
	other.Set("list", []any{2})
	save(t, store, other)
	store.Update(background, s, func(*sessions.Session) error { return errors.ErrUnsupported })
	if list[0] = "changed"; fmt.Sprint(s.Get("list")) != "[changed]" {
		t.Errorf("handed out before a failed update: %v", s.Get("list"))
	}
}
