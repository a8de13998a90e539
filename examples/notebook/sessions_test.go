package main

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/examples/notebook/internal/notebook"
	"github.com/sessfs/sessions/sessiontest"
)

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
	phone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
)

// An agent sends requests with a User-Agent.
type agent struct {
	name string
	next http.RoundTripper
}

func (a agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", a.name)
	return a.next.RoundTrip(r)
}

// by makes a visitor of the same server with a browser of its own.
func (v visitor) by(userAgent string) visitor {
	v.t.Helper()
	other := newVisitor(v.t, v.base)
	next := v.client.Transport
	if a, ok := next.(agent); ok {
		next = a.next
	}
	if next == nil {
		next = http.DefaultTransport
	}
	other.client.Transport = agent{userAgent, next}
	return other
}

// places opens the page "Where you are logged in".
func (v visitor) places() string {
	v.t.Helper()
	status, page := v.do(http.MethodGet, "/sessions", nil)
	if status != http.StatusOK {
		v.t.Fatalf("got %d: %s", status, page)
	}
	return page
}

var endButton = regexp.MustCompile(`name="which" value="([0-9a-f]{64})"`)

// others are the public IDs that the page has buttons for.
func (v visitor) others() (ids []string) {
	v.t.Helper()
	for _, match := range endButton.FindAllStringSubmatch(v.places(), -1) {
		ids = append(ids, match[1])
	}
	return ids
}

func TestSessionsPageListsThoseOfTheUserAlone(t *testing.T) {
	desk := visit(t, "files").by(firefox)
	mobile, bob := desk.by(phone), desk.by(firefox)
	desk.post("/login", "name", "Ann")
	mobile.post("/login", "name", "Ann", "remember", "on")
	bob.post("/login", "name", "Bob")
	page := desk.places()
	wantIn(t, page, "Firefox on Linux, 127.0.0.1 <em>this browser</em>", "Safari on iPhone, 127.0.0.1<", ">just now</time>", ">now</time>",
		"Ends unused in", ">11 h 59 min</time>", "Ends anyway in", ">29 days 23 h</time>")
	if ids := desk.others(); len(ids) != 1 || strings.Count(page, "<h3") != 2 {
		t.Errorf("%d sessions can be ended; got %s", len(ids), page)
	}
	if strings.Index(page, "Firefox") > strings.Index(page, "Safari") {
		t.Error("this browser is not the first")
	}
	for _, v := range []visitor{desk, mobile} { // an ID is as good as a password
		_, id, _ := strings.Cut(v.cookie(), "=")
		wantNotIn(t, page, id)
	}
	wantNotIn(t, bob.places(), "Safari", "everywhere but here")
}

func TestSessionsPageOfAVisitorWhoIsNotLoggedIn(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		wantIn(t, v.places(), "Nowhere, as far as this browser knows.", `<a href="/#login">`)
		for _, which := range []string{"others", "everywhere", strings.Repeat("0", 64), ""} {
			_, page := v.do(http.MethodGet, "/sessions/end?which="+which, nil)
			wantIn(t, page, "Nowhere, as far")
			_, page = v.post("/sessions/end", "which", which)
			wantIn(t, page, "Nowhere, as far")
		}
	})
}

func TestSessionsPageOfCookiesTellsWhyItListsNone(t *testing.T) {
	v := visit(t, "cookies").by(firefox)
	other := v.by(phone)
	v.post("/login", "name", "Ann")
	other.post("/login", "name", "Ann")
	page := v.places()
	wantIn(t, page, "Firefox on Linux, 127.0.0.1 <em>this browser</em>", "cannot be logged out from here", ">11 h 59 min<", ">29 days 23 h<")
	wantNotIn(t, page, "Safari", "everywhere")
	_, page = v.post("/sessions/end", "which", "everywhere")
	wantIn(t, page, "cannot be logged out from here", "You are <strong>Ann")
	wantIn(t, other.get(), "You are <strong>Ann")
}

func TestSessionsPageEndsOne(t *testing.T) {
	desk := visit(t, "files").by(firefox)
	mobile, third, bob := desk.by(phone), desk.by("curl/8.5.0"), desk.by(firefox)
	for _, v := range []visitor{desk, third, mobile} {
		v.post("/login", "name", "Ann")
	}
	bob.post("/login", "name", "Bob")
	id := desk.others()[0] // the last used
	_, page := desk.do(http.MethodGet, "/sessions/end?which="+id, nil)
	wantIn(t, page, "End this session?", "Safari on iPhone, 127.0.0.1", `value="`+id+`"`)
	wantIn(t, mobile.get(), "You are <strong>Ann") // a question ends nothing

	_, page = bob.post("/sessions/end", "which", id)
	wantIn(t, page, "had ended before")
	wantIn(t, mobile.get(), "You are <strong>Ann") // it is not Bob's to end

	_, page = desk.post("/sessions/end", "which", id)
	wantIn(t, page, "The session is ended.", "Firefox on Linux", "curl/8.5.0")
	wantNotIn(t, page, "Safari")
	wantNotIn(t, mobile.get(), "Ann")
	wantIn(t, desk.get(), "You are <strong>Ann")
	wantIn(t, third.get(), "You are <strong>Ann")

	_, page = desk.post("/sessions/end", "which", id) // a second click
	wantIn(t, page, "had ended before")
	status, page := desk.do(http.MethodGet, "/sessions/end?which="+id, nil)
	if status != http.StatusNotFound {
		t.Errorf("got %d, want 404", status)
	}
	wantIn(t, page, "not there any more", "curl/8.5.0")
}

// A list of the other browser has this one's session too.
func TestSessionsPageThatEndsThisSessionIsALogout(t *testing.T) {
	desk := visit(t, "files").by(firefox)
	mobile := desk.by(phone)
	desk.post("/login", "name", "Ann")
	mobile.post("/login", "name", "Ann")
	_, page := desk.post("/sessions/end", "which", mobile.others()[0])
	wantIn(t, page, "You are logged out, and your notes are gone.")
	wantNotIn(t, desk.get(), "Ann")
	wantIn(t, mobile.get(), "You are <strong>Ann")
}

func TestSessionsPageEndsAllOthers(t *testing.T) {
	desk := visit(t, "files").by(firefox)
	bob, others := desk.by(firefox), []visitor{desk.by(phone), desk.by(phone)}
	desk.post("/login", "name", "Ann")
	desk.post("/notes", "text", "kept")
	bob.post("/login", "name", "Bob")
	for _, v := range others {
		v.post("/login", "name", "Ann")
	}
	_, page := desk.do(http.MethodGet, "/sessions/end?which=others", nil)
	wantIn(t, page, "Log out everywhere but here?")
	_, page = desk.post("/sessions/end", "which", "others")
	wantIn(t, page, "Sessions that were ended: 2.", "<em>this browser</em>")
	wantNotIn(t, page, "everywhere but here</button>", "Safari")
	for _, v := range others {
		wantNotIn(t, v.get(), "Ann")
	}
	wantIn(t, desk.get(), "You are <strong>Ann", "kept")
	wantIn(t, bob.get(), "You are <strong>Bob")
}

func TestSessionsPageLogsOutEverywhere(t *testing.T) {
	desk := visit(t, "files").by(firefox)
	mobile, bob := desk.by(phone), desk.by(firefox)
	for _, v := range []visitor{desk, mobile} {
		v.post("/login", "name", "Ann")
	}
	bob.post("/login", "name", "Bob")
	copied := desk.cookie()
	_, page := desk.do(http.MethodGet, "/sessions/end?which=everywhere", nil)
	wantIn(t, page, "Log out everywhere?")
	_, page = desk.post("/sessions/end", "which", "everywhere")
	wantIn(t, page, "You are logged out everywhere", "Nowhere, as far")
	for _, v := range []visitor{desk, mobile} {
		wantNotIn(t, v.get(), "Ann")
	}
	if desk.cookie() == copied {
		t.Error("the farewell is in the session that was ended")
	}
	wantIn(t, bob.get(), "You are <strong>Bob")
}

// visitMemory makes a visitor of a notebook without a network, inside of a
// synctest bubble.
func visitMemory(t *testing.T, owners sessions.OwnerStore, store sessions.SessionStore) visitor {
	t.Helper()
	carrier, err := notebook.Carry(store)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := notebook.New(notebook.Store{Name: "a test", Carrier: carrier, Owners: owners, Merges: true})
	if err != nil {
		t.Fatal(err)
	}
	return visitor{t, "http://localhost", sessiontest.NewClient(handler)}
}

// ASVS 5.0 7.5.2: users end sessions when they have authenticated again.
func TestSessionsPageAsksAgainWhenTheLoginIsLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := sessiontest.NewStore()
		desk := visitMemory(t, store, store).by(firefox)
		mobile := desk.by(phone)
		desk.post("/login", "name", "Ann")
		mobile.post("/login", "name", "Ann")
		_, page := desk.do(http.MethodGet, "/sessions/end?which=others", nil)
		wantNotIn(t, page, `name="name"`)

		time.Sleep(11 * time.Minute)
		wantIn(t, desk.places(), ">11 minutes ago</time>")
		_, page = desk.do(http.MethodGet, "/sessions/end?which=others", nil)
		wantIn(t, page, `name="name"`)
		for _, name := range []string{"", "Bob"} {
			status, page := desk.post("/sessions/end", "which", "others", "name", name)
			if status != http.StatusUnprocessableEntity {
				t.Errorf("%q: got %d, want 422", name, status)
			}
			wantIn(t, page, "not the name", "Log out everywhere but here?", `name="name"`)
		}
		wantIn(t, mobile.get(), "You are <strong>Ann")

		before := desk.cookie()
		_, page = desk.post("/sessions/end", "which", "others", "name", "Ann")
		wantIn(t, page, "Sessions that were ended: 1.", ">just now</time>", "Firefox on Linux")
		wantNotIn(t, mobile.get(), "Ann")
		wantIn(t, desk.get(), "You are <strong>Ann")
		if desk.cookie() == before {
			t.Error("a login that was told again has the old ID")
		}
		_, page = desk.do(http.MethodGet, "/sessions/end?which=everywhere", nil)
		wantNotIn(t, page, `name="name"`)
	})
}

func TestSessionsPageTellsTimesInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := sessiontest.NewStore()
		desk := visitMemory(t, store, store).by(firefox)
		desk.by(phone).post("/login", "name", "Ann")
		for _, want := range []struct {
			wait  time.Duration
			words string
		}{
			{59 * time.Second, "just now"},
			{time.Second, "1 minute ago"},
			{59 * time.Minute, "1 hour ago"},
			{46 * time.Hour, "47 hours ago"},
			{time.Hour, "2 days ago"},
		} {
			time.Sleep(want.wait)
			desk.post("/login", "name", "Ann")
			wantIn(t, desk.places(), `Last used</dt><dd><time datetime="2000-01-0`, ">"+want.words+"</time>")
		}
		// A session of which no timeout is known tells none.
		wantNotIn(t, desk.places(), "Ends unused", "Ends anyway")
	})
}

func TestSessionsPageShowsSomeOfMany(t *testing.T) {
	store := sessiontest.NewStore()
	for range 60 {
		s := store.New()
		s.Login("Ann")
		if err := store.Save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	v := visitMemory(t, store, store)
	v.post("/login", "name", "Ann")
	page := v.places()
	wantIn(t, page, "And 11 more.", "<h3 id=\"place-1\">Unknown browser</h3>")
	if n := strings.Count(page, "<h3"); n != 50 {
		t.Errorf("the page has %d", n)
	}
}

// A failing store of owners lists one session and an error, and ends nothing.
type failing struct{ sessions.OwnerStore }

var errFailing = errors.New("a secret place is on fire")

func (f failing) ListOwner(ctx context.Context, owner string) iter.Seq2[sessions.SessionInfo, error] {
	return func(yield func(sessions.SessionInfo, error) bool) {
		if !yield(sessions.SessionInfo{}, errFailing) {
			return
		}
		f.OwnerStore.ListOwner(ctx, owner)(yield)
	}
}

func (failing) DeleteOwner(context.Context, string, ...string) (int, error) { return 1, errFailing }

func (failing) DeleteOne(context.Context, string, string) (bool, error) { return false, errFailing }

func TestSessionsPageTellsWhenTheStoreFails(t *testing.T) {
	store := sessiontest.NewStore()
	v := visitMemory(t, failing{store}, store).by(firefox)
	v.post("/login", "name", "Ann")
	status, page := v.do(http.MethodGet, "/sessions", nil)
	if status != http.StatusInternalServerError {
		t.Errorf("got %d, want 500", status)
	}
	wantIn(t, page, "may lack sessions", "Firefox on Linux")
	for _, which := range []string{"others", "everywhere", strings.Repeat("0", 64)} {
		status, page := v.post("/sessions/end", "which", which)
		if status != http.StatusInternalServerError {
			t.Errorf("%s: got %d, want 500", which, status)
		}
		wantIn(t, page, "Try again in a while", "You are <strong>Ann")
		wantNotIn(t, page, "secret place")
	}
}

func TestSessionsPageIsNotForOtherSites(t *testing.T) {
	v := visit(t, "files")
	other := v.by(phone)
	v.post("/login", "name", "Ann")
	other.post("/login", "name", "Ann")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.base+"/sessions/end", strings.NewReader(url.Values{"which": {"everywhere"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := v.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %s, want 403", resp.Status)
	}
	wantIn(t, other.get(), "You are <strong>Ann")
}

func TestSessionThatEndsSoonIsToldOnEveryPage(t *testing.T) {
	for lifetime, warned := range map[time.Duration]bool{30 * time.Minute: true, 2 * time.Hour: false} {
		store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: t.TempDir(), Lifetime: lifetime})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		v := visitMemory(t, store, store)
		wantNotIn(t, v.get(), "You are logged out in") // an anonymous one has no login to lose
		v.post("/login", "name", "Ann")
		for _, path := range []string{"/", "/sessions", "/sessions/end?which=others"} {
			_, page := v.do(http.MethodGet, path, nil)
			if strings.Contains(page, "You are logged out in 29 min ") != warned {
				t.Errorf("%v, %s: got %s", lifetime, path, page)
			}
		}
		page := v.places()
		wantIn(t, page, "Ends anyway in")
		wantNotIn(t, page, "Ends unused in") // after 14 days
		if strings.Contains(v.get(), `<h2 id="login">Log in again</h2>`) != warned {
			t.Errorf("%v: the form is there for those who need it", lifetime)
		}
	}
}

func TestDeviceIsNamedAsItsUserAgentDoes(t *testing.T) {
	for agent, want := range map[string]string{
		firefox: "Firefox on Linux",
		phone:   "Safari on iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0":             "Edge on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 OPR/124.0.0.0":             "Opera on Windows",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36":                           "Chrome on Android",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36":       "Samsung Internet on Android",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36":                            "Chrome on ChromeOS",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36":                             "Chrome on Linux",
		"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.0.0 Mobile/15E148 Safari/604.1":         "Chrome on iPad",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/144.0 Mobile/15E148 Safari/605.1.15": "Firefox on iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15":                     "Safari on macOS",
		"curl/8.5.0":              "curl/8.5.0",
		"":                        "Unknown browser",
		"Mozilla/5.0 (Plan 9)":    "Unknown browser",
		"<script>alert(1)":        "Unknown browser",
		"\u202eevil":              "Unknown browser",
		"A<b>, 10.0.0.1":          "A",
		strings.Repeat("x", 9000): strings.Repeat("x", 30),
	} {
		store := sessiontest.NewStore()
		v := visitMemory(t, store, store).by(agent)
		v.post("/login", "name", "Ann")
		wantIn(t, v.places(), `<h3 id="place-0">`+want+", 192.0.2.1 <em>") // the address of httptest
		for info, err := range store.ListOwner(t.Context(), "Ann") {
			if err != nil || info.Meta != want+", 192.0.2.1" {
				t.Errorf("%.60q is noted as %q, %v", agent, info.Meta, err)
			}
		}
	}
}

// The next login is from elsewhere.
func TestLoginNotesTheDeviceAgain(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		first := v.by(firefox)
		first.post("/login", "name", "Ann")
		second := first.by(phone)
		second.client.Jar = first.client.Jar
		second.post("/login", "name", "Ann")
		page := second.places()
		wantIn(t, page, "Safari on iPhone")
		wantNotIn(t, page, "Firefox")
	})
}
