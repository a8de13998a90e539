package securecookie_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/sessfs/sessions/securecookie"
)

func FuzzOpenCookieRefusesWhatWasNotSealed(f *testing.F) {
	ring := newRing(f, "fuzz", newKey(f, counting(0, 32)))
	other := newRing(f, "other", newKey(f, counting(0, 32)))
	f.Add("session", "")
	f.Add("session", seal(f, other, "session", []byte("data"), securecookie.Times{}))
	f.Add("session", seal(f, ring, "other", []byte("data"), securecookie.Times{}))
	f.Add("", strings.Repeat("A", 108))
	f.Add("session", "\r\n")
	f.Fuzz(func(t *testing.T, name, value string) {
		data, _, err := ring.OpenCookie(name, value)
		if err != securecookie.ErrInvalid || data != nil {
			t.Fatalf("opened %q as %q, %v", value, data, err)
		}
		if _, err := ring.Open([]byte(value), name); err != securecookie.ErrInvalid {
			t.Fatalf("opened %q: %v", value, err)
		}
	})
}

func FuzzSealedCookiesComeBackAndBearNoChange(f *testing.F) {
	ring := newRing(f, "fuzz")
	f.Add("session", []byte(nil), uint(0), byte(1), "\n")
	f.Add("__Host-session", []byte(`{"user_id":42}`), uint(57), byte(0x80), "A")
	f.Add("s", counting(0, 200), uint(1000), byte(0x20), "\r\n")
	f.Add("é", []byte("é"), uint(3), byte(0), "==")
	f.Fuzz(func(t *testing.T, name string, data []byte, at uint, flip byte, insert string) {
		value, err := ring.SealCookie(name, data, securecookie.Times{})
		if err != nil {
			return // no name, or too long
		}
		if got, _, err := ring.OpenCookie(name, value); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("got %x, %v, want %x", got, err, data)
		}
		i := int(at % uint(len(value)))
		flipped := []byte(value)
		flipped[i] ^= flip
		for _, changed := range []string{string(flipped), value[:i] + insert + value[i:], value[:i] + value[i+1:], value[:i]} {
			if got, _, err := ring.OpenCookie(name, changed); changed != value && err != securecookie.ErrInvalid {
				t.Fatalf("opened %q, changed from %q, as %x, %v", changed, value, got, err)
			}
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	a, b := newKey(f, counting(1, 32)).Reveal(), newKey(f, counting(2, 48)).Reveal()
	for _, seed := range []string{"", a, a + " " + b, a + ",\n# " + b, "sk1_", a[:20], a + "\n" + a, strings.Repeat(",", 99), "sk1_#"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := securecookie.ParseKeys(text)
		if (err == nil) != (len(keys) > 0) || len(keys) > securecookie.MaxKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		var texts []string
		for _, k := range keys {
			texts = append(texts, k.Reveal())
			if !strings.Contains(text, k.Reveal()) {
				t.Fatalf("%q gave a key that is written otherwise", text)
			}
		}
		if again, err := securecookie.ParseKeys(strings.Join(texts, ", ")); len(keys) > 0 && (err != nil || ids(again) != ids(keys)) {
			t.Fatalf("the keys of %q do not come back: %v", text, err)
		}
		k, err := securecookie.ParseKey(text)
		if err == nil && !slices.Equal([]string{strings.TrimSpace(text)}, []string{k.Reveal()}) {
			t.Fatalf("%q is not the text of the key it gave", text)
		}
	})
}
