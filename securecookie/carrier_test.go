package securecookie_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

// A browser keeps cookies as browsers do, in the order in which they were made,
// and visits a handler behind the middleware.
type browser struct {
	t       testing.TB
	carrier *securecookie.Carrier
	cookies []*http.Cookie
	header  http.Header // of the last response
	set     map[string]*http.Cookie
	status  int
}

func newCarrier(t testing.TB, ring *securecookie.KeyRing, o securecookie.CarrierOptions) *securecookie.Carrier {
	t.Helper()
	carrier, err := securecookie.NewCarrier(ring, o)
	if err != nil {
		t.Fatal(err)
	}
	return carrier
}

func newBrowser(t testing.TB, o securecookie.CarrierOptions) *browser {
	t.Helper()
	return &browser{t: t, carrier: newCarrier(t, newRing(t, "test"), o)}
}

// clock returns a ring and its time, which can be moved. It starts now, since the
// root package sets the creation of a session.
func clock(t testing.TB) (*securecookie.KeyRing, *time.Time) {
	t.Helper()
	ring, now := newRing(t, "test"), time.Now()
	ring.SetNow(func() time.Time { return now })
	return ring, &now
}

func named(name string) securecookie.CarrierOptions {
	return securecookie.CarrierOptions{CookieOptions: sessions.CookieOptions{Cookie: http.Cookie{Name: name}}}
}

func withMaxCookies(n int) securecookie.CarrierOptions {
	return securecookie.CarrierOptions{MaxCookies: n}
}

// visit has a handler use the session.
func (b *browser) visit(use func(s *sessions.Session)) {
	b.t.Helper()
	mw, err := sessions.NewMiddleware(b.carrier, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.request(mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		use(sessions.FromContext(r.Context()))
	})))
}

func (b *browser) request(handler http.Handler) {
	r := httptest.NewRequest("GET", "/", nil)
	for _, c := range b.cookies {
		r.Header.Add("Cookie", c.Name+"="+c.Value)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	res := w.Result()
	b.header, b.status, b.set = res.Header, res.StatusCode, map[string]*http.Cookie{}
	for _, c := range res.Cookies() {
		if b.set[c.Name] != nil {
			b.t.Errorf("%s is set twice in one response", c.Name)
		}
		if size := len(c.Name) + len(c.Value); size > 4093 {
			b.t.Errorf("%s and its value have %d bytes", c.Name, size)
		}
		b.set[c.Name] = c
		had := slices.ContainsFunc(b.cookies, func(old *http.Cookie) bool { return old.Name == c.Name })
		b.cookies = slices.DeleteFunc(b.cookies, func(old *http.Cookie) bool { return old.Name == c.Name })
		if c.MaxAge >= 0 {
			b.cookies = append(b.cookies, c)
		} else if !had {
			b.t.Errorf("%s, which the browser did not have, is expired", c.Name)
		}
	}
}

func (b *browser) names() []string {
	var names []string
	for _, c := range b.cookies {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}

// expired returns the names of the cookies that the last response expired.
func (b *browser) expired() []string {
	var names []string
	for name, c := range b.set {
		if c.MaxAge < 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (b *browser) get(key string) (got any) {
	b.t.Helper()
	b.visit(func(s *sessions.Session) { got = s.Get(key) })
	return got
}

func (b *browser) put(key string, value any) {
	b.t.Helper()
	b.visit(func(s *sessions.Session) { s.Set(key, value) })
}

func TestCarrierLoadsASessionAsItWasSaved(t *testing.T) {
	b := newBrowser(t, securecookie.CarrierOptions{})
	var id string
	var created time.Time
	b.visit(func(s *sessions.Session) {
		if !s.New() || s.Modified() || len(s.ID()) != 32 {
			t.Errorf("first: %v", s)
		}
		s.SetAll(maps.All(map[string]any{"n": 42, "name": "Zoë\x00", "list": []any{"a", nil, 1.5}}))
		s.SetOwner("zoë; =,\"")
		s.SetIdleTimeout(time.Hour)
		id, created = s.ID(), s.Created()
	})
	b.visit(func(s *sessions.Session) {
		if s.New() || s.Modified() || s.ID() != id || !s.Created().Equal(created) || s.Owner() != "zoë; =,\"" || s.IdleTimeout() != time.Hour {
			t.Errorf("loaded: %v, owner %q, %v", s, s.Owner(), s.IdleTimeout())
		}
		if got := fmt.Sprint(maps.Collect(s.All())); got != "map[list:[a <nil> 1.5] n:42 name:Zoë\x00]" {
			t.Errorf("got %q", got)
		}
	})
	if len(b.set) != 0 {
		t.Errorf("a request that only read set %v", b.set)
	}
}

func TestCarrierSetsASafeCookieByDefault(t *testing.T) {
	b := newBrowser(t, securecookie.CarrierOptions{})
	b.put("a", 1)
	c := b.set["__Host-session"]
	if c == nil || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 {
		t.Errorf("got %v", c)
	}
	if b.header.Get("Cache-Control") != "no-store" || b.header.Get("Vary") != "Cookie" {
		t.Errorf("got %v", b.header)
	}
	b.get("a")
	if b.header.Get("Vary") != "Cookie" || b.header.Get("Cache-Control") != "private" {
		t.Errorf("a request that only reads: got %v", b.header)
	}
	b.request(http.NotFoundHandler())
	if b.header.Get("Vary") != "" {
		t.Errorf("a request that does not: got %v", b.header)
	}
}

func TestCommitWritesNoNewSessionWithoutValues(t *testing.T) {
	b := newBrowser(t, securecookie.CarrierOptions{})
	for name, use := range map[string]func(*sessions.Session){
		"looked at":         func(s *sessions.Session) { s.Get("a") },
		"cleared":           (*sessions.Session).Clear,
		"renewed":           (*sessions.Session).Renew,
		"destroyed":         (*sessions.Session).Destroy,
		"set and popped":    func(s *sessions.Session) { s.Set("a", 1); s.Pop("a") },
		"a flash come back": func(s *sessions.Session) { s.AddFlash("a"); s.Flashes() },
	} {
		b.visit(use)
		if len(b.set) != 0 {
			t.Errorf("%s: set %v", name, b.set)
		}
	}
}

func TestCommitWritesASessionWithAnOwnerAndNoValues(t *testing.T) {
	b := newBrowser(t, securecookie.CarrierOptions{})
	owner := ""
	look := func(s *sessions.Session) { owner = s.Owner() }
	b.visit(func(s *sessions.Session) { s.Login("ann"); s.AddFlash("welcome") })
	b.visit(func(s *sessions.Session) { s.Flashes() })
	if b.visit(look); owner != "ann" {
		t.Errorf("after its flash was shown the owner is %q", owner)
	}
	b.visit((*sessions.Session).Clear)
	if b.visit(look); owner != "" || len(b.cookies) != 0 {
		t.Errorf("cleared, the owner is %q, with %d cookies", owner, len(b.cookies))
	}
	b.visit(func(s *sessions.Session) { s.Login("bob") })
	if b.visit(look); owner != "bob" {
		t.Errorf("after a login without values the owner is %q", owner)
	}
}

func TestCommitDestroysAnEmptiedSession(t *testing.T) {
	for name, use := range map[string]func(*sessions.Session){
		"cleared":   (*sessions.Session).Clear,
		"destroyed": (*sessions.Session).Destroy,
		"popped":    func(s *sessions.Session) { s.Pop("a") },
		"renewed":   func(s *sessions.Session) { s.Renew(); s.Delete("a") },
	} {
		for size, want := range map[int]int{10: 1, 9000: 3} {
			b := newBrowser(t, securecookie.CarrierOptions{})
			b.put("a", strings.Repeat("x", size))
			if len(b.cookies) != want {
				t.Errorf("%s, %d bytes: %d cookies, want %d", name, size, len(b.cookies), want)
			}
			b.visit(use)
			if len(b.expired()) != want || len(b.cookies) != 0 || b.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %d bytes: expired %v, left %v", name, size, b.expired(), b.names())
			}
		}
	}
}

func TestRenewAndDestroyChangeTheID(t *testing.T) {
	b := newBrowser(t, securecookie.CarrierOptions{})
	var seen []string
	see := func(s *sessions.Session) { seen = append(seen, s.ID()) }
	b.put("a", 1)
	b.visit(see)
	b.visit(func(s *sessions.Session) { s.Renew() })
	b.visit(see)
	b.visit(func(s *sessions.Session) { s.Destroy(); s.AddFlash("bye") })
	b.visit(func(s *sessions.Session) {
		see(s)
		if fmt.Sprint(s.Flashes()) != "[bye]" || s.Get("a") != nil {
			t.Error("want the farewell alone")
		}
	})
	b.visit(func(s *sessions.Session) { see(s); s.Set("b", 1) })
	for i, id := range seen {
		if slices.Index(seen, id) != i || len(id) != 32 {
			t.Errorf("the ID after step %d is %d characters, or came before", i, len(id))
		}
	}
}

func TestCommitThatFailsSetsNothingAndLeavesTheSession(t *testing.T) {
	b := newBrowser(t, withMaxCookies(1))
	b.put("a", "kept")
	carrier := b.carrier
	for _, row := range []struct {
		name  string
		value any
		want  func(error) bool
	}{
		{"too large", strings.Repeat("x", 3000), func(err error) bool { return errors.Is(err, sessions.ErrTooLarge) }},
		{"larger than anything", strings.Repeat("x", 1<<20), func(err error) bool { return errors.Is(err, sessions.ErrTooLarge) }},
		{"not encodable", func() {}, func(err error) bool { return errors.As(err, new(*sessions.ValueError)) }},
	} {
		b.put("b", row.value)
		if b.status != 500 || len(b.set) != 0 || b.get("a") != "kept" || b.get("b") != nil {
			t.Errorf("%s: status %d, set %v", row.name, b.status, b.set)
		}
		s := carrier.New()
		s.Set("b", row.value)
		w := httptest.NewRecorder()
		err := carrier.Commit(w, httptest.NewRequest("GET", "/", nil), s)
		if !row.want(err) || !s.New() || !s.Modified() || w.Header().Get("Set-Cookie") != "" || strings.Contains(err.Error(), "xx") {
			t.Errorf("%s: got %.200v, %v", row.name, err, s)
		}
	}
}

func TestCarrierRefusesTheSessionsOfAStore(t *testing.T) {
	carrier := newCarrier(t, newRing(t, "test"), securecookie.CarrierOptions{})
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: filepath.Join(t.TempDir(), "sessions")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for name, s := range map[string]*sessions.Session{
		"of files":       store.New(),
		"of another one": newCarrier(t, newRing(t, "another"), securecookie.CarrierOptions{}).New(),
	} {
		s.Set("a", 1)
		err := carrier.Commit(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), s)
		if !errors.Is(err, sessions.ErrForeign) || !s.New() || !s.Modified() {
			t.Errorf("%s: got %v, want ErrForeign", name, err)
		}
		if _, err := carrier.Serialize(s, time.Time{}); !errors.Is(err, sessions.ErrForeign) {
			t.Errorf("%s: Serialize: got %v, want ErrForeign", name, err)
		}
	}
}

func TestCommitTwiceInOneResponseLeavesTheSecondsCookies(t *testing.T) {
	b := newBrowser(t, securecookie.CarrierOptions{})
	for _, sizes := range [][2]int{{9000, 10}, {10, 9000}, {9000, 4000}, {9000, 0}} {
		b.cookies = nil
		var want string
		b.request(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := b.carrier.New()
			for _, size := range sizes {
				if want = strings.Repeat("x", size); size > 0 {
					s.Set("a", want)
				} else {
					s.Clear()
				}
				if err := b.carrier.Commit(w, r, s); err != nil {
					t.Error(err)
				}
			}
			// Cookies of the first commit that the second does not need are
			// expired, in case the browser has them; this one has not.
			w.Header()["Set-Cookie"] = slices.DeleteFunc(w.Header()["Set-Cookie"], func(line string) bool { return strings.Contains(line, "Max-Age=0") })
		}))
		if got, _ := b.get("a").(string); got != want {
			t.Errorf("%v: got %d bytes", sizes, len(got))
		}
	}
}

func TestCommitLeavesOtherCookiesOfTheResponse(t *testing.T) {
	b := newBrowser(t, securecookie.CarrierOptions{})
	b.request(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding")
		w.Header().Set("Cache-Control", "private")
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
		http.SetCookie(w, &http.Cookie{Name: "__Host-sessions", Value: "x"})
		s, err := b.carrier.Load(r)
		if err != nil {
			t.Fatal(err)
		}
		s.Set("a", 1)
		if err := b.carrier.Commit(w, r, s); err != nil {
			t.Fatal(err)
		}
	}))
	if got := fmt.Sprint(b.names()); got != "[__Host-session __Host-sessions theme]" {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(b.header["Vary"], b.header["Cache-Control"]); got != "[Accept-Encoding Cookie] [private no-store]" {
		t.Errorf("got %s", got)
	}
}

func TestCarrierKeepsTheCodecOfASession(t *testing.T) {
	ring := newRing(t, "test")
	type point struct{ X, Y int }
	b := &browser{t: t, carrier: newCarrier(t, ring, securecookie.CarrierOptions{Codec: sessions.Gob(point{})})}
	b.put("p", point{1, 2})
	if got := b.get("p"); got != (point{1, 2}) {
		t.Errorf("gob: got %v", got)
	}
	b.carrier = newCarrier(t, ring, securecookie.CarrierOptions{}) // JSON now
	b.put("q", point{3, 4})
	if p, q := b.get("p"), b.get("q"); p != (point{1, 2}) || q != (point{3, 4}) {
		t.Errorf("gob, read by a carrier of JSON: got %v, %v", p, q)
	}
	b.cookies = nil
	b.carrier = newCarrier(t, ring, securecookie.CarrierOptions{Codec: upperCodec{sessions.JSON()}})
	b.put("a", "x")
	if got := b.get("a"); got != "x" {
		t.Errorf("custom: got %v", got)
	}
	b.carrier = newCarrier(t, ring, securecookie.CarrierOptions{})
	b.visit(func(s *sessions.Session) {
		if !s.New() {
			t.Error("a session of a codec that nobody knows was loaded")
		}
	})
}

// upperCodec is a codec of one's own.
type upperCodec struct{ sessions.Codec }

func (upperCodec) Name() string { return "upper" }

func TestSaveAfterTheHeaderIsSentIsRefused(t *testing.T) {
	b := newBrowser(t, securecookie.CarrierOptions{})
	mw, err := sessions.NewMiddleware(b.carrier, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b.request(mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Set("a", 1)
		io.WriteString(w, "begun")
		s.Set("a", 2)
		if err := sessions.Save(r.Context()); err == nil {
			t.Error("a late save was taken for good")
		}
	})))
	if got := b.get("a"); got != int64(1) {
		t.Errorf("got %v", got)
	}
}

func TestCarrierRefusesATimeoutThatNoDurationHolds(t *testing.T) {
	for seconds, ok := range map[uint64]bool{0: true, math.MaxInt64 / 1_000_000_000: true, math.MaxInt64/1_000_000_000 + 1: false, math.MaxInt64: false, math.MaxUint64: false} {
		b := append([]byte{1}, make([]byte, 16+8+1+1)...)
		b = binary.AppendUvarint(b, seconds)
		b = append(b, "\x00\x00\x00\x04json{}"...)
		_, rec, got := securecookie.ParseSession(b)
		if got != ok || rec.IdleTimeout < 0 {
			t.Errorf("%d seconds: got %v, %v", seconds, rec.IdleTimeout, got)
		}
	}
}

// A session under an old key is sealed under the first one by the next save, and by
// the next renewal on access.
func TestCarrierSealsUnderTheFirstKey(t *testing.T) {
	old, current := securecookie.GenerateKey(), securecookie.GenerateKey()
	for name, use := range map[string]func(*sessions.Session){
		"a save":              func(s *sessions.Session) { s.Set("b", 2) },
		"a renewal on access": func(s *sessions.Session) { s.Get("a") },
	} {
		now := time.Now()
		carrier := func(keys ...securecookie.Key) *securecookie.Carrier {
			ring := newRing(t, "test", keys...)
			ring.SetNow(func() time.Time { return now })
			return newCarrier(t, ring, securecookie.CarrierOptions{CookieOptions: sessions.CookieOptions{RenewOnAccess: time.Minute}})
		}
		b := &browser{t: t, carrier: carrier(old)}
		b.put("a", 1)
		now = now.Add(time.Hour)
		b.carrier = carrier(current, old)
		b.visit(use)
		b.carrier = carrier(current)
		if got := b.get("a"); got != int64(1) {
			t.Errorf("after %s, the old key dropped: a = %v", name, got)
		}
	}
}
