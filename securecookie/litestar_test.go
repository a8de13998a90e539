package securecookie_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

// The assertions of Litestar's and Starlite's tests of client-side sessions.

func TestLitestarSecretSizes(t *testing.T) {
	// Theirs are AES keys of 16, 24 or 32 bytes. Ours are master keys of 256
	// bits or more, so 16 and 24 are refused, too, and 100 is not.
	for n, ok := range map[int]bool{0: false, 4: false, 16: false, 17: false, 24: false, 32: true, 100: true} {
		if _, err := securecookie.NewKey(bytes.Repeat([]byte{7}, n)); (err == nil) != ok {
			t.Errorf("%d bytes: got %v", n, err)
		}
		if _, err := securecookie.KeyFromSecret(strings.Repeat("s", n)); (err == nil) != ok {
			t.Errorf("secret of %d bytes: got %v", n, err)
		}
	}
}

func TestLitestarNoKeyAndNoMaxAgeMeanTheDefaults(t *testing.T) {
	// Theirs refuses both. No option set must not mean a cookie without a
	// name, or a session without an end.
	ring, now := clock(t)
	b := &browser{t: t, carrier: newCarrier(t, ring, securecookie.CarrierOptions{})}
	b.put("a", 1)
	if got := fmt.Sprint(b.names()); got != "[__Host-session]" {
		t.Errorf("got %s", got)
	}
	*now = now.Add(14*24*time.Hour - time.Second)
	if b.get("a") == nil {
		t.Error("over before 14 days")
	}
	*now = now.Add(time.Second)
	if b.get("a") != nil {
		t.Error("not over after 14 days")
	}
}

func TestLitestarDumpAndLoadSmallAndLarge(t *testing.T) {
	carrier := newCarrier(t, newRing(t, "test"), withMaxCookies(1))
	for _, size := range []int{1, 1024, 50_000} {
		s := carrier.New()
		s.Set("key", strings.Repeat("v", size))
		value, err := carrier.Serialize(s, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := carrier.Unserialize(t.Context(), value)
		if err != nil || got.Get("key") != s.Get("key") || got.Len() != 1 {
			t.Errorf("%d: got %v, %v", size, got, err)
		}
	}
}

func TestLitestarLargeSessionNeedsMoreThanTwoCookiesAndASmallOneOne(t *testing.T) {
	b := newBrowser(t, named("session"))
	b.put("key", "small")
	if got := fmt.Sprint(b.names()); got != "[session]" {
		t.Errorf("small: %s", got)
	}
	b.put("key", strings.Repeat("x", 9000)) // growth past one chunk clears the single cookie
	if got := fmt.Sprint(b.names(), b.expired()); got != "[session-0 session-1 session-2] [session]" {
		t.Errorf("large: %s", got)
	}
	b.put("key", strings.Repeat("x", 5000))
	if got := fmt.Sprint(b.names(), b.expired()); got != "[session-0 session-1] [session-2]" {
		t.Errorf("smaller: %s", got)
	}
	b.put("key", "small again")
	if got := fmt.Sprint(b.names(), b.expired()); got != "[session] [session-0 session-1]" {
		t.Errorf("small again: %s", got)
	}
	if b.get("key") != "small again" {
		t.Error("lost")
	}
}

func TestLitestarExpiredSessionIsEmpty(t *testing.T) {
	for name, row := range map[string]struct {
		o    securecookie.CarrierOptions
		own  time.Duration
		last time.Duration // in which it still lives
	}{
		"idle":     {securecookie.CarrierOptions{IdleTimeout: time.Hour}, 0, time.Hour},
		"lifetime": {securecookie.CarrierOptions{IdleTimeout: time.Hour, Lifetime: time.Minute}, 0, time.Minute},
		"its own":  {securecookie.CarrierOptions{IdleTimeout: time.Hour}, 2 * time.Hour, 2 * time.Hour},
		"shorter":  {securecookie.CarrierOptions{IdleTimeout: time.Hour}, time.Minute, time.Minute},
		"both":     {securecookie.CarrierOptions{Lifetime: time.Hour}, 2 * time.Hour, time.Hour},
	} {
		ring, now := clock(t)
		b := &browser{t: t, carrier: newCarrier(t, ring, row.o)}
		b.visit(func(s *sessions.Session) { s.Set("a", 1); s.SetIdleTimeout(row.own) })
		*now = now.Add(row.last - time.Second)
		if b.get("a") == nil {
			t.Errorf("%s: over too early", name)
		}
		*now = now.Add(2 * time.Second)
		b.visit(func(s *sessions.Session) {
			if s.Get("a") != nil || !s.New() || s.Len() != 0 {
				t.Errorf("%s: not over: %v", name, s)
			}
		})
	}
}

func TestTimeoutsThatWereShortenedCountAtOnce(t *testing.T) {
	for name, shorter := range map[string]securecookie.CarrierOptions{"idle": {IdleTimeout: time.Minute}, "lifetime": {Lifetime: time.Minute}} {
		ring, now := clock(t)
		b := &browser{t: t, carrier: newCarrier(t, ring, securecookie.CarrierOptions{})}
		b.put("a", 1)
		*now = now.Add(2 * time.Minute)
		if b.get("a") == nil {
			t.Errorf("%s: over before", name)
		}
		if b.carrier = newCarrier(t, ring, shorter); b.get("a") != nil {
			t.Errorf("%s: not over", name)
		}
	}
}

func TestLitestarRenewOnAccessExtends(t *testing.T) {
	ring, now := clock(t)
	o := securecookie.CarrierOptions{IdleTimeout: time.Hour}
	o.RenewOnAccess = time.Minute
	o.Cookie.MaxAge = 3600
	b := &browser{t: t, carrier: newCarrier(t, ring, o)}
	b.put("a", strings.Repeat("x", 5000))
	var ids []string
	for range 5 {
		*now = now.Add(50 * time.Minute)
		b.visit(func(s *sessions.Session) { ids = append(ids, s.ID()) })
		if len(b.set) != 2 || b.set["__Host-session-0"].MaxAge != 3600 || len(b.cookies) != 2 {
			t.Errorf("not renewed: set %v", b.set)
		}
		*now = now.Add(59 * time.Second)
		if b.get("a"); len(b.set) != 0 {
			t.Error("renewed more often than asked")
		}
	}
	if b.get("a") == nil || len(slices.Compact(ids)) != 1 {
		t.Errorf("gone, or another one: %d IDs", len(slices.Compact(ids)))
	}
	b.carrier = newCarrier(t, ring, securecookie.CarrierOptions{IdleTimeout: time.Hour})
	*now = now.Add(50 * time.Minute)
	if b.get("a"); len(b.set) != 0 {
		t.Error("renewed unasked")
	}
	*now = now.Add(time.Hour)
	if b.get("a") != nil {
		t.Error("not over")
	}
}

func TestLifetimeIsNotExtendedByUse(t *testing.T) {
	ring, now := clock(t)
	b := &browser{t: t, carrier: newCarrier(t, ring, securecookie.CarrierOptions{Lifetime: time.Hour})}
	for i := range 6 {
		b.visit(func(s *sessions.Session) {
			if s.New() != (i == 0) {
				t.Errorf("visit %d: new %v", i, s.New())
			}
			s.Set("i", i)
		})
		*now = now.Add(11 * time.Minute)
	}
	if b.get("i") != nil {
		t.Error("lives on")
	}
}

func TestCookieMaxAgeFollowsTheSessionsIdleTimeout(t *testing.T) {
	o := named("session")
	o.Cookie.MaxAge = 60
	o.Lifetime = 1000 * 24 * time.Hour // which no cookie outlives
	b := newBrowser(t, o)
	for own, want := range map[time.Duration]int{0: 60, time.Hour: 3600, 500 * 24 * time.Hour: 400 * 24 * 3600} {
		b.visit(func(s *sessions.Session) { s.SetIdleTimeout(own); s.Set("a", 1) })
		if got := b.set["session"].MaxAge; got != want {
			t.Errorf("%v: got %d, want %d", own, got, want)
		}
	}
}

func TestLitestarSimilarNamesAreLeftAlone(t *testing.T) {
	b := newBrowser(t, named("session"))
	similar := []string{
		"thisisnnotasessioncookie", "session_", "session_7", "sessions", "session-", "session-a", "session-00", "session-01", "session-+1", "session--1", "session-1a",
		"session-20", "session-100", "session-1000000000", "session-18446744073709551617", "Session", "SESSION-0", "xsession", "-0", "session-0-0", "session.0", "session-٣",
	}
	b.put("a", strings.Repeat("x", 9000))
	for _, name := range similar {
		b.cookies = append(b.cookies, &http.Cookie{Name: name, Value: "theirs"}, &http.Cookie{Name: "other" + name, Value: b.cookies[0].Value})
	}
	if b.get("a") == nil {
		t.Error("disturbed")
	}
	b.visit((*sessions.Session).Destroy)
	if got := fmt.Sprint(b.expired()); got != "[session-0 session-1 session-2]" || len(b.cookies) != 2*len(similar) {
		t.Errorf("expired %s, %d left", got, len(b.cookies))
	}
}

func TestLitestarTamperedSessionIsRefused(t *testing.T) {
	b := newBrowser(t, named("session"))
	b.put("a", 1)
	value := b.cookies[0].Value
	for i := range value {
		changed := []byte(value)
		changed[i] ^= 1
		b.cookies = []*http.Cookie{{Name: "session", Value: string(changed)}}
		b.visit(func(s *sessions.Session) {
			if !s.New() || s.Len() != 0 {
				t.Errorf("character %d changed: loaded %v", i, s)
			}
		})
		if len(b.set) != 0 {
			t.Fatal("the cookies of another key were taken away by a look at them")
		}
	}
	b.put("b", 2) // over it
	if b.get("a") != nil || b.get("b") != int64(2) || len(b.cookies) != 1 {
		t.Errorf("left %v", b.names())
	}
}

func TestLitestarIDsStayAndAreIsolated(t *testing.T) {
	one := newBrowser(t, named("session"))
	two := &browser{t: t, carrier: one.carrier}
	var ids [2][]string
	for i, b := range []*browser{one, two} {
		b.put("who", i)
		for range 3 {
			b.visit(func(s *sessions.Session) { ids[i] = append(ids[i], s.ID()) })
		}
	}
	if len(slices.Compact(ids[0])) != 1 || len(slices.Compact(ids[1])) != 1 || ids[0][0] == ids[1][0] {
		t.Error("IDs changed, or are the same")
	}
	for range 2 { // twice is fine
		one.visit((*sessions.Session).Destroy)
	}
	if one.get("who") != nil || two.get("who") != int64(1) {
		t.Error("one took the other along")
	}
}

func TestLitestarNoneSetClearSet(t *testing.T) {
	b := newBrowser(t, named("session"))
	var first, second string
	b.visit(func(s *sessions.Session) {
		if s.Len() != 0 {
			t.Error("not none")
		}
	})
	b.put("a", 1)
	b.visit(func(s *sessions.Session) { first = s.ID() })
	b.visit((*sessions.Session).Clear)
	if len(b.cookies) != 0 {
		t.Errorf("the browser keeps %v", b.names())
	}
	b.put("a", 2)
	b.visit(func(s *sessions.Session) { second = s.ID() })
	if first == second || first == "" {
		t.Error("the second ID is the first")
	}
}

func TestLitestarExcludedRequestsGetNoSession(t *testing.T) {
	b := newBrowser(t, named("session"))
	b.put("a", 1)
	mw, err := sessions.NewMiddleware(b.carrier, sessions.MiddlewareOptions{Exclude: []string{"/"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	look := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := sessions.LookupContext(r.Context()); ok {
			t.Error("excluded, and has a session")
		}
	})
	b.request(mw.Wrap(look))
	mw, err = sessions.NewMiddleware(b.carrier, sessions.MiddlewareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.request(mw.Wrap(sessions.Skip(look)))
	if b.get("a") == nil {
		t.Error("lost")
	}
}
