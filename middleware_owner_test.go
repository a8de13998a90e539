package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/sessiontest"
)

func init() { children["end an owner's sessions"] = childEndOwner }

// A club is a site whose members change passwords, add factors and are blocked.
type club struct {
	store  sessions.SessionStore
	owners sessions.OwnerStore
	mw     *sessions.Middleware

	mu      sync.Mutex
	version map[string]int64 // of a member's password
	blocked map[string]bool
	down    bool

	checked func() // is called by a login between the password's check and Session.Login
	begun   func() // the same, between Session.Login and its save
}

// inStores runs a test with clubs whose sessions are in files and in memory.
func inStores(t *testing.T, test func(*testing.T, *club)) {
	t.Run("files", func(t *testing.T) {
		store := newStore(t, sessions.FilesystemOptions{})
		test(t, newClub(t, store, store))
	})
	t.Run("memory", func(t *testing.T) {
		store := sessiontest.NewStore()
		test(t, newClub(t, store, store))
	})
}

func newClub(t *testing.T, store sessions.SessionStore, owners sessions.OwnerStore) *club {
	t.Helper()
	c := &club{store: store, owners: owners, version: make(map[string]int64), blocked: make(map[string]bool)}
	c.mw = newMiddleware(t, store, sessions.CookieOptions{Valid: c.valid}, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	return c
}

func (c *club) valid(_ context.Context, s *sessions.Session) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return false, errDown
	}
	return s.Owner() == "" || !c.blocked[s.Owner()] && version.Get(s) == c.version[s.Owner()], nil
}

// set changes the database.
func (c *club) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// login logs in a member whose password was checked.
func (c *club) login(s *sessions.Session, member string) {
	var now int64
	c.set(func() { now = c.version[member] }) // is read together with the password
	if c.checked != nil {
		c.checked()
	}
	s.Login(member)
	version.Set(s, now)
	if c.begun != nil {
		c.begun()
	}
}

// ServeHTTP answers with the session's owner, and with the number of the owner's
// other sessions when a factor was added.
func (c *club) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	var err error
	switch action, member, _ := strings.Cut(r.URL.Path[1:], "/"); action {
	case "login":
		c.login(s, member)
	case "password":
		c.set(func() { c.version[s.Owner()]++ })
		c.login(s, s.Owner())
		if err = sessions.Save(r.Context()); err == nil {
			_, err = c.owners.DeleteOwner(r.Context(), s.Owner(), s.PublicID())
		}
	case "factor":
		c.login(s, s.Owner())
		if err = sessions.Save(r.Context()); err == nil {
			fmt.Fprint(w, len(ownedBy(r.Context(), c.owners, s.Owner()))-1, " others of ")
		}
	case "others":
		_, err = c.owners.DeleteOwner(r.Context(), s.Owner(), s.PublicID())
	}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, s.Owner())
}

func ownedBy(ctx context.Context, store sessions.OwnerStore, owner string) (ids []string) {
	for info, err := range store.ListOwner(ctx, owner) {
		if err != nil {
			panic(err)
		}
		ids = append(ids, info.PublicID)
	}
	return ids
}

// A member is a browser.
type member struct {
	t *testing.T
	*http.Client
}

// enter makes a browser, in which a member logs in.
func (c *club) enter(t *testing.T, name string) member {
	t.Helper()
	m := member{t, sessiontest.NewClient(c.mw.Wrap(c))}
	m.wants("/login/"+name, name)
	return m
}

// visit returns the answer, or the status when that is not 200.
func (m member) visit(path string) string {
	m.t.Helper()
	res, err := m.Get("https://example.com" + path)
	if err != nil {
		m.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		return res.Status
	}
	return string(body)
}

func (m member) wants(path, want string) {
	m.t.Helper()
	if got := m.visit(path); got != want {
		m.t.Errorf("%s: got %q, want %q", path, got, want)
	}
}

// copied is a browser with the cookies that this one has now.
func (m member) copied() member {
	m.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "https://example.com/", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	thief := member{m.t, sessiontest.NewClient(nil)}
	thief.Transport = m.Transport
	thief.Jar.SetCookies(r.URL, m.Jar.Cookies(r.URL))
	return thief
}

func TestValidAndDeleteOwnerEndTheOtherSessionsWhenThePasswordChanges(t *testing.T) {
	inStores(t, func(t *testing.T, c *club) {
		ann, elsewhere, bob := c.enter(t, "ann"), c.enter(t, "ann"), c.enter(t, "bob")
		thief := ann.copied()
		thief.wants("/", "ann")
		ann.wants("/password", "ann")
		if ids := ownedBy(t.Context(), c.owners, "ann"); len(ids) != 1 {
			t.Errorf("%d sessions are stored before the next click, want that of the change", len(ids))
		}
		thief.wants("/", "")
		elsewhere.wants("/", "")
		ann.wants("/", "ann")
		bob.wants("/", "bob")
		elsewhere.wants("/login/ann", "ann")
		ann.wants("/", "ann")
	})
}

// A stubborn store of owners ends nothing.
type stubborn struct{ sessions.OwnerStore }

func (stubborn) DeleteOwner(context.Context, string, ...string) (int, error) {
	return 0, errors.New("the store is down")
}

func TestValidEndsTheOtherSessionsWhenDeleteOwnerFails(t *testing.T) {
	inStores(t, func(t *testing.T, c *club) {
		c.owners = stubborn{c.owners}
		ann, elsewhere := c.enter(t, "ann"), c.enter(t, "ann")
		ann.wants("/password", "500 Internal Server Error")
		elsewhere.wants("/", "")
		ann.wants("/", "ann") // saved before
		if ids := ownedBy(t.Context(), c.owners, "ann"); len(ids) != 1 {
			t.Errorf("%d sessions are stored after the clicks, want 1", len(ids))
		}
	})
}

// A password that was right is not so any more when the login is saved. Whenever
// that was, the login does not count, and the one of the change does.
func TestValidEndsALoginThatThePasswordsChangeHasOvertaken(t *testing.T) {
	inStores(t, func(t *testing.T, c *club) {
		for name, hook := range map[string]*func(){"before Login": &c.checked, "before its save": &c.begun} {
			ann, thief := c.enter(t, "ann"), member{t, sessiontest.NewClient(c.mw.Wrap(c))}
			changes := 0
			*hook = func() {
				*hook = nil
				changes++
				ann.wants("/password", "ann")
			}
			thief.visit("/login/ann")
			if changes != 1 {
				t.Errorf("%s: the password was changed %d times", name, changes)
			}
			thief.wants("/", "")
			ann.wants("/", "ann")
			if ids := ownedBy(t.Context(), c.owners, "ann"); len(ids) != 1 {
				t.Errorf("%s: %d sessions are stored, want that of the change", name, len(ids))
			}
			ann.wants("/others", "ann")
		}
	})
}

// While the database is down, a session from before the change neither counts nor
// ends.
func TestValidOfADatabaseThatIsDownWhileThePasswordHasChanged(t *testing.T) {
	inStores(t, func(t *testing.T, c *club) {
		c.owners = stubborn{c.owners}
		ann, elsewhere := c.enter(t, "ann"), c.enter(t, "ann")
		ann.visit("/password")
		c.set(func() { c.down = true })
		for _, m := range []member{ann, elsewhere} {
			m.wants("/", "500 Internal Server Error")
		}
		if ids := ownedBy(t.Context(), c.owners, "ann"); len(ids) != 2 {
			t.Errorf("%d sessions are stored, want 2", len(ids))
		}
		c.set(func() { c.down = false })
		elsewhere.wants("/", "")
		ann.wants("/", "ann")
	})
}

func TestValidEndsTheSessionsOfABlockedUser(t *testing.T) {
	inStores(t, func(t *testing.T, c *club) {
		ann, elsewhere, late, bob := c.enter(t, "ann"), c.enter(t, "ann"), c.enter(t, "ann"), c.enter(t, "bob")
		c.set(func() { c.blocked["ann"] = true })
		ann.wants("/", "")
		elsewhere.wants("/", "")
		bob.wants("/", "bob")
		c.set(func() { c.blocked["ann"] = false })
		ann.wants("/", "") // they have ended
		elsewhere.wants("/", "")
		late.wants("/", "ann") // which made no click: to end it too there is DeleteOwner
		ann.wants("/login/ann", "ann")
	})
}

// ASVS 5.0 7.4.3 asks for the offer.
func TestDeleteOwnerIsOfferedWhenAFactorIsAdded(t *testing.T) {
	inStores(t, func(t *testing.T, c *club) {
		ann, bob := c.enter(t, "ann"), c.enter(t, "bob")
		others := []member{ann.copied(), c.enter(t, "ann"), c.enter(t, "ann")}
		ann.wants("/factor", "2 others of ann")
		others[0].wants("/", "") // the login has another ID
		others[1].wants("/", "ann")
		ann.wants("/others", "ann")
		for _, m := range others {
			m.wants("/", "")
		}
		ann.wants("/", "ann")
		bob.wants("/", "bob")
	})
}

// childEndOwner ends the sessions of the owner that it is told, and prints how
// many those were.
func childEndOwner() error {
	store, owner, err := childStore()
	if err != nil {
		return err
	}
	n, err := store.DeleteOwner(background, owner)
	fmt.Fprint(os.Stdout, n)
	return err
}

func TestDeleteOwnerByAnAdministratorInAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	c := newClub(t, store, store)
	ann, elsewhere, bob := c.enter(t, "ann"), c.enter(t, "ann"), c.enter(t, "bob")

	ctx := sessions.NewContext(t.Context(), load(t, store, ownedBy(t.Context(), store, "ann")[0])) // of a stream
	if err := sessions.Reload(ctx); err != nil {
		t.Error(err)
	}
	cmd := child("end an owner's sessions", dirVariable+"="+dir, idVariable+"=ann")
	out, err := cmd.Output()
	if string(out) != "2" || err != nil {
		t.Fatalf("the other process ended %q sessions, want 2; %v", out, err)
	}
	if err := sessions.Reload(ctx); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("a stream: got %v, want ErrDeleted", err)
	}
	ann.wants("/", "")
	elsewhere.wants("/", "")
	bob.wants("/", "bob")
	ann.wants("/login/ann", "ann")
	ann.wants("/", "ann")
}

// load loads the session of a public ID, as its request would.
func load(t *testing.T, store sessions.SessionStore, publicID string) *sessions.Session {
	t.Helper()
	for id, err := range store.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if sessions.PublicID(id) == publicID {
			s, err := store.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	t.Fatal("no session has that public ID")
	return nil
}
