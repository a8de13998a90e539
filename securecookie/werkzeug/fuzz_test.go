package werkzeug_test

import (
	"crypto"
	"reflect"
	"testing"
	"time"

	"github.com/sessfs/sessions/securecookie/werkzeug"
)

func newSHA1() (*werkzeug.Codec, error) { return werkzeug.New(longSecret, werkzeug.Options{}) }

func FuzzUnserializeRefusesWhatWasNotSigned(f *testing.F) {
	c := newCodec(f, "not the secret of the seeds", crypto.SHA256)
	for _, row := range examples {
		f.Add(row.value)
	}
	for _, seed := range []string{"", "?", "=?=", "a?b=c&d", "jgWcx72FKLV/QGiPC8jwfKtB3gg=?", "\n?\r=|", "é?é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) { mustRefuse(t, c, value, value) })
}

// The items are any bytes, and signed: the code behind the signature must not fail
// on them either.
func FuzzSignedItemsAreReadOrRefused(f *testing.F) {
	c := at(newCodec(f, longSecret, crypto.SHA256), time.Unix(1e9, 0))
	for _, row := range values {
		if row.want != "" {
			f.Add("v", row.want)
		}
	}
	for _, seed := range []string{"NaN", "[", `"\ud800"`, `"\ud83d\ude00"`, `{"a":1,"a":2}`, "1e999", "-0", "01", " 1 ", "1 1", `"\\ud800"`} {
		f.Add("_expires", seed)
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		got, err := c.Unserialize(sign(longSecret, key+"="+b64(text)))
		if err != nil {
			if err != werkzeug.ErrInvalid || len(got) != 0 {
				t.Fatalf("got %v, %v", got, err)
			}
			return
		}
		value, err := c.Serialize(got, time.Time{})
		if err != nil {
			t.Fatalf("read %#v, which is not written: %v", got, err)
		}
		again, err := c.Unserialize(value)
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%#v came back as %#v, %v", got, again, err)
		}
	})
}

func FuzzSerializedCookiesComeBackAndBearNoChange(f *testing.F) {
	c := at(newCodec(f, longSecret, crypto.SHA256), time.Unix(1e9, 0))
	f.Add("k", "v", int64(42), 1.0, int64(0), uint(3), byte(1))
	f.Add("a b", "é😀\x7f", int64(-1<<63), 1e16, int64(2e9), uint(60), byte('&'^'|'))
	f.Add("", "", int64(0), -0.5, int64(1), uint(44), byte(0x80))
	f.Fuzz(func(t *testing.T, key, s string, n int64, x float64, expires int64, at uint, flip byte) {
		var end time.Time
		if expires != 0 {
			end = time.Unix(expires, 0)
		}
		values := map[string]any{key: []any{s, nil, true}, key + "2": map[string]any{"n": n, s: x}}
		value, err := c.Serialize(values, end)
		if err != nil {
			return
		}
		got, err := c.Unserialize(value)
		if expired := expires != 0 && expires < 1e9; expired != (err != nil) {
			t.Fatalf("expires %d: %v", expires, err)
		}
		if err == nil && !reflect.DeepEqual(got, values) {
			t.Fatalf("%#v came back as %#v", values, got)
		}
		changed := []byte(value)
		changed[at%uint(len(value))] ^= flip
		if flip != 0 {
			mustRefuse(t, c, string(changed), "changed")
		}
	})
}
