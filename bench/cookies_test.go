// Package bench measures this project and its peers on the same work, in one
// run, taking turns.
package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	peersealing "github.com/gorilla/securecookie"
	peersessions "github.com/gorilla/sessions"

	"github.com/sessfs/sessions/securecookie"
)

// beside measures both in turns, since machines drift, and prints the ratio:
// how many times faster ours is.
func beside(b *testing.B, peer, ours func(i int)) {
	const turn = 32
	var peerTime, ourTime time.Duration
	n := 0
	for b.Loop() {
		start := time.Now()
		for i := range turn {
			peer(n + i)
		}
		between := time.Now()
		for i := range turn {
			ours(n + i)
		}
		peerTime += between.Sub(start)
		ourTime += time.Since(between)
		n += turn
	}
	b.ReportMetric(0, "ns/op") // of both together: meaningless
	b.ReportMetric(float64(peerTime)/float64(n), "peer-ns")
	b.ReportMetric(float64(ourTime)/float64(n), "ns")
	b.ReportMetric(float64(peerTime)/float64(ourTime), "x-faster")
	b.ReportMetric(testing.AllocsPerRun(1000, func() { peer(n); n++ }), "peer-allocs")
	b.ReportMetric(testing.AllocsPerRun(1000, func() { ours(n); n++ }), "allocs")
}

func newRing(b *testing.B) *securecookie.KeyRing {
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{
		Keys:     []securecookie.Key{securecookie.GenerateKey()},
		Audience: "bench",
	})
	if err != nil {
		b.Fatal(err)
	}
	return ring
}

// peerKeys are a key for HMAC-SHA-256 and one for AES-256: encryption on.
func peerKeys() (hash, block []byte) {
	return peersealing.GenerateRandomKey(32), peersealing.GenerateRandomKey(32)
}

// Ours seals bytes; the peer does with its NopEncoder, and as it comes puts
// them into a gob first.
func BenchmarkSealedKilobyte(b *testing.B) {
	hash, block := peerKeys()
	b.Run("bytes", func(b *testing.B) {
		sealedKilobyte(b, peersealing.New(hash, block).SetSerializer(peersealing.NopEncoder{}))
	})
	b.Run("default", func(b *testing.B) { sealedKilobyte(b, peersealing.New(hash, block)) })
}

func sealedKilobyte(b *testing.B, peer *peersealing.SecureCookie) {
	data := []byte(strings.Repeat("x", 1024))
	const name = "session"
	ring := newRing(b)
	times := securecookie.Times{Absolute: time.Now().Add(time.Hour)}
	var ourValue, peerValue string
	seal := func(int) {
		var err error
		if ourValue, err = ring.SealCookie(name, data, times); err != nil {
			b.Fatal(err)
		}
	}
	peerSeal := func(int) {
		var err error
		if peerValue, err = peer.Encode(name, data); err != nil {
			b.Fatal(err)
		}
	}
	open := func(int) {
		if _, _, err := ring.OpenCookie(name, ourValue); err != nil {
			b.Fatal(err)
		}
	}
	peerOpen := func(int) {
		var got []byte
		if err := peer.Decode(name, peerValue, &got); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("seal", func(b *testing.B) { beside(b, peerSeal, seal) })
	seal(0)
	peerSeal(0)
	b.Run("open", func(b *testing.B) { beside(b, peerOpen, open) })
}

// A session of ten values that a request loads, two of which it reads and one
// of which it changes and saves. Both carriers are used by hand, so that no
// middleware is measured.
func BenchmarkSessionOfTenValues(b *testing.B) {
	carrier, err := securecookie.NewCarrier(newRing(b), securecookie.CarrierOptions{})
	if err != nil {
		b.Fatal(err)
	}
	store := peersessions.NewCookieStore(peerKeys())
	ourRequest, peerRequest := request(), request()
	ours := func(i int) {
		r, w := renewed(ourRequest), response{}
		s, err := carrier.Load(r)
		if err != nil {
			b.Fatal(err)
		}
		if s.New() {
			fill(s.Set)
		}
		if s.Get("key1") == nil || s.Get("key2") == nil {
			b.Fatal("no value")
		}
		s.Set("n", int64(i))
		if err := carrier.Commit(w, r, s); err != nil {
			b.Fatal(err)
		}
		bring(ourRequest, w)
	}
	peer := func(i int) {
		r, w := renewed(peerRequest), response{}
		s, err := store.Get(r, "session")
		if err != nil {
			b.Fatal(err)
		}
		if s.IsNew {
			fill(func(key string, value any) { s.Values[key] = value })
		}
		if s.Values["key1"] == nil || s.Values["key2"] == nil {
			b.Fatal("no value")
		}
		s.Values["n"] = int64(i)
		if err := s.Save(r, w); err != nil {
			b.Fatal(err)
		}
		bring(peerRequest, w)
	}
	b.Run("load-change-save", func(b *testing.B) { beside(b, peer, ours) })
	b.Run("load", func(b *testing.B) {
		beside(b, func(int) {
			if s, err := store.Get(renewed(peerRequest), "session"); err != nil || s.Values["key1"] == nil || s.Values["key2"] == nil {
				b.Fatal(err)
			}
		}, func(int) {
			if s, err := carrier.Load(renewed(ourRequest)); err != nil || s.Get("key1") == nil || s.Get("key2") == nil {
				b.Fatal(err)
			}
		})
	})
}

// fill sets ten values, about 320 bytes when encoded.
func fill(set func(key string, value any)) {
	for i := range 9 {
		set(fmt.Sprintf("key%d", i), strings.Repeat("v", 24))
	}
	set("n", int64(0))
}

func request() *http.Request { return httptest.NewRequest("GET", "/", nil) }

// renewed is the next request: gorilla/sessions keeps what it loaded in the
// request's context.
func renewed(r *http.Request) *http.Request { return r.Clone(r.Context()) }

// response is a header alone.
type response http.Header

func (w response) Header() http.Header         { return http.Header(w) }
func (w response) Write(p []byte) (int, error) { return len(p), nil }
func (w response) WriteHeader(int)             {}

// bring puts the response's one cookie into the next request.
func bring(r *http.Request, w response) {
	pair, _, _ := strings.Cut(w.Header()["Set-Cookie"][0], ";")
	r.Header["Cookie"] = []string{pair}
}
