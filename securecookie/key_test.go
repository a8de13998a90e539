package securecookie_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sessfs/sessions/securecookie"
)

// counting returns n bytes: first, first+1, …
func counting(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func newKey(t testing.TB, b []byte) securecookie.Key {
	t.Helper()
	k, err := securecookie.NewKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNewKeyRefusesBytesThatAreShortLongOrZero(t *testing.T) {
	for _, row := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"none", nil, false},
		{"31 bytes", counting(1, 31), false},
		{"32 bytes", counting(1, 32), true},
		{"33 bytes", counting(1, 33), true},
		{"1024 bytes", counting(1, 1024), true},
		{"1025 bytes", counting(1, 1025), false},
		{"a buffer never filled", make([]byte, 32), false},
		{"zero but for the last", append(make([]byte, 31), 1), true},
	} {
		k, err := securecookie.NewKey(row.b)
		if got := err == nil; got != row.ok {
			t.Errorf("%s: error %v, want accepted %v", row.name, err, row.ok)
		}
		if err != nil && (!errors.Is(err, securecookie.ErrKey) || k != securecookie.Key{}) {
			t.Errorf("%s: got %v and %v, want ErrKey and the zero Key", row.name, k, err)
		}
	}
}

func TestKeyFromSecretRefusesEmptyAndShortSecrets(t *testing.T) {
	for _, row := range []struct {
		length int
		ok     bool
	}{{0, false}, {1, false}, {31, false}, {32, true}, {1024, true}, {1025, false}} {
		_, err := securecookie.KeyFromSecret(strings.Repeat("s", row.length))
		if got := err == nil; got != row.ok || !got && !errors.Is(err, securecookie.ErrKey) {
			t.Errorf("secret of %d bytes: error %v, want accepted %v", row.length, err, row.ok)
		}
	}
}

func TestKeyFromSecretIsNotTheSecretsBytes(t *testing.T) {
	secret := strings.Repeat("secret! ", 4)
	a, err := securecookie.KeyFromSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	if b := newKey(t, []byte(secret)); a.ID() == b.ID() {
		t.Error("the same id")
	}
	if c, _ := securecookie.KeyFromSecret(secret + "\n"); a.ID() == c.ID() {
		t.Error("a newline at the end makes no difference")
	}
}

func TestKeyKeepsItsOwnCopyOfTheBytes(t *testing.T) {
	b := counting(1, 32)
	k := newKey(t, b)
	want := k.Reveal()
	clear(b)
	if got := k.Reveal(); got != want {
		t.Error("changing the caller's bytes changed the key")
	}
}

func TestGenerateKeyNeverReturnsTheSameKey(t *testing.T) {
	a, b := securecookie.GenerateKey(), securecookie.GenerateKey()
	if a.ID() == b.ID() || a.Reveal() == b.Reveal() {
		t.Error("two generated keys are equal")
	}
}

func TestParseKeyReadsTheTextOfAKey(t *testing.T) {
	for _, n := range []int{32, 33, 34, 64, 1024} {
		k := newKey(t, counting(7, n))
		text := k.Reveal()
		for _, text := range []string{text, " " + text, text + "\n", "\t" + text + "\r\n"} {
			got, err := securecookie.ParseKey(text)
			if err != nil || got.ID() != k.ID() || got.Reveal() != k.Reveal() {
				t.Errorf("%d bytes: got %v, %v", n, got, err)
			}
		}
		var u securecookie.Key
		if err := u.UnmarshalText([]byte(text)); err != nil || u.ID() != k.ID() {
			t.Errorf("%d bytes: UnmarshalText: got %v, %v", n, u, err)
		}
	}
}

func TestParseKeyRefusesADamagedText(t *testing.T) {
	text := newKey(t, counting(7, 32)).Reveal()
	refuse := func(damaged, how string) {
		t.Helper()
		k, err := securecookie.ParseKey(damaged)
		if !errors.Is(err, securecookie.ErrKey) || k != (securecookie.Key{}) {
			t.Errorf("%s: got %v, %v", how, k, err)
		}
		if err != nil && strings.Contains(err.Error(), text[8:16]) {
			t.Errorf("%s: the error has the key in it", how)
		}
	}
	for i := range text {
		refuse(text[:i], fmt.Sprintf("cut at %d", i))
		refuse(text[:i]+text[i+1:], fmt.Sprintf("without character %d", i))
		if i > 0 {
			refuse(text[:i]+"\n"+text[i:], fmt.Sprintf("newline at %d", i))
		}
		for bit := range 8 {
			b := []byte(text)
			b[i] ^= 1 << bit
			refuse(string(b), fmt.Sprintf("bit %d of character %d", bit, i))
		}
	}
	refuse(text+"A", "with a character more")
	refuse(text+"=", "with padding")
	refuse("sk1_"+strings.Repeat("A", 1<<20), "1 MB")
	refuse("sk1_", "prefix only")
	var u securecookie.Key
	if err := u.UnmarshalText([]byte("sk2_")); !errors.Is(err, securecookie.ErrKey) {
		t.Errorf("UnmarshalText: got %v", err)
	}
}

func TestParseKeysReadsKeysInOrder(t *testing.T) {
	a, b := newKey(t, counting(1, 32)), newKey(t, counting(2, 40))
	ta, tb := a.Reveal(), b.Reveal()
	for _, row := range []struct {
		name, text string
		want       []securecookie.Key
	}{
		{"one", ta, []securecookie.Key{a}},
		{"space", ta + " " + tb, []securecookie.Key{a, b}},
		{"comma", ta + "," + tb, []securecookie.Key{a, b}},
		{"the other way", tb + ", " + ta, []securecookie.Key{b, a}},
		{"lines", "\n" + ta + "\r\n\t" + tb + "\n\n", []securecookie.Key{a, b}},
		{"comments", "# newest\n" + ta + " # 2026-01, sk1_\n#" + ta + "\n" + tb, []securecookie.Key{a, b}},
		{"empty", "", nil},
		{"white space", " \n,\t", nil},
		{"comment", "#" + ta, nil},
		{"semicolon", ta + ";" + tb, nil},
		{"garbage behind", ta + " x", nil},
		{"joined", ta + tb, nil},
		{"non-breaking space", ta + "\u00a0" + tb, nil},
		{"too many", strings.Repeat(ta+" ", securecookie.MaxKeys+1), nil},
	} {
		got, err := securecookie.ParseKeys(row.text)
		if (err == nil) != (row.want != nil) || err != nil && !errors.Is(err, securecookie.ErrKey) {
			t.Errorf("%s: error %v", row.name, err)
		}
		if ids(got) != ids(row.want) {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}

func ids(keys []securecookie.Key) string {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k.ID() + " ")
	}
	return b.String()
}

func TestKeyIsNeverPrinted(t *testing.T) {
	master := counting('a', 32) // readable, should %s find it
	k := newKey(t, master)
	ring := newRing(t, "", k)
	type nested struct {
		Key    securecookie.Key
		hidden securecookie.Key
		Ring   *securecookie.KeyRing
		ring   *securecookie.KeyRing
		list   []securecookie.Key
	}
	n := nested{k, k, ring, ring, []securecookie.Key{k}}
	var out bytes.Buffer
	for _, v := range []any{k, &k, ring, *ring, n, &n, []any{k, ring}, map[string]any{"k": k, "n": n}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%c"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
		json.NewEncoder(&out).Encode(v)
	}
	text := out.String()
	for _, secret := range []string{
		string(master[:8]), k.Reveal()[4:16], fmt.Sprintf("%x", master[:8]), fmt.Sprintf("%X", master[:8]),
		strings.Trim(fmt.Sprint(master[:8]), "[]"), strings.Trim(fmt.Sprintf("%#v", master[:4]), "[]byte{}"),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("printed: %q", secret)
		}
	}
	for _, v := range []any{k, ring} {
		if !strings.Contains(fmt.Sprint(v), k.ID()) {
			t.Errorf("%v does not name the key", v)
		}
	}
}

func TestKeyOfZeroIsHarmless(t *testing.T) {
	var k securecookie.Key
	if k.ID() != "" || k.String() == "" {
		t.Errorf("id %q, string %q", k.ID(), k)
	}
	defer func() {
		if recover() == nil {
			t.Error("Reveal of the zero Key did not panic")
		}
	}()
	_ = k.Reveal()
}
