package securecookie_test

import (
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

func TestCookieIsValidInItsTime(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	var none time.Time
	const ms = time.Millisecond
	for _, row := range []struct {
		name                   string
		issued, idle, absolute time.Time
		ok                     bool
	}{
		{"no expiry", now, none, none, true},
		{"both in the future", now, at(ms), at(ms), true},
		{"idle now", now, now, at(time.Hour), false},
		{"idle a moment ago", now, at(-ms), at(time.Hour), false},
		{"idle alone in the past", now, at(-time.Hour), none, false},
		{"absolute now", now, at(time.Hour), now, false},
		{"absolute a moment ago", now, at(time.Hour), at(-ms), false},
		{"absolute alone in the past", now, none, at(-time.Hour), false},
		{"idle at the epoch is not none", now, time.Unix(0, 0), none, false},
		{"absolute at the epoch is not none", now, none, time.Unix(0, 0), false},
		{"issued long ago", time.Unix(0, 0), none, none, true},
		{"issued within the leeway", at(securecookie.Leeway), none, none, true},
		{"issued beyond the leeway", at(securecookie.Leeway + ms), none, none, false},
		{"issued tomorrow", at(24 * time.Hour), none, none, false},
		{"an idle expiry in the year 9999", now, time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), none, true},
		{"another zone", now.In(time.FixedZone("", 3600)), at(time.Hour).In(time.FixedZone("", -3600)), none, true},
	} {
		ring := newRing(t, "")
		ring.SetNow(func() time.Time { return now })
		want := securecookie.Times{IssuedAt: row.issued, Idle: row.idle, Absolute: row.absolute}
		value := seal(t, ring, "session", []byte("x"), want)
		if !row.ok {
			mustRefuse(t, ring, "session", value, row.name)
			continue
		}
		_, got, err := ring.OpenCookie("session", value)
		if err != nil || !got.IssuedAt.Equal(want.IssuedAt) || !got.Idle.Equal(want.Idle) || !got.Absolute.Equal(want.Absolute) {
			t.Errorf("%s: got %v, %v, want %v", row.name, got, err, want)
		}
		if got.Idle.IsZero() != want.Idle.IsZero() || got.Absolute.IsZero() != want.Absolute.IsZero() {
			t.Errorf("%s: got %v, want none where it was none", row.name, got)
		}
	}
}

func TestIssueTimeIsNowByDefault(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	ring := newRing(t, "")
	ring.SetNow(func() time.Time { return now })
	_, got, err := ring.OpenCookie("session", seal(t, ring, "session", nil, securecookie.Times{}))
	if want := now.Truncate(time.Millisecond); err != nil || !got.IssuedAt.Equal(want) {
		t.Errorf("got %v, %v, want %v", got.IssuedAt, err, want)
	}
}

func TestCookieExpiresWhileItLies(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ring := newRing(t, "")
	ring.SetNow(func() time.Time { return now })
	value := seal(t, ring, "session", nil, securecookie.Times{Idle: now.Add(time.Second)})
	if _, _, err := ring.OpenCookie("session", value); err != nil {
		t.Error(err)
	}
	now = now.Add(time.Second)
	mustRefuse(t, ring, "session", value, "expired")
}

func TestSealCookieRefusesTimesOutOfRange(t *testing.T) {
	ring := newRing(t, "")
	for _, bad := range []time.Time{
		time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Unix(1<<62, 0), // UnixMilli overflows
	} {
		for i, times := range []securecookie.Times{{IssuedAt: bad}, {Idle: bad}, {Absolute: bad}} {
			if value, err := ring.SealCookie("session", nil, times); err == nil || value != "" {
				t.Error(fmt.Sprint("sealed a time out of range: ", bad, i))
			}
		}
	}
}

func TestCommitRefusesASessionWhoseLifetimeHasEndedSinceTheLoad(t *testing.T) {
	for name, row := range map[string]struct {
		change func(s *sessions.Session)
		want   error
		set    int // cookies
	}{
		"set":                    {func(s *sessions.Session) { s.Set("b", 1) }, sessions.ErrDeleted, 0},
		"renew":                  {func(s *sessions.Session) { s.Renew() }, sessions.ErrDeleted, 0},
		"a timeout of its own":   {func(s *sessions.Session) { s.SetIdleTimeout(1000 * time.Hour) }, sessions.ErrDeleted, 0},
		"destroy":                {func(s *sessions.Session) { s.Destroy() }, nil, 1},
		"destroy and a farewell": {func(s *sessions.Session) { s.Destroy(); s.AddFlash("Good bye") }, nil, 1},
		"nothing":                {func(*sessions.Session) {}, nil, 0},
	} {
		ring, now := clock(t)
		b := &browser{t: t, carrier: newCarrier(t, ring, securecookie.CarrierOptions{Lifetime: time.Hour})}
		b.put("a", 1)
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(b.cookies[0])
		s, err := b.carrier.Load(r)
		if err != nil || s.New() {
			t.Fatalf("Load = %v, %v", s, err)
		}
		*now = now.Add(time.Hour + time.Second) // a session's creation is by the real clock
		row.change(s)
		w := httptest.NewRecorder()
		if err := b.carrier.Commit(w, r, s); !errors.Is(err, row.want) {
			t.Errorf("%s: Commit = %v, want %v", name, err, row.want)
		}
		if got := len(w.Result().Cookies()); got != row.set {
			t.Errorf("%s: %d cookies are set, want %d", name, got, row.set)
		}
		if _, err := b.carrier.Serialize(s, time.Time{}); row.want != nil && !errors.Is(err, row.want) {
			t.Errorf("%s: Serialize = %v, want %v", name, err, row.want)
		}
	}
}

func TestTimeoutsOfAllLengthsHoldInCookies(t *testing.T) {
	const years = 365 * 24 * time.Hour
	for _, row := range []struct{ maxAge, lifetime, own time.Duration }{
		{math.MaxInt64 - 1, math.MaxInt64 - 1, 0}, {math.MaxInt64 - 1, math.MaxInt64 - 1, math.MaxInt64},
		{time.Hour, 240 * years, 240 * years}, {math.MaxInt64 - 1, 1<<62 + 1, 1},
	} {
		ring, now := clock(t)
		b := &browser{t: t, carrier: newCarrier(t, ring, securecookie.CarrierOptions{IdleTimeout: row.maxAge, Lifetime: row.lifetime})}
		for i := range 3 {
			b.visit(func(s *sessions.Session) {
				if s.New() != (i == 0) {
					t.Errorf("%v: visit %d: new %v", row, i, s.New())
				}
				s.SetIdleTimeout(row.own)
				s.Set("i", i)
			})
			if age := b.set["__Host-session"].MaxAge; age < 0 || age > 400*24*3600 || row.own > time.Hour && age != 400*24*3600 {
				t.Errorf("%v: the cookie's MaxAge is %d", row, age)
			}
			if row.own != 1 {
				*now = now.Add(50 * years)
			}
		}
		if b.get("i") == nil {
			t.Errorf("%v: the session has ended", row)
		}
	}
}
