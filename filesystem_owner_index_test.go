package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

// publicIDs returns the public IDs of sessions, sorted.
func publicIDs(of ...*sessions.Session) (ids []string) {
	for _, s := range of {
		ids = append(ids, s.PublicID())
	}
	slices.Sort(ids)
	return ids
}

// wantOwned demands that just those sessions are listed.
func wantOwned(t testing.TB, store *sessions.FilesystemSessionStore, owner, when string, want ...*sessions.Session) {
	t.Helper()
	var got []string
	for _, info := range listOwner(t, store, owner) {
		got = append(got, info.PublicID)
	}
	if slices.Sort(got); !slices.Equal(got, publicIDs(want...)) {
		t.Errorf("%s: %d sessions of %q are listed, want the %d", when, len(got), owner, len(want))
	}
}

// login saves a session of an owner who has just logged in.
func login(t testing.TB, store *sessions.FilesystemSessionStore, owner string) *sessions.Session {
	t.Helper()
	s := store.New()
	s.Login(owner)
	save(t, store, s)
	return s
}

// indexDamages are done to the file of an owner's entry, or to the whole index.
var indexDamages = map[string]func(t *testing.T, dir, file string){
	"the index is removed":        func(t *testing.T, dir, _ string) { must(t, os.RemoveAll(filepath.Join(dir, ".owners"))) },
	"the owner's file is removed": func(t *testing.T, _, file string) { must(t, os.Remove(file)) },
	"the state is removed":        func(t *testing.T, dir, _ string) { must(t, os.Remove(filepath.Join(dir, ".owners", "state"))) },
	"the state is cut":            func(t *testing.T, dir, _ string) { must(t, os.Truncate(filepath.Join(dir, ".owners", "state"), 600)) },
	"the state is of another version": func(t *testing.T, dir, _ string) {
		file := filepath.Join(dir, ".owners", "state")
		must(t, os.WriteFile(file, []byte(strings.Replace(content(t, file), "index 1", "index 9", 1)), 0o600))
	},
	"the state is of another directory": func(t *testing.T, dir, _ string) {
		other := t.TempDir()
		login(t, newStore(t, sessions.FilesystemOptions{Path: other}), "bob")
		copyFile(t, filepath.Join(other, ".owners", "state"), filepath.Join(dir, ".owners", "state"))
	},
	"the owner's file is emptied":            func(t *testing.T, _, file string) { must(t, os.Truncate(file, 0)) },
	"the owner's file is cut to its header":  func(t *testing.T, _, file string) { must(t, os.Truncate(file, 512)) },
	"the owner's file is cut in a slot":      func(t *testing.T, _, file string) { must(t, os.Truncate(file, 700)) },
	"the owner's file is cut to a slot":      func(t *testing.T, _, file string) { must(t, os.Truncate(file, 2048)) },
	"the owner's file is cut by a byte":      func(t *testing.T, _, file string) { must(t, os.Truncate(file, 3583)) },
	"the owner's file is of another version": func(t *testing.T, _, file string) { replaceIn(t, file, "owner 1", "owner 2") },
	"the owner's file names another session": func(t *testing.T, _, file string) { replaceIn(t, file, "session session_", "session sessiom_") },
	"the owner's file is another's, copied": func(t *testing.T, dir, file string) {
		for _, e := range entries(t, filepath.Join(dir, ".owners")) {
			if other := filepath.Join(dir, ".owners", e); e != "state" && other != file {
				must(t, os.Remove(file))
				copyFile(t, other, file)
			}
		}
	},
	"a backup without the last login is restored in the place": func(t *testing.T, dir, file string) {
		old := filepath.Join(t.TempDir(), "old")
		must(t, exec.Command("cp", "-a", filepath.Join(dir, ".owners"), old).Run())
		store := newStore(t, sessions.FilesystemOptions{Path: dir})
		more := login(t, store, "ann")
		must(t, exec.Command("cp", "-a", old+"/.", filepath.Join(dir, ".owners")).Run())
		must(t, store.Delete(background, more))
	},
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func entries(t testing.TB, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	must(t, os.WriteFile(to, []byte(content(t, from)), 0o600))
}

func replaceIn(t testing.TB, file, old, new string) {
	t.Helper()
	text := content(t, file)
	if !strings.Contains(text, old) {
		t.Fatalf("no %q in the file", old)
	}
	must(t, os.WriteFile(file, []byte(strings.ReplaceAll(text, old, new)), 0o600))
}

// Never no sessions where there are some.
func TestOwnersIndexThatIsLostOrDamagedIsMadeAnew(t *testing.T) {
	for name, damage := range indexDamages {
		t.Run(name, func(t *testing.T) {
			o := sessions.FilesystemOptions{Path: t.TempDir()}
			store := newStore(t, o)
			for round := range 3 {
				first, tag := owned(t, store, o.Path, "ann")
				second, third, other := login(t, store, "ann"), login(t, newStore(t, o), "ann"), login(t, store, "bob")
				wantOwned(t, store, "ann", "before", first, second, third)
				damage(t, o.Path, filepath.Join(o.Path, ".owners", tag))
				who := store
				if round == 1 {
					who = newStore(t, o)
				}
				if round == 2 {
					wantOwned(t, who, "ann", "after a login of another", first, second, third)
					damage(t, o.Path, filepath.Join(o.Path, ".owners", tag))
					fourth := login(t, who, "ann")
					wantOwned(t, who, "ann", "after a login", first, second, third, fourth)
					damage(t, o.Path, filepath.Join(o.Path, ".owners", tag))
				} else {
					wantOwned(t, who, "ann", "after", first, second, third)
					wantOwned(t, store, "bob", "after", other)
					damage(t, o.Path, filepath.Join(o.Path, ".owners", tag))
				}
				if n, err := who.DeleteOwner(background, "ann", first.PublicID()); n < 2 || err != nil {
					t.Errorf("DeleteOwner = %d, %v", n, err)
				}
				wantOwned(t, store, "ann", "after the end", first)
				must(t, store.Delete(background, first))
				must(t, store.Delete(background, other))
			}
		})
	}
}

func TestOwnersIndexOfAnOlderDirectoryIsMadeAtTheFirstUse(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir()}
	store := newStore(t, o)
	var all []*sessions.Session
	for range 300 { // more than the first login looks at
		all = append(all, login(t, store, "ann"))
	}
	must(t, os.RemoveAll(filepath.Join(o.Path, ".owners")))
	store = newStore(t, o)
	all = append(all, login(t, store, "ann"))
	wantOwned(t, store, "ann", "after a login", all...)
	wantOwned(t, store, "ann", "again", all...)
}

// An entry that cannot be written stops the login, and a directory in the place of a file is an error.
func TestOwnersIndexThatCannotBeUsedIsAnError(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir()}
	store := newStore(t, o)
	s, tag := owned(t, store, o.Path, "ann")
	file := filepath.Join(o.Path, ".owners", tag)
	must(t, errors.Join(os.Remove(file), os.Mkdir(file, 0o700)))
	again := store.New()
	again.Login("ann")
	if err := store.Save(background, again); err == nil || errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("a login: %v", err)
	}
	if n, err := store.DeleteOwner(background, "ann"); err == nil {
		t.Errorf("DeleteOwner = %d, and no error", n)
	}
	failed := 0
	for info, err := range store.ListOwner(background, "ann") {
		if failed++; err == nil {
			t.Errorf("listed: %v", info)
		}
	}
	if failed != 1 {
		t.Errorf("%d errors, want one", failed)
	}
	s.Set("a", 1)
	save(t, store, s)
	must(t, os.RemoveAll(filepath.Join(o.Path, ".owners")))
	must(t, os.WriteFile(filepath.Join(o.Path, ".owners"), nil, 0o600))
	if err := store.Save(background, again); err == nil || errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("a login: %v", err)
	}
}

func TestOwnersIndexFollowsASession(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir()}
	store, other := newStore(t, o), newStore(t, o)
	s := login(t, store, "ann")
	for i := range 100 { // more than its file has room for
		s.Renew()
		save(t, store, s)
		if i%10 == 0 {
			wantOwned(t, other, "ann", "renewed", s)
		}
	}
	s.Set("a", strings.Repeat("x", 10_000))
	save(t, store, s)
	wantOwned(t, other, "ann", "grown", s)
	s.SetIdleTimeout(time.Hour)
	save(t, store, s)
	wantOwned(t, other, "ann", "with a timeout", s)
	s.SetOwner("bob")
	save(t, store, s)
	wantOwned(t, other, "ann", "given away")
	wantOwned(t, other, "bob", "taken over", s)
	if n, err := store.DeleteOwner(background, "ann"); n != 0 || err != nil {
		t.Errorf("DeleteOwner = %d, %v", n, err)
	}
	s.Login("ann")
	save(t, store, s)
	wantOwned(t, other, "bob", "after a login")
	wantOwned(t, other, "ann", "after a login", s)
	s.SetOwner("")
	save(t, store, s)
	wantOwned(t, other, "ann", "without an owner")
	s.Login("ann")
	save(t, store, s)
	s.Destroy()
	save(t, store, s)
	wantOwned(t, other, "ann", "logged out")
}

func TestPruneTidiesTheOwnersIndex(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir()}
	store := newStore(t, o)
	first, tag := owned(t, store, o.Path, "ann")
	second, other := login(t, store, "ann"), login(t, store, "bob")
	must(t, store.Delete(background, first))
	must(t, store.Delete(background, other))
	index := filepath.Join(o.Path, ".owners")
	pruneOnce := func() {
		t.Helper()
		if _, err := store.Prune(background, prune.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	pruneOnce()
	if got := len(entries(t, index)); got != 3 {
		t.Errorf("%d files of the index, want all: they are in use", got)
	}
	for _, e := range entries(t, index) {
		age(t, filepath.Join(index, e), 25*time.Hour)
	}
	if _, err := store.Prune(background, prune.Options{DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if got := len(entries(t, index)); got != 3 {
		t.Errorf("%d files of the index after a DryRun, want 3", got)
	}
	pruneOnce()
	if got := entries(t, index); len(got) != 2 || !slices.Contains(got, tag) {
		t.Errorf("%d files of the index, want the owner's and the state", len(got))
	}
	if got := strings.Count(content(t, filepath.Join(index, tag)), first.ID()); got != 1 {
		t.Errorf("a session that is gone is in %d slots, want the one before", got)
	}
	before := content(t, filepath.Join(index, "state"))
	wantOwned(t, store, "ann", "pruned", second)
	wantOwned(t, newStore(t, o), "bob", "pruned")
	if content(t, filepath.Join(index, "state")) != before {
		t.Error("the index was begun anew")
	}
}

func TestMaxSessionsEndsTheOldestOrRefuses(t *testing.T) {
	runInBubble(t, "", maxSessions)
}

func maxSessions(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		dir := t.TempDir()
		var ended []sessions.EndReason
		store := newStore(t, sessions.FilesystemOptions{Path: dir, MaxSessions: 2, RefuseLogin: refuse, Observe: func(_ context.Context, e sessions.Event) {
			if e.Kind == sessions.EventEnded {
				ended = append(ended, e.Reason)
			}
		}})
		first, second, other := login(t, store, "ann"), login(t, store, "ann"), login(t, store, "bob")
		try := func(when string, want error) *sessions.Session {
			t.Helper()
			s := store.New()
			s.Login("ann")
			if err := store.Save(background, s); !errors.Is(err, want) {
				t.Errorf("refuse %v, %s: %v, want %v", refuse, when, err, want)
			}
			return s
		}
		third := try("a moment later", sessions.ErrTooManySessions)
		if third.New() != true || len(names(t, dir)) != 3 {
			t.Error("a login that was refused left something")
		}
		second.Login("ann") // step-up: no further session
		save(t, store, second)
		time.Sleep(10 * time.Second)
		if refuse {
			try("later", sessions.ErrTooManySessions)
			wantOwned(t, store, "ann", "refused", first, second)
			must(t, store.Delete(background, first))
			wantOwned(t, store, "ann", "one less", second, try("after a logout", nil))
			continue
		}
		third = try("later", nil)
		if len(ended) != 1 || ended[0] != sessions.EndedByLimit {
			t.Errorf("events %q", ended)
		}
		wantOwned(t, store, "ann", "the oldest goes", second, third)
		wantOwned(t, store, "bob", "another's stays", other)
		gone(t, store, first.ID())
	}
}

// A touch that makes a file anew looks at the index afterwards, which others may be adding to.
func TestTouchBesideLoginsOfNewOwners(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour})
	longer := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: 2 * time.Hour})
	var anns []*sessions.Session
	for range 400 {
		anns = append(anns, login(t, store, "ann"))
	}
	ctx, stop := context.WithCancel(background)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				login(t, store, fmt.Sprint("owner ", i, n))
			}
		})
	}
	for _, s := range anns {
		if touched, err := longer.Touch(background, get(t, longer, s.ID()), 0); !touched || err != nil {
			t.Errorf("Touch = %v, %v", touched, err)
		}
	}
	stop()
	wg.Wait()
	wantOwned(t, store, "ann", "all are touched", anns...)
}

// A session from before the clock was set back is not of the same moment.
func TestMaxSessionsAfterTheClockIsSetBack(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{Path: t.TempDir(), MaxSessions: 1})
	now := time.Now()
	old := store.GenerateKey()
	must(t, store.Import(background, old, sessions.Record{Codec: "json", Data: "{}", Owner: "ann", Created: now.Add(time.Hour), Used: now}))
	wantOwned(t, store, "ann", "the clock was set back", login(t, store, "ann"))
	gone(t, store, old)
}

func TestMaxSessionsIsExact(t *testing.T) {
	for range 5 {
		o := sessions.FilesystemOptions{Path: t.TempDir(), MaxSessions: 5}
		var wg sync.WaitGroup
		results := make(chan error, 64)
		for range cap(results) / 2 {
			store := newStore(t, o)
			for range 2 {
				wg.Go(func() {
					s := store.New()
					s.Login("ann")
					results <- store.Save(background, s)
				})
			}
		}
		wg.Wait()
		close(results)
		in := 0
		for err := range results {
			switch {
			case err == nil:
				in++
			case !errors.Is(err, sessions.ErrTooManySessions):
				t.Error(err)
			}
		}
		if got := len(names(t, o.Path)); got != 5 || in != 5 {
			t.Errorf("%d logins, %d sessions, want 5", in, got)
		}
	}
}

// A login that was called before the end, and is saved after it.
func TestDeleteOwnerEndsLoginsThatBeganBefore(t *testing.T) {
	for name, begin := range map[string]func(s *sessions.Session){
		"Login":    func(s *sessions.Session) { s.Login("ann") },
		"SetOwner": func(s *sessions.Session) { s.SetOwner("ann") },
	} {
		for kind, of := range map[string]func(store *sessions.FilesystemSessionStore) *sessions.Session{
			"new":       func(store *sessions.FilesystemSessionStore) *sessions.Session { return store.New() },
			"anonymous": func(store *sessions.FilesystemSessionStore) *sessions.Session { return saved(t, store, "a", 1) },
			"another's": func(store *sessions.FilesystemSessionStore) *sessions.Session { return login(t, store, "bob") },
			"the owner's": func(store *sessions.FilesystemSessionStore) *sessions.Session {
				s := store.New()
				s.Login("ann")
				save(t, store, s)
				return s
			},
		} {
			t.Run(fmt.Sprintf("%s, %s", name, kind), func(t *testing.T) {
				o := sessions.FilesystemOptions{Path: t.TempDir()}
				store := newStore(t, o)
				early, kept, late := of(store), of(store), of(store)
				begin(early)
				begin(kept)
				if _, err := newStore(t, o).DeleteOwner(background, "ann", kept.PublicID()); err != nil {
					t.Fatal(err)
				}
				if err := store.Save(background, early); !errors.Is(err, sessions.ErrDeleted) {
					t.Errorf("from before the end: %v, want ErrDeleted", err)
				}
				if err := store.Save(background, kept); err != nil {
					t.Errorf("from before the end, kept: %v", err)
				}
				if kind != "the owner's" || name == "Login" {
					begin(late)
					if err := store.Save(background, late); err != nil {
						t.Errorf("from after the end: %v", err)
					}
					wantOwned(t, store, "ann", "after the end", kept, late)
				}
			})
		}
	}
}

// A session that is renewed while the list goes on is in it, by its next name.
func TestListOwnerFindsASessionThatIsRenewedMeanwhile(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	for range 10 {
		all := []*sessions.Session{login(t, store, "ann"), login(t, store, "ann")}
		listed := make(map[string]bool)
		for info, err := range store.ListOwner(background, "ann") {
			must(t, err)
			for _, s := range all {
				if len(listed) == 0 && s.PublicID() != info.PublicID {
					s.Renew()
					save(t, store, s)
				}
			}
			listed[info.PublicID] = true
		}
		for _, s := range all {
			if !listed[s.PublicID()] {
				t.Errorf("of two sessions %d are listed, and not the renewed one", len(listed))
			}
			must(t, store.Delete(background, s))
		}
	}
}

// The index is removed, and made anew by another process, between the entry of a login
// and its session.
func TestLoginWhoseIndexIsRemovedIsEnteredAgainOrEnded(t *testing.T) {
	for _, end := range []bool{false, true} {
		o := sessions.FilesystemOptions{Path: t.TempDir()}
		store, other := newStore(t, o), newStore(t, o)
		first, tag := owned(t, store, o.Path, "ann")
		release := lockFile(t, filepath.Join(o.Path, ".owners.lock"))
		s, saved := store.New(), make(chan error)
		s.Login("ann")
		go func() { saved <- store.Save(background, s) }()
		file := filepath.Join(o.Path, ".owners", tag)
		for !strings.Contains(content(t, file), s.ID()) {
			time.Sleep(time.Millisecond)
		}
		must(t, os.RemoveAll(filepath.Join(o.Path, ".owners")))
		wantOwned(t, other, "ann", "before the login", first)
		if end {
			if n, err := other.DeleteOwner(background, "ann"); n != 1 || err != nil {
				t.Errorf("DeleteOwner = %d, %v", n, err)
			}
		}
		release()
		err := <-saved
		if end {
			if !errors.Is(err, sessions.ErrDeleted) || len(names(t, o.Path)) != 0 {
				t.Errorf("the login is %v and leaves %d files, want ErrDeleted and none", err, len(names(t, o.Path)))
			}
			continue
		}
		must(t, err)
		wantOwned(t, other, "ann", "after the login", first, s)
	}
}
