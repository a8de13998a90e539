package securecookie_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions/securecookie"
)

// The root package's demands on a sealer of files.
var _ interface {
	Seal(plaintext []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
} = (*securecookie.KeyRing)(nil)

func seal(t testing.TB, ring *securecookie.KeyRing, name string, data []byte, times securecookie.Times) string {
	t.Helper()
	value, err := ring.SealCookie(name, data, times)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func mustRefuse(t *testing.T, ring *securecookie.KeyRing, name, value, how string) {
	t.Helper()
	data, times, err := ring.OpenCookie(name, value)
	// The sentinel itself, not wrapped: there is nothing more to learn.
	if err != securecookie.ErrInvalid || data != nil || times != (securecookie.Times{}) {
		t.Errorf("%s: got %d bytes, %v, %v, want ErrInvalid alone", how, len(data), times, err)
	}
}

func TestSealAddsTheSameOverheadToDataOfEverySize(t *testing.T) {
	ring := newRing(t, "shop")
	sizes := []int{1023, 1024, 4093, 65535, securecookie.MaxCookieData}
	for n := range 70 {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		data := counting(3, n)
		value := seal(t, ring, "session", data, securecookie.Times{})
		got, _, err := ring.OpenCookie("session", value)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if got, want := len(value)-base64.RawURLEncoding.EncodedLen(n), 108; got != want {
			t.Errorf("%d bytes: overhead of %d characters, want %d", n, got, want)
		}
		sealed, err := ring.Seal(data, "id")
		if err != nil || len(sealed) != n+57 {
			t.Errorf("%d bytes: Seal gave %d bytes, %v", n, len(sealed), err)
		}
		if got, err := ring.Open(sealed, "id"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: Open: %v", n, err)
		}
	}
}

func TestSealCookieRefusesTooMuchData(t *testing.T) {
	ring := newRing(t, "")
	_, err := ring.SealCookie("session", make([]byte, securecookie.MaxCookieData+1), securecookie.Times{})
	if !errors.Is(err, securecookie.ErrTooLarge) {
		t.Errorf("SealCookie: got %v", err)
	}
	mustRefuse(t, ring, "session", strings.Repeat("A", 1<<20), "1 MB")
}

func TestSealCookieNeedsAName(t *testing.T) {
	ring := newRing(t, "")
	if _, err := ring.SealCookie("", nil, securecookie.Times{}); err == nil {
		t.Error("sealed without a name")
	}
	mustRefuse(t, ring, "", seal(t, ring, "session", nil, securecookie.Times{}), "no name")
}

func TestSealCookieNeverSealsTheSameDataAlike(t *testing.T) {
	ring := newRing(t, "")
	seen := map[string]bool{}
	for range 1000 {
		value := seal(t, ring, "session", []byte("x"), securecookie.Times{})
		// Both halves of the nonce, bytes 17 to 28 and 29 to 40, must be random.
		raw, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		for _, half := range []string{"a" + string(raw[17:29]), "b" + string(raw[29:41])} {
			if seen[half] {
				t.Fatal("half a nonce came twice")
			}
			seen[half] = true
		}
	}
}

func TestOpenCookieRefusesAChangedCookie(t *testing.T) {
	ring := newRing(t, "shop")
	for n := range 4 { // every length that base64 tells apart
		value := seal(t, ring, "session", counting(1, n), securecookie.Times{})
		for i := range value {
			for bit := range 8 {
				b := []byte(value)
				b[i] ^= 1 << bit
				mustRefuse(t, ring, "session", string(b), fmt.Sprintf("bit %d of character %d flipped", bit, i))
			}
			mustRefuse(t, ring, "session", value[:i]+value[i+1:], fmt.Sprintf("character %d dropped", i))
			mustRefuse(t, ring, "session", value[:i], fmt.Sprintf("cut at %d", i))
		}
		for i := range len(value) + 1 {
			for _, insert := range []string{"A", "\n", "\r", "\r\n", "=", " ", "\x00", "-", "é", "\n\n\n\n"} {
				changed := value[:i] + insert + value[i:]
				mustRefuse(t, ring, "session", changed, fmt.Sprintf("%q inserted at %d", insert, i))
			}
		}
		mustRefuse(t, ring, "session", value+value, "twice")
		mustRefuse(t, ring, "session", strings.NewReplacer("-", "+", "_", "/").Replace(value + "-")[:len(value)]+"==", "padded")
	}
	mustRefuse(t, ring, "session", "", "empty")
}

func TestOpenCookieRefusesEveryOtherLastCharacter(t *testing.T) {
	ring := newRing(t, "")
	for n := range 3 {
		value := seal(t, ring, "session", counting(1, n), securecookie.Times{})
		for c := range 256 {
			if changed := value[:len(value)-1] + string([]byte{byte(c)}); changed != value {
				mustRefuse(t, ring, "session", changed, fmt.Sprintf("last character %#x, %d bytes", c, n))
			}
		}
	}
}

func TestOpenCookieRefusesAnotherVersion(t *testing.T) {
	ring := newRing(t, "")
	raw, _ := base64.RawURLEncoding.DecodeString(seal(t, ring, "session", nil, securecookie.Times{}))
	for v := range 256 {
		raw[0] = byte(v)
		if v != 1 {
			mustRefuse(t, ring, "session", base64.RawURLEncoding.EncodeToString(raw), fmt.Sprint("version ", v))
		}
	}
	mustRefuse(t, ring, "session", base64.RawURLEncoding.EncodeToString([]byte(`{"user_id":1}`)), "never sealed")
}

func TestOpenCookieIsBoundToNameAndAudience(t *testing.T) {
	key := newKey(t, counting(1, 32))
	for _, row := range []struct{ audience, name, toAudience, toName string }{
		{"a", "session", "b", "session"},
		{"a", "session", "", "session"},
		{"", "session", "a", "session"},
		{"a", "session", "a", "session2"},
		{"a", "session", "a", "Session"},
		{"a", "session", "a", "__Host-session"},
		{"a", "bc", "ab", "c"}, // the same letters in a row
		{"ab", "c", "a", "bc"},
	} {
		value := seal(t, newRing(t, row.audience, key), row.name, []byte("x"), securecookie.Times{})
		mustRefuse(t, newRing(t, row.toAudience, key), row.toName, value, fmt.Sprint(row))
		if _, _, err := newRing(t, row.audience, key).OpenCookie(row.name, value); err != nil {
			t.Errorf("%v: not opened where it belongs", row)
		}
	}
}

func TestOpenIsBoundToContextAudienceAndPurpose(t *testing.T) {
	key := newKey(t, counting(1, 32))
	ring, other := newRing(t, "a", key), newRing(t, "b", key)
	sealed, err := ring.Seal(counting(0, 64), "id1")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		ring    *securecookie.KeyRing
		context string
		ok      bool
	}{{"itself", ring, "id1", true}, {"other context", ring, "id2", false}, {"no context", ring, "", false}, {"other audience", other, "id1", false}} {
		got, err := row.ring.Open(sealed, row.context)
		if (err == nil) != row.ok || err != nil && (err != securecookie.ErrInvalid || got != nil) {
			t.Errorf("%s: got %x, %v", row.name, got, err)
		}
	}
	// 64 bytes would do as a frame: only the purpose tells them apart.
	mustRefuse(t, ring, "id1", base64.RawURLEncoding.EncodeToString(sealed), "data as cookie")
	raw, _ := base64.RawURLEncoding.DecodeString(seal(t, ring, "id1", nil, securecookie.Times{}))
	if _, err := ring.Open(raw, "id1"); err != securecookie.ErrInvalid {
		t.Errorf("cookie as data: got %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x80
		if _, err := ring.Open(changed, "id1"); err != securecookie.ErrInvalid {
			t.Errorf("byte %d changed: got %v", i, err)
		}
		if _, err := ring.Open(sealed[:i], "id1"); err != securecookie.ErrInvalid {
			t.Errorf("cut at %d: got %v", i, err)
		}
	}
	if _, err := ring.Open(append(sealed, 0), "id1"); err != securecookie.ErrInvalid {
		t.Errorf("a byte more: got %v", err)
	}
}

func TestOpenSharesNoMemory(t *testing.T) {
	ring := newRing(t, "")
	data := []byte("data to keep")
	sealed, _ := ring.Seal(data, "id")
	before := bytes.Clone(sealed)
	first, _ := ring.Open(sealed, "id")
	second, _ := ring.Open(sealed, "id")
	clear(first)
	if !bytes.Equal(sealed, before) || !bytes.Equal(second, data) || string(data) != "data to keep" {
		t.Error("memory is shared")
	}
}

func TestSealCookieAndOpenCookieAllocateLittle(t *testing.T) {
	ring := newRing(t, "shop")
	data, times := make([]byte, 1024), securecookie.Times{Idle: time.Now().Add(time.Hour)}
	value := seal(t, ring, "session", data, times)
	for _, row := range []struct {
		name string
		f    func()
	}{
		{"seal", func() { ring.SealCookie("session", data, times) }},
		{"open", func() { ring.OpenCookie("session", value) }},
	} {
		if got := testing.AllocsPerRun(200, row.f); got > 6 {
			t.Errorf("%s: %v allocations, want 6 or fewer", row.name, got)
		}
	}
}
