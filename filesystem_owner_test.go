package sessions_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// endRounds is how many times a session tries to outrun the end of its owner's
// sessions, and of all. With the environment variable SESSIONS_LONG it is the
// second number.
const (
	endRounds     = 200
	endRoundsLong = 10_000
)

func rounds(t *testing.T) int {
	if os.Getenv("SESSIONS_LONG") != "" {
		return endRoundsLong
	}
	t.Logf("%d rounds; %d where SESSIONS_LONG is set", endRounds, endRoundsLong)
	return endRounds
}

// runners are what a session does that tries to outrun its end: each gives its
// file a name, the same or another one.
var runners = map[string]func(*sessions.FilesystemSessionStore, *sessions.Session, int) error{
	"renews": func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ int) error {
		s.Renew()
		return store.Save(background, s)
	},
	"renews in an Update": func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ int) error {
		return store.Update(background, s, func(s *sessions.Session) error {
			s.Renew()
			return nil
		})
	},
	"gets another timeout": func(store *sessions.FilesystemSessionStore, s *sessions.Session, i int) error {
		s.SetIdleTimeout(time.Duration(1+i%2) * time.Hour)
		return store.Save(background, s)
	},
	"is changed": func(store *sessions.FilesystemSessionStore, s *sessions.Session, i int) error {
		s.Set("i", i)
		return store.Save(background, s)
	},
	"grows": func(store *sessions.FilesystemSessionStore, s *sessions.Session, i int) error {
		s.Set("v", strings.Repeat("v", 1000<<(i%8)))
		return store.Save(background, s)
	},
}

// run has a session do something until it is told that it has ended. It reports
// what went wrong: nothing may succeed that began after over was set.
func run(act func(i int) error, started chan<- bool, over *atomic.Bool) error {
	defer close(started)
	for i := 0; ; i++ {
		late := over.Load()
		err := act(i)
		switch {
		case errors.Is(err, sessions.ErrDeleted):
			return nil
		case err != nil:
			return err
		case late:
			return errors.New("the session outran its end")
		}
		if i == 2 {
			started <- true
		}
	}
}

func TestDeleteOwnerAndDeleteAllAreNotOutrun(t *testing.T) {
	n := rounds(t)
	for name, runner := range runners {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, all %v", name, all), func(t *testing.T) {
				t.Parallel()
				store := newStore(t, sessions.FilesystemOptions{})
				others := others(t, store, 100, all)
				n := n
				if name != "renews" {
					n /= len(runners)
				}
				for range n {
					s := store.New()
					s.SetOwner("ann")
					save(t, store, s)
					var over atomic.Bool
					started, done := make(chan bool, 1), make(chan error, 1)
					go func() {
						done <- run(func(i int) error { return runner(store, s, i) }, started, &over)
					}()
					<-started
					end(t, store, all)
					over.Store(true)
					if err := <-done; err != nil {
						t.Fatal(err)
					}
				}
				if left := len(list(t, store)); left != others {
					t.Errorf("%d sessions are left, want the %d of others", left, others)
				}
			})
		}
	}
}

// others saves sessions that make the walk through the directory longer. None,
// where all sessions are to end.
func others(t *testing.T, store *sessions.FilesystemSessionStore, n int, all bool) int {
	t.Helper()
	if all {
		return 0
	}
	for range n {
		s := store.New()
		s.SetOwner("bob")
		save(t, store, s)
	}
	return n
}

func end(t *testing.T, store *sessions.FilesystemSessionStore, all bool) {
	t.Helper()
	n, err := 0, error(nil)
	if all {
		n, err = store.DeleteAll(background)
	} else {
		n, err = store.DeleteOwner(background, "ann")
	}
	// A renewal that has made the new file, and not removed the old one yet, is two.
	if n < 1 || n > 2 || err != nil {
		t.Errorf("%d sessions were ended, %v", n, err)
	}
}

// childRun runs with the sessions whose IDs it is told, until they have ended.
func childRun() error {
	store, _, err := childStore()
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		s, err := store.Get(background, in.Text())
		if err != nil || s.New() {
			return fmt.Errorf("Get = %v, %v", s, err)
		}
		var over atomic.Bool
		started, done := make(chan bool, 1), make(chan error, 1)
		go func() {
			done <- run(func(i int) error { return runners["renews"](store, s, i) }, started, &over)
		}()
		<-started
		fmt.Println("started")
		in.Scan()
		over.Store(true)
		if err := <-done; err != nil {
			return err
		}
		fmt.Println("ended")
	}
	return in.Err()
}

func TestDeleteOwnerAndDeleteAllAreNotOutrunByAnotherProcess(t *testing.T) {
	n := rounds(t)
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("all %v", all), func(t *testing.T) {
			dir := t.TempDir()
			store := newStore(t, sessions.FilesystemOptions{Path: dir})
			others(t, store, 100, all)
			other := startChild(t, "run", dirVariable+"="+dir)
			expect := func(want string) {
				if got := other.Line(t); got != want {
					t.Fatalf("the other process printed %q, want %q", got, want)
				}
			}
			for range n {
				s := store.New()
				s.SetOwner("ann")
				save(t, store, s)
				fmt.Fprintln(other.In, s.ID())
				expect("started")
				end(t, store, all)
				fmt.Fprintln(other.In, "over")
				expect("ended")
			}
			other.End(t)
		})
	}
}

// The same over HTTP: a browser that renews its session with every request is
// logged out with the others.
func TestDeleteOwnerIsNotOutrunByRequests(t *testing.T) {
	n := rounds(t)
	site := newSite(t, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			status := http.StatusInternalServerError
			if errors.Is(err, sessions.ErrDeleted) {
				status = http.StatusUnauthorized
			}
			w.WriteHeader(status)
		},
	}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		switch {
		case r.URL.Path == "/login":
			s.SetOwner("ann")
			s.Set("user", "ann")
		case s.Owner() == "":
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.Renew()
	})
	others(t, site.store, 500, false)
	for range n {
		site.newBrowser(t)
		visit := func(path string) (status int, err error) {
			res, err := site.Client().Get(site.URL + path)
			if err != nil {
				return 0, err
			}
			defer res.Body.Close()
			_, err = io.Copy(io.Discard, res.Body)
			return res.StatusCode, err
		}
		if status, err := visit("/login"); status != http.StatusOK || err != nil {
			t.Fatalf("login: %d, %v", status, err)
		}
		var over atomic.Bool
		started, done := make(chan bool, 1), make(chan error, 1)
		go func() {
			done <- run(func(int) error {
				status, err := visit("/")
				if status == http.StatusUnauthorized {
					err = sessions.ErrDeleted
				}
				return err
			}, started, &over)
		}()
		<-started
		end(t, site.store, false)
		over.Store(true)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// An Update that is under way keeps nobody waiting but those who want the same
// session.
func TestDeleteOwnerDoesNotWaitForAnUpdate(t *testing.T) {
	for name, act := range map[string]func(*sessions.Session){
		"that changes a value":   func(s *sessions.Session) { s.Set("a", 2) },
		"that renews":            func(s *sessions.Session) { s.Renew() },
		"that changes the owner": func(s *sessions.Session) { s.SetOwner("bob") },
		"that needs a new file":  func(s *sessions.Session) { s.Set("a", strings.Repeat("x", 10_000)) },
		"that ends the session":  func(s *sessions.Session) { s.Destroy() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store := newStore(t, sessions.FilesystemOptions{Path: dir})
			s := saved(t, store, "a", 1)
			s.SetOwner("ann")
			save(t, store, s)
			calls := 0
			err := store.Update(background, s, func(s *sessions.Session) error {
				calls++
				ctx, cancel := context.WithTimeout(background, 20*time.Second)
				defer cancel()
				done := make(chan error)
				go func() {
					n, err := store.DeleteOwner(ctx, "ann")
					if err == nil && n != 1 {
						err = fmt.Errorf("%d sessions were ended", n)
					}
					other := store.New()
					other.Set("a", 1)
					done <- errors.Join(err, store.Save(ctx, other), store.Delete(ctx, other))
				}()
				if err := <-done; err != nil {
					t.Error(err)
				}
				act(s)
				return nil
			})
			if calls != 1 {
				t.Errorf("the function was called %d times", calls)
			}
			// The change of a value may have come before the end. What makes a
			// file has not.
			if err != nil && !errors.Is(err, sessions.ErrDeleted) {
				t.Errorf("Update = %v", err)
			}
			if err == nil && (strings.Contains(name, "renews") || strings.Contains(name, "owner") || strings.Contains(name, "file")) {
				t.Error("Update = nil, want ErrDeleted")
			}
			if left := names(t, dir); len(left) != 0 {
				t.Errorf("%d files are left", len(left))
			}
		})
	}
}

func TestDeleteOwnerEndsWhatHasExpiredToo(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour})
	s := saved(t, store, "a", 1)
	s.SetOwner("ann")
	save(t, store, s)
	age(t, filepath.Join(dir, names(t, dir)[0]), 2*time.Hour)
	if n, err := store.DeleteOwner(background, "ann"); n != 1 || err != nil {
		t.Errorf("DeleteOwner = %d, %v", n, err)
	}
	longer := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: 3 * time.Hour})
	gone(t, longer, s.ID())
}

// Somebody else has the lock, to whom the store comes in vain.
func TestSavesThatMakeASessionObeyTheirContextsWhileAllAreEnded(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := saved(t, store, "a", 1)
	lockFile(t, filepath.Join(dir, ".owners.lock"))
	briefly := func() context.Context {
		ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	s.Set("a", 2)
	if err := store.Save(briefly(), s); err != nil {
		t.Errorf("a save that makes no session: %v", err)
	}
	s.Renew()
	for what, act := range map[string]func(context.Context) error{
		"a renewal": func(ctx context.Context) error { return store.Save(ctx, s) },
		"a new one": func(ctx context.Context) error { return store.Save(ctx, store.New()) },
		"DeleteAll": func(ctx context.Context) error { _, err := store.DeleteAll(ctx); return err },
	} {
		if err := act(briefly()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want context.DeadlineExceeded", what, err)
		}
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("%d files, want the session's", len(got))
	}
}

// Another process has the owner's lock, and is stopped.
func TestLoginsObeyTheirContextsWhileTheirOwnerIsLocked(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s, tag := owned(t, store, dir, "ann")
	lockFile(t, filepath.Join(dir, ".owners", tag))
	s.Set("a", 1)
	save(t, store, s)
	owned(t, store, dir, "bob")
	if got := len(listOwner(t, store, "ann")); got != 1 {
		t.Errorf("%d sessions are listed", got)
	}
	s.Renew()
	login := store.New()
	login.Login("ann")
	for name, act := range map[string]func(context.Context) error{
		"a renewal":   func(ctx context.Context) error { return store.Save(ctx, s) },
		"a login":     func(ctx context.Context) error { return store.Save(ctx, login) },
		"DeleteOwner": func(ctx context.Context) error { _, err := store.DeleteOwner(ctx, "ann"); return err },
	} {
		ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
		if err := act(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want context.DeadlineExceeded", name, err)
		}
		cancel()
	}
	if got := len(names(t, dir)); got != 2 {
		t.Errorf("%d files, want the sessions'", got)
	}
	release := lockFile(t, fileOf(t, dir, s))
	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	if _, err := store.DeleteOne(ctx, "ann", get(t, store, s.ID()).PublicID()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("DeleteOne of a session that is locked: %v, want context.DeadlineExceeded", err)
	}
	release()
	if ended, err := store.DeleteOne(background, "ann", get(t, store, s.ID()).PublicID()); !ended || err != nil {
		t.Errorf("DeleteOne = %v, %v", ended, err)
	}
}

// Who cleans the directory may take the store's own files too.
func TestTheOwnersLockIsMadeAgainWhenItWasRemoved(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	for range 3 {
		s := saved(t, store, "a", 1)
		s.SetOwner("ann")
		save(t, store, s)
		if n, err := store.DeleteOwner(background, "ann"); n != 1 || err != nil {
			t.Errorf("DeleteOwner = %d, %v", n, err)
		}
		for _, name := range []string{".owners.lock", ".owners.turn"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
	}
}
