package securecookie_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

func TestNewCarrierRefusesOptionsWithAllThatIsWrong(t *testing.T) {
	ring := newRing(t, "test")
	cookie := func(c http.Cookie) sessions.CookieOptions { return sessions.CookieOptions{Cookie: c} }
	for _, row := range []struct {
		ring *securecookie.KeyRing
		o    securecookie.CarrierOptions
		want []string // none: accepted
	}{
		{ring, securecookie.CarrierOptions{}, nil},
		{ring, named("s"), nil},
		{ring, named(strings.Repeat("s", 256)), nil},
		{ring, securecookie.CarrierOptions{IdleTimeout: time.Second, Lifetime: time.Second, MaxCookies: securecookie.MaxChunks}, nil},
		{ring, securecookie.CarrierOptions{CookieOptions: cookie(http.Cookie{Partitioned: true}), MaxCookies: 2}, nil},
		{ring, named("session-x"), nil},
		{ring, named("session-01"), nil},
		{ring, named("session-100"), nil},
		{nil, securecookie.CarrierOptions{}, []string{"the key ring has no keys"}},
		{new(securecookie.KeyRing), securecookie.CarrierOptions{}, []string{"the key ring has no keys"}},
		{newRing(t, ""), securecookie.CarrierOptions{}, []string{"the key ring has no Audience"}},
		{newRing(t, ""), withMaxCookies(-1), []string{"the key ring has no Audience", "MaxCookies is negative"}},
		{ring, named(strings.Repeat("s", 257)), []string{"longer than 256"}},
		{ring, named("a b"), []string{"Name"}},
		{ring, named("session-1"), []string{"ends in a hyphen and a number"}},
		{ring, securecookie.CarrierOptions{IdleTimeout: -1, Lifetime: -1, MaxCookies: -1}, []string{"IdleTimeout is less", "Lifetime is less", "MaxCookies is negative"}},
		{ring, securecookie.CarrierOptions{IdleTimeout: sessions.Never, Lifetime: sessions.Never}, []string{"IdleTimeout is Never", "Lifetime is Never"}},
		{ring, securecookie.CarrierOptions{IdleTimeout: time.Second - 1, Lifetime: 1, MaxCookies: 21}, []string{"IdleTimeout is less", "Lifetime is less", "MaxCookies is more than 20"}},
		{ring, securecookie.CarrierOptions{CookieOptions: cookie(http.Cookie{Partitioned: true}), MaxCookies: 3}, []string{"MaxCookies is more than 2"}},
		{ring, securecookie.CarrierOptions{CookieOptions: sessions.CookieOptions{RenewOnAccess: time.Hour}, IdleTimeout: time.Hour}, []string{"RenewOnAccess is not less"}},
		{ring, securecookie.CarrierOptions{CookieOptions: sessions.CookieOptions{RenewOnAccess: -1, Cookie: http.Cookie{MaxAge: -1}}}, []string{"RenewOnAccess is negative", "MaxAge is negative"}},
		{ring, securecookie.CarrierOptions{Codec: badCodec{sessions.JSON()}}, []string{"Codec has the name"}},
	} {
		carrier, err := securecookie.NewCarrier(row.ring, row.o)
		if (err == nil) != (row.want == nil) || (carrier == nil) != (err != nil) {
			t.Errorf("want %q: got %v", row.want, err)
		}
		for _, want := range row.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		}
		if err != nil && !strings.HasPrefix(err.Error(), "securecookie: ") {
			t.Errorf("got %v", err)
		}
	}
}

// Two applications with one key, and the same defaults.
func TestCarrierOfAnotherAudienceOpensNothing(t *testing.T) {
	key := securecookie.GenerateKey()
	shop := newCarrier(t, newRing(t, "shop", key), securecookie.CarrierOptions{})
	blog := newCarrier(t, newRing(t, "blog", key), securecookie.CarrierOptions{})
	for _, size := range []int{1, 5_000} { // in one cookie, and in two
		b := &browser{t: t, carrier: shop}
		b.put("a", strings.Repeat("x", size))
		if got, _ := b.get("a").(string); len(got) != size {
			t.Errorf("%d bytes: got %d in the same application", size, len(got))
		}
		b.carrier = blog
		if got := b.get("a"); got != nil {
			t.Errorf("%d bytes: another application opened them", size)
		}
	}
}

type badCodec struct{ sessions.Codec }

func (badCodec) Name() string { return "Bad Name" }

func TestNotBeforeRefusesWhatIsOlder(t *testing.T) {
	var from time.Time
	var failure error
	asked := 0
	b := newBrowser(t, securecookie.CarrierOptions{NotBefore: func(_ context.Context, owner string) (time.Time, error) {
		if asked++; owner != "ann" {
			t.Errorf("asked for %q", owner)
		}
		return from, failure
	}})
	b.put("a", 1) // without an owner
	if b.get("a"); asked != 0 {
		t.Error("asked for a session without an owner")
	}
	b.visit(func(s *sessions.Session) { s.Renew(); s.SetOwner("ann") })
	stolen := slices.Clone(b.cookies)
	if b.get("a") != int64(1) || asked != 1 {
		t.Errorf("the zero Time refused, or %d calls", asked)
	}

	// Ann logs out everywhere but here, while a slow request of the thief's is
	// still running: its response must not bring the old session back.
	thief := &browser{t: t, carrier: b.carrier, cookies: stolen}
	thief.visit(func(s *sessions.Session) {
		s.Set("b", 2)
		b.visit(func(s *sessions.Session) {
			from = time.Now()
			s.Renew()
		})
	})
	if thief.get("a") != nil || (&browser{t: t, carrier: b.carrier, cookies: stolen}).get("a") != nil {
		t.Error("an old session came back")
	}
	if b.get("a") != int64(1) {
		t.Error("the renewed session is gone")
	}
	var created time.Time
	b.visit(func(s *sessions.Session) { created = s.Created() })
	from = created
	if b.get("a") != int64(1) {
		t.Error("refused what was made at that very instant")
	}
	if from = created.Add(1); b.get("a") != nil {
		t.Error("accepted what was made a nanosecond before")
	}
	failure = errors.New("the database is down")
	if b.get("a"); b.status != 500 {
		t.Error("a failure passed for a session that is not there")
	}
	s, err := b.carrier.Unserialize(t.Context(), b.cookies[0].Value)
	if s != nil || !errors.Is(err, failure) || !strings.HasPrefix(err.Error(), "securecookie: ") {
		t.Errorf("got %v, %v", s, err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(b.cookies[0])
	if s, err := b.carrier.Load(r); s != nil || !errors.Is(err, failure) {
		t.Errorf("got %v, %v", s, err)
	}
}
