package redisstore_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/securecookie"
)

// With RenewOnAccess, a request that only reads its session is one round trip, which
// touches it, and renews the cookie when it did.
func TestRenewOnAccessTouchesWithTheLoad(t *testing.T) {
	store, proxy, _ := proxied(t, redisstore.Options{})
	serve := func(interval time.Duration, id string) *http.Response {
		cookies, err := sessions.NewCookies(store, sessions.CookieOptions{Cookie: http.Cookie{Name: "id", MaxAge: 3600}, InsecureAllowHTTP: true, RenewOnAccess: interval})
		if err != nil {
			t.Fatal(err)
		}
		mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: "id", Value: id})
		mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if sessions.FromContext(r.Context()).Get("a") != int64(1) {
				t.Error("the value did not come back")
			}
		})).ServeHTTP(w, r)
		return w.Result()
	}
	s := saved(t, store, "a", 1)
	serve(time.Nanosecond, s.ID()) // sends the script's text
	for _, row := range []struct {
		interval time.Duration
		renewed  bool
	}{{time.Hour, false}, {time.Nanosecond, true}} {
		proxy.Reset()
		res := serve(row.interval, s.ID())
		if got := strings.Join(names(proxy), " "); got != "evalsha hgetall" || proxy.Writes() != 1 {
			t.Errorf("the commands %q in %d writes, want evalsha and hgetall in one", got, proxy.Writes())
		}
		if renewed := len(res.Cookies()) == 1; renewed != row.renewed {
			t.Errorf("with the interval %v the cookie is renewed: %v", row.interval, renewed)
		}
	}
}

// ownTimes are sessions of a store with an idle timeout of an hour and a lifetime of two, and
// the time after a use at which the server ends each.
var ownTimes = map[string]struct {
	set  func(s *sessions.Session)
	want time.Duration
}{
	"the store's":           {func(*sessions.Session) {}, time.Hour},
	"its own":               {func(s *sessions.Session) { s.SetIdleTimeout(90 * time.Minute) }, 90 * time.Minute},
	"no longer than it may": {func(s *sessions.Session) { s.SetIdleTimeout(5 * time.Hour) }, 2 * time.Hour},
	"its own lifetime":      {func(s *sessions.Session) { s.SetLifetime(time.Minute) }, time.Minute},
	"of an owner":           {func(s *sessions.Session) { s.Login("ann") }, time.Hour},
	"of an owner, its own":  {func(s *sessions.Session) { s.Login("ann"); s.SetIdleTimeout(5 * time.Hour) }, 2 * time.Hour},
}

// wantTime checks when the server ends what is stored under a key.
func wantTime(t *testing.T, client *redis.Client, key string, want time.Duration, what string) {
	t.Helper()
	if got := client.PTTL(t.Context(), key).Val(); got > want || got < want-30*time.Second {
		t.Errorf("%s: it has %v, want %v", what, got, want)
	}
}

// A touch restarts the idle timeout by the server's clock; a session's own counts, and none is
// longer than the lifetime.
func TestTouchSetsTheTimeOfTheServer(t *testing.T) {
	store, _, server := proxied(t, redisstore.Options{IdleTimeout: time.Hour, Lifetime: 2 * time.Hour})
	client := server.Client(t)
	for name, row := range ownTimes {
		s := store.New()
		row.set(s)
		save(t, store, s)
		key, _ := store.KeyOf(s)
		near := func(what string) {
			t.Helper()
			wantTime(t, client, key, row.want, name+", after "+what)
		}
		near("a save")
		client.PExpire(t.Context(), key, 10*time.Second)
		if touched, err := store.Touch(t.Context(), s, 0); !touched || err != nil {
			t.Errorf("Touch = %v, %v", touched, err)
		}
		near("a touch")
		s.SetIdleTimeout(0)
		s.SetLifetime(0)
		save(t, store, s)
		row.want = time.Hour
		near("a return to the store's timeouts")
	}
}

// What the old key has sealed is sealed anew by a load that touches.
func TestGetTouchSealsAnew(t *testing.T) {
	first, second := securecookie.GenerateKey(), securecookie.GenerateKey()
	old, _, server := proxied(t, redisstore.Options{Prefix: "test:", Sealer: keyRing(t, first)})
	both := newStore(t, server.Client(t), redisstore.Options{Prefix: "test:", Sealer: keyRing(t, second, first)})
	anew := newStore(t, server.Client(t), redisstore.Options{Prefix: "test:", Sealer: keyRing(t, second)})
	s := saved(t, old, "a", 1)
	if _, touched, err := both.GetTouch(t.Context(), s.ID(), 0); !touched || err != nil {
		t.Fatal(touched, err)
	}
	if got := get(t, anew, s.ID()); got.Get("a") != int64(1) {
		t.Error("the old key cannot go")
	}
}
