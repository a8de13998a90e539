package securecookie_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sessfs/sessions/securecookie"
)

func TestKeyRingIsRefusedWithAllThatIsWrong(t *testing.T) {
	a, b, zero := newKey(t, counting(1, 32)), newKey(t, counting(2, 32)), securecookie.Key{}
	many := make([]securecookie.Key, securecookie.MaxKeys+1)
	for i := range many {
		many[i] = securecookie.GenerateKey()
	}
	for _, row := range []struct {
		name string
		keys []securecookie.Key
		want []string
	}{
		{"one", []securecookie.Key{a}, nil},
		{"two", []securecookie.Key{a, b}, nil},
		{"as many as there may be", many[1:], nil},
		{"none", nil, []string{"needs a key"}},
		{"one more", many, []string{"17 keys"}},
		{"zero", []securecookie.Key{zero}, []string{"key 1 of the key ring is the zero Key"}},
		{"twice", []securecookie.Key{a, b, a}, []string{"key 3 of the key ring is there twice"}},
		{"both", []securecookie.Key{zero, a, a}, []string{"key 1", "key 3"}},
	} {
		ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: row.keys})
		if (err == nil) != (row.want == nil) || (ring == nil) != (err != nil) {
			t.Errorf("%s: got %v, %v", row.name, ring, err)
		}
		for _, want := range row.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: got %v, want %q in it", row.name, err, want)
			}
		}
	}
}

func TestKeyRingCopiesItsKeys(t *testing.T) {
	a := newKey(t, counting(1, 32))
	keys := []securecookie.Key{a}
	ring := newRing(t, "", keys...)
	keys[0] = newKey(t, counting(2, 32))
	value := seal(t, ring, "session", []byte("x"), securecookie.Times{})
	if _, _, err := newRing(t, "", a).OpenCookie("session", value); err != nil {
		t.Error("the ring followed a change of the caller's slice")
	}
}

func TestKeyRingSealsUnderTheFirstKeyAndOpensUnderAll(t *testing.T) {
	old, current := newKey(t, counting(1, 32)), newKey(t, counting(2, 32))
	before, during, after := newRing(t, "", old), newRing(t, "", current, old), newRing(t, "", current)
	for _, row := range []struct {
		name         string
		seals, opens *securecookie.KeyRing
		ok           bool
	}{
		{"old key, in second place", before, during, true},
		{"new key, by the new", during, after, true},
		{"new key, by the old", during, before, false},
		{"dropped key", before, after, false},
		{"the same ring", during, during, true},
	} {
		value := seal(t, row.seals, "session", []byte("data"), securecookie.Times{})
		_, _, err := row.opens.OpenCookie("session", value)
		if (err == nil) != row.ok || err != nil && err != securecookie.ErrInvalid {
			t.Errorf("%s: cookie: got %v, want opened %v", row.name, err, row.ok)
		}
		sealed, err := row.seals.Seal([]byte("data"), "id")
		if err != nil {
			t.Fatal(err)
		}
		_, err = row.opens.Open(sealed, "id")
		if (err == nil) != row.ok || err != nil && err != securecookie.ErrInvalid {
			t.Errorf("%s: data: got %v, want opened %v", row.name, err, row.ok)
		}
	}
}

func TestKeyRingOfZeroRefusesAndDoesNotPanic(t *testing.T) {
	var ring securecookie.KeyRing
	if _, err := ring.SealCookie("session", nil, securecookie.Times{}); err == nil {
		t.Error("SealCookie: no error")
	}
	if _, err := ring.Seal(nil, ""); err == nil {
		t.Error("Seal: no error")
	}
	value := seal(t, newRing(t, ""), "session", nil, securecookie.Times{})
	if _, _, err := ring.OpenCookie("session", value); !errors.Is(err, securecookie.ErrInvalid) {
		t.Errorf("OpenCookie: got %v", err)
	}
	if got := fmt.Sprint(&ring, (*securecookie.KeyRing)(nil)); !strings.Contains(got, "no keys") {
		t.Error(got)
	}
}

func TestKeyRingIsForSeveralGoroutines(t *testing.T) {
	ring := newRing(t, "")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				data := counting(byte(g), i*7)
				value, err := ring.SealCookie("session", data, securecookie.Times{})
				if err != nil {
					t.Error(err)
				}
				got, _, err := ring.OpenCookie("session", value)
				if err != nil || string(got) != string(data) {
					t.Errorf("got %x, %v, want %x", got, err, data)
				}
			}
		})
	}
	wg.Wait()
}
