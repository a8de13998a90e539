package securecookie_test

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

func FuzzCookieHeaderThatWasNotSealedIsNoSession(f *testing.F) {
	key := newKey(f, counting(0, 32))
	carrier := newCarrier(f, newRing(f, "fuzz", key), named("s"))
	other := newCarrier(f, newRing(f, "other", key), named("s"))
	for _, seed := range []string{
		"", ";", "s=", "s", "=s", "s=;s=;s=", "s-0=2.AAAAAAAA.", "s-0=1000000000.AAAAAAAA.A; s-1=", "s-19=20.AAAAAAAA.A", "s-20=x", "s-00=x",
		"\ts-0=2.", "s-0=2.AAAAAAA.A", "s-0=2.AAAAAAAAAA", "s-1", "s-=x", "=s=x", "s =x", "s-0=.AAAAAAAA.x", "s-0=20.AAAAAAAA.",
		strings.Join(cookiesOf(f, other, 10), "; "), strings.Join(cookiesOf(f, other, 5000), ";"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if s := load(t, carrier, header); !s.New() || s.Len() != 0 {
			t.Fatalf("%q: loaded %v", header, s)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Cookie"] = []string{header}
		s := carrier.New()
		s.Destroy()
		w := httptest.NewRecorder()
		if err := carrier.Commit(w, r, s); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.Result().Cookies() {
			if c.MaxAge >= 0 || !strings.Contains(header, c.Name) {
				t.Fatalf("%q: set %v", header, c)
			}
		}
	})
}

// A change to a session in chunks, by a client that knows how they
// look, is noticed, unless the cookies are the same and only stand elsewhere.
func FuzzChunksBearNoChange(f *testing.F) {
	carrier := newCarrier(f, newRing(f, "fuzz"), named("s"))
	pairs := cookiesOf(f, carrier, 5000)
	if len(pairs) != 2 {
		f.Fatal(len(pairs))
	}
	header := strings.Join(pairs, "; ")
	f.Add(uint(0), uint(1), "")
	f.Add(uint(4), uint(1), "3")
	f.Add(uint(4093), uint(0), "; ")
	f.Add(uint(len(header)), uint(0), "; s-1=")
	f.Add(uint(len(header)), uint(0), "; s-2=2.AAAAAAAA.A")
	f.Add(uint(len(header)), uint(0), "; "+pairs[0])
	f.Fuzz(func(t *testing.T, at, drop uint, insert string) {
		at %= uint(len(header)) + 1
		drop = min(drop, uint(len(header))-at)
		changed := header[:at] + insert + header[at+drop:]
		s := load(t, carrier, changed)
		if s.New() {
			return
		}
		for _, pair := range pairs {
			if n := strings.Count(changed, pair[strings.IndexByte(pair, '=')+1:]); n == 0 {
				t.Fatalf("%q in place of %d at %d: loaded", insert, drop, at)
			}
		}
	})
}

func FuzzSealedSessionComesBack(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{1})
	for _, owner := range []string{"", "ann"} {
		s := sessions.Record{Codec: "json", Owner: owner, Data: `{"a":1}`, IdleTimeout: 3600e9}
		b, err := securecookie.AppendSession(nil, strings.Repeat("0f", 16), &s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(append(counting(1, 26), 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 4, 'j', 's', 'o', 'n'))
	f.Add(append(counting(1, 26), 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, rec, ok := securecookie.ParseSession(b)
		if !ok {
			return
		}
		again, err := securecookie.AppendSession(nil, id, &rec)
		if err != nil || len(again) > len(b) { // an uvarint may have been longer than need be
			t.Fatalf("%x came back as %x, %v", b, again, err)
		}
		id2, rec2, ok := securecookie.ParseSession(again)
		if !ok || id2 != id || !reflect.DeepEqual(rec2, rec) {
			t.Fatalf("%x: got %v, %v", b, rec2, ok)
		}
	})
}
