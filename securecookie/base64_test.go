package securecookie_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/sessfs/sessions/securecookie"
)

func TestBase64IsThatOfTheStandardLibrary(t *testing.T) {
	for n := range 200 {
		b := counting(byte(n*31), n)
		want := "x" + base64.RawURLEncoding.EncodeToString(b)
		text := securecookie.AppendEncode([]byte("x"), b)
		if string(text) != want {
			t.Errorf("%d bytes: got %q, want %q", n, text, want)
		}
		got, err := securecookie.AppendDecode([]byte("y"), want[1:])
		if err != nil || !bytes.Equal(got, append([]byte("y"), b...)) {
			t.Errorf("%d bytes: got %x, %v, want %x", n, got, err, b)
		}
	}
}

func TestBase64RefusesEveryOtherCharacterEverywhere(t *testing.T) {
	for n := range 60 { // the loops for sixteen, for four, and the rest
		text := strings.Repeat("A", n)
		for i := range n {
			for c := range 256 {
				changed := text[:i] + string([]byte{byte(c)}) + text[i+1:]
				got, err := securecookie.AppendDecode(nil, changed)
				want, wantErr := base64.RawURLEncoding.DecodeString(changed)
				canonical := wantErr == nil && base64.RawURLEncoding.EncodeToString(want) == changed
				if (err == nil) != canonical || canonical && !bytes.Equal(got, want) {
					t.Fatalf("%q: got %x, %v, want %x", changed, got, err, want)
				}
			}
		}
	}
}

func FuzzBase64HasOneTextForAnyBytes(f *testing.F) {
	for _, seed := range []string{"", "A", "AA", "AB", "AAA", "AAB", "AAAA", "AA==", "AA\n", "AA\r\nAA", "+/+/", "-_-_", "éé",
		"AAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA\n\n\n\n", "AAAAAAA=AAAAAAAA", "________________________", "\x00\x00\x00\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := securecookie.AppendDecode(nil, text)
		want, wantErr := base64.RawURLEncoding.DecodeString(text)
		canonical := wantErr == nil && base64.RawURLEncoding.EncodeToString(want) == text
		if (err == nil) != canonical {
			t.Fatalf("%q: error %v, canonical %v", text, err, canonical)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%q: got %x, want %x", text, got, want)
		}
		if err == nil && string(securecookie.AppendEncode(nil, got)) != text {
			t.Fatalf("%q: does not come back", text)
		}
	})
}
