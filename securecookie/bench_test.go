package securecookie_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/sessfs/sessions/securecookie"
)

func newRing(t testing.TB, audience string, keys ...securecookie.Key) *securecookie.KeyRing {
	t.Helper()
	if len(keys) == 0 {
		keys = []securecookie.Key{securecookie.GenerateKey()}
	}
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: keys, Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func BenchmarkSealCookie1KB(b *testing.B) {
	ring := newRing(b, "bench")
	data := bytes.Repeat([]byte("x"), 1024)
	times := securecookie.Times{Absolute: time.Now().Add(time.Hour)}
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.SealCookie("session", data, times); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenCookie1KB(b *testing.B) {
	ring := newRing(b, "bench")
	value, err := ring.SealCookie("session", bytes.Repeat([]byte("x"), 1024), securecookie.Times{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ring.OpenCookie("session", value); err != nil {
			b.Fatal(err)
		}
	}
}
