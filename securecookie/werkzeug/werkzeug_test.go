package werkzeug_test

import (
	"crypto"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions/securecookie/werkzeug"
)

const longSecret = "deadbeefdeadbeef" // long enough for FIPS 140-3 mode

// newCodec skips the test where FIPS 140-3 mode does not allow the format.
func newCodec(t testing.TB, secret string, h crypto.Hash) *werkzeug.Codec {
	t.Helper()
	c, err := werkzeug.New(secret, werkzeug.Options{Hash: h})
	if errors.Is(err, werkzeug.ErrFIPS) {
		t.Skipf("skipped: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at(c *werkzeug.Codec, now time.Time) *werkzeug.Codec {
	c.SetNow(func() time.Time { return now })
	return c
}

func serialize(t testing.TB, c *werkzeug.Codec, values map[string]any, expires time.Time) string {
	t.Helper()
	value, err := c.Serialize(values, expires)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func mustRefuse(t *testing.T, c *werkzeug.Codec, value, how string) {
	t.Helper()
	got, err := c.Unserialize(value)
	if err != werkzeug.ErrInvalid || got == nil || len(got) != 0 {
		t.Errorf("%s: got %v, %v, want an empty map and ErrInvalid", how, got, err)
	}
}

// sign makes a cookie of any items, signed with the secret.
func sign(secret string, items ...string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, item := range items {
		mac.Write([]byte("|" + item))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil)) + "?" + strings.Join(items, "&")
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

var examples = []struct {
	name    string
	values  map[string]any
	expires time.Time
	value   string
	want    map[string]any
}{
	{"a list and a number", map[string]any{"foo": 42, "baz": []int{1, 2, 3}}, time.Time{}, "jgWcx72FKLV/QGiPC8jwfKtB3gg=?baz=WzEsMiwzXQ==&foo=NDI=", map[string]any{"foo": int64(42), "baz": []any{int64(1), int64(2), int64(3)}}},
	{"with expiry", map[string]any{"foo": 42, "baz": []int{1, 2, 3}}, time.Unix(2000000000, 0), "3Ad/dh8DLet1TjnEgsWFQv5J19c=?_expires=MjAwMDAwMDAwMA==&baz=WzEsMiwzXQ==&foo=NDI=", map[string]any{"foo": int64(42), "baz": []any{int64(1), int64(2), int64(3)}}},
	{"nothing", map[string]any{}, time.Time{}, "f40jQuUCKBK2RYOL8cr5L1HqMCY=?", map[string]any{}},
	{"nil", nil, time.Time{}, "f40jQuUCKBK2RYOL8cr5L1HqMCY=?", map[string]any{}},
}

func TestCodecWritesAndReadsTheWorkedExamples(t *testing.T) {
	c := at(newCodec(t, "deadbeef", 0), time.Unix(2000000000, 0))
	for _, row := range examples {
		if got := serialize(t, c, row.values, row.expires); got != row.value {
			t.Errorf("%s: wrote %s, want %s", row.name, got, row.value)
		}
		if got, err := c.Unserialize(row.value); err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: read %v, %v, want %v", row.name, got, err, row.want)
		}
	}
}

// Cookie headers for one map, as Python's libraries wrote them.
var pythonHeaders = []struct{ library, header string }{
	{"werkzeug 0.16.1, json", `session="zP/5GbC8nSEKtBeqWCKmL6DC3F8=?a+b=MS41&%C3%A9%21%24%27%28%29%2A%2C%3B=eyJ6IjogWzEsIDIuMF0sICJiIjogIlx1MDBmYyJ9"`},
	{"secure_cookie 0.1.0, werkzeug 0.16.1", `session="dPtubtCR52YQ+WdpNuufuBL7R1A=?a+b=MS41&%C3%A9%21%24%27%28%29%2A%2C%3B=eyJiIjoiXHUwMGZjIiwieiI6WzEsMi4wXX0="`},
	{"secure_cookie 0.2.0, werkzeug 2.0.3", `session="dPtubtCR52YQ+WdpNuufuBL7R1A=?a+b=MS41&%C3%A9%21%24%27%28%29%2A%2C%3B=eyJiIjoiXHUwMGZjIiwieiI6WzEsMi4wXX0="`},
	{"secure_cookie e06d58d, werkzeug 2.1.2", `session="BZ0DXkw0+J7HswLX4RXVgL021XU=?a+b=MS41&%C3%A9!$'()*\054\073=eyJiIjoiXHUwMGZjIiwieiI6WzEsMi4wXX0="`},
	{"secure_cookie e06d58d, werkzeug 2.3.8", `session="BZ0DXkw0+J7HswLX4RXVgL021XU=?a+b=MS41&%C3%A9!$'()*\054\073=eyJiIjoiXHUwMGZjIiwieiI6WzEsMi4wXX0="`},
}

var pythonValues = map[string]any{"a b": 1.5, "é!$'()*,;": map[string]any{"z": []any{int64(1), 2.0}, "b": "ü"}}

func TestUnserializeReadsTheCookiesOfAllPythonLibraries(t *testing.T) {
	c := newCodec(t, longSecret, 0)
	for _, row := range pythonHeaders {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "other=1; "+row.header+"; last=2")
		got, err := c.Unserialize(werkzeug.CookieValue(r, "session"))
		if err != nil || !reflect.DeepEqual(got, pythonValues) {
			t.Errorf("%s: got %v, %v", row.library, got, err)
		}
		// net/http drops the cookies that only CookieValue finds.
		_, err = r.Cookie("session")
		if dropped := strings.Contains(row.header, `\`); dropped != (err != nil) {
			t.Errorf("%s: net/http: got %v", row.library, err)
		}
	}
}

func TestSerializeWritesTheBytesOfSecureCookie(t *testing.T) {
	c := newCodec(t, longSecret, 0)
	want := strings.Trim(strings.TrimPrefix(pythonHeaders[2].header, "session="), `"`)
	if got := serialize(t, c, pythonValues, time.Time{}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCookieValueIsThatOfNetHTTP(t *testing.T) {
	for _, row := range []struct {
		headers []string
		want    string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"session=a"}, "a"},
		{[]string{"a=b; session=a=b&c?d; c=d"}, "a=b&c?d"},
		{[]string{"a=b;session=x;\tc=d"}, "x"},
		{[]string{"a=b;\tsession=x \t;c=d"}, "x"},
		{[]string{`session="quoted, and more"`}, "quoted, and more"},
		{[]string{"xsession=1; session2=2; Session=3; session"}, ""},
		{[]string{"=session=1; session=2"}, "2"},
		{[]string{"a=b", "session=first; session=second", "session=third"}, "first"},
	} {
		r := &http.Request{Header: http.Header{"Cookie": row.headers}}
		got, theirs := werkzeug.CookieValue(r, "session"), ""
		if cookie, err := r.Cookie("session"); err == nil {
			theirs = cookie.Value
		}
		if got != row.want || theirs != row.want {
			t.Errorf("%q: got %q, net/http %q, want %q", row.headers, got, theirs, row.want)
		}
	}
}

func TestUnserializeReadsAKeyThatIsNotEscaped(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	if got, err := c.Unserialize(sign(longSecret, "é=NDI=")); err != nil || !reflect.DeepEqual(got, map[string]any{"é": int64(42)}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestUnserializeWithAWrongSecretReturnsAnEmptyMap(t *testing.T) {
	value := serialize(t, newCodec(t, "foo", 0), map[string]any{"x": 42}, time.Time{})
	mustRefuse(t, newCodec(t, "wrong foo", 0), value, "wrong secret")
	mustRefuse(t, newCodec(t, "foo", crypto.SHA256), value, "wrong hash")
}

func TestCookieTravelsThroughNetHTTP(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	values := map[string]any{"a b": "ü;\", \\", "foo": int64(42)}
	value := serialize(t, c, values, time.Time{})
	w := httptest.NewRecorder()
	http.SetCookie(w, &http.Cookie{Name: "session", Value: value})
	for _, header := range []string{w.Result().Header.Get("Set-Cookie"), `session="` + value + `"`} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", header)
		cookie, err := r.Cookie("session")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Unserialize(cookie.Value); err != nil || !reflect.DeepEqual(got, values) {
			t.Errorf("%s: got %v, %v", header, got, err)
		}
	}
}

func TestExpiryHoldsToTheSecondAndIsNotAmongTheValues(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	expires := time.Unix(2000000000, 0)
	value := serialize(t, c, map[string]any{"x": 42}, expires)
	for _, row := range []struct {
		now time.Time
		ok  bool
	}{
		{expires.AddDate(-1, 0, 0), true}, {expires, true},
		{expires.Add(time.Millisecond), false}, {expires.Add(time.Second), false}, {expires.AddDate(1, 0, 0), false},
	} {
		at(c, row.now)
		if !row.ok {
			mustRefuse(t, c, value, row.now.String())
		} else if got, err := c.Unserialize(value); err != nil || !reflect.DeepEqual(got, map[string]any{"x": int64(42)}) {
			t.Errorf("%v: got %v, %v", row.now, got, err)
		}
	}
}

func TestExpiryIsANumber(t *testing.T) {
	c := at(newCodec(t, longSecret, crypto.SHA256), time.Unix(1000, 0))
	for _, row := range []struct {
		json string
		ok   bool
	}{
		{"1000", true}, {"999", false}, {"1000.5", true}, {"999.5", false}, {"1e300", true}, {"-1e300", false},
		{"1" + strings.Repeat("0", 100), true}, {"-1" + strings.Repeat("0", 100), false},
		{"null", false}, {"true", false}, {`"2000"`, false}, {"[2000]", false}, {"{}", false},
	} {
		got, err := c.Unserialize(sign(longSecret, "_expires="+b64(row.json)))
		if (err == nil) != row.ok || len(got) != 0 {
			t.Errorf("%s: got %v, %v, want read %v", row.json, got, err, row.ok)
		}
	}
}

func TestExpiryCannotBeSwallowed(t *testing.T) {
	c := at(newCodec(t, longSecret, crypto.SHA256), time.Unix(2000, 0))
	// The keys sort before and after, so that the expiry stands in the middle;
	// the base64 before it ends in padding, behind which Python reads nothing:
	// it loads the cookie as {"A": 42, "z": "y"}.
	value := serialize(t, c, map[string]any{"A": 42, "z": "y"}, time.Unix(1000, 0))
	mustRefuse(t, c, value, "expired")
	for i := range value {
		if value[i] == '&' {
			mustRefuse(t, c, value[:i]+"|"+value[i+1:], fmt.Sprintf("expired, | for & at %d", i))
		}
	}
	mustRefuse(t, c, strings.ReplaceAll(value, "&", "|"), "expired, | for every &")
}

func TestUnserializeRefusesAllMalformedCookiesAlike(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	good := "x=" + b64("42")
	if got, err := c.Unserialize(sign(longSecret, good)); err != nil || len(got) != 1 {
		t.Fatalf("the test signs wrongly: %v, %v", got, err)
	}
	for _, row := range []struct{ name, value string }{
		{"empty", ""},
		{"no question mark", strings.ReplaceAll(sign(longSecret, good), "?", "")},
		{"no signature", "?" + good},
		{"signature not padded", strings.Replace(sign(longSecret, good), "=?", "?", 1)},
		{"line feed in the signature", sign(longSecret, good)[:5] + "\n" + sign(longSecret, good)[5:]},
		{"not ASCII", "é?é=é"},
		{"not UTF-8", "\xff?\xff=\xff"},
		{"1 MB", sign(longSecret, "x="+b64(`"`+strings.Repeat("x", 1<<20)+`"`))},
		{"signed: no item but a separator", sign(longSecret, "", "")},
		{"signed: no equals sign", sign(longSecret, "x")},
		{"signed: not base64", sign(longSecret, "x=!")},
		{"signed: no padding", sign(longSecret, "x=NDI")},
		{"signed: too much padding", sign(longSecret, "x=NDI==")},
		{"signed: base64url", sign(longSecret, "x="+strings.NewReplacer("+", "-", "/", "_").Replace(b64(`"???>>>"`)))},
		{"signed: bits after the last byte", sign(longSecret, "x=NDJ=")},
		{"signed: line feed", sign(longSecret, "x=ND\nI=")},
		{"signed: carriage return", sign(longSecret, "x=NDI=\r")},
		{"signed: bar", sign(longSecret, "x=NDI=|")},
		{"signed: no JSON", sign(longSecret, "x=")},
		{"signed: not JSON", sign(longSecret, "x="+b64("foo"))},
		{"signed: two values", sign(longSecret, "x="+b64("1 2"))},
		{"signed: open list", sign(longSecret, "x="+b64("[1"))},
		{"signed: NaN", sign(longSecret, "x="+b64("NaN"))},
		{"signed: infinity", sign(longSecret, "x="+b64("-Infinity"))},
		{"signed: float too large", sign(longSecret, "x="+b64("1e400"))},
		{"signed: integer too long", sign(longSecret, "x="+b64(strings.Repeat("9", 4301)))},
		{"signed: nested too deeply", sign(longSecret, "x="+b64(strings.Repeat("[", 1002)+strings.Repeat("]", 1002)))},
		{"signed: lone surrogate", sign(longSecret, "x="+b64(`"\ud800"`))},
		{"signed: lone surrogate, then text", sign(longSecret, "x="+b64(`"\ud800abcdefgh"`))},
		{"signed: surrogates in the wrong order", sign(longSecret, "x="+b64(`"\udc00\ud800"`))},
		{"signed: lone surrogate in a key", sign(longSecret, "x="+b64(`{"\udfff":1}`))},
		{"signed: JSON not UTF-8", sign(longSecret, "x="+b64("\"\xff\""))},
		{"signed: key not UTF-8", sign(longSecret, "%ff=NDI=")},
		{"signed: broken escape in the key", sign(longSecret, "%4=NDI=")},
		{"signed: a key twice", sign(longSecret, good, good)},
		{"signed: a key twice, quoted otherwise", sign(longSecret, good, "%78=NDI=")},
	} {
		mustRefuse(t, c, row.value, row.name)
	}
}

func TestUnserializeRefusesAnyChangedByte(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	value := serialize(t, c, map[string]any{"a b": 1.5, "foo": "bär"}, time.Unix(1<<40, 0))
	for i := range value {
		for b := range 256 {
			if changed := value[:i] + string([]byte{byte(b)}) + value[i+1:]; changed != value {
				mustRefuse(t, c, changed, fmt.Sprintf("byte %#x at %d", b, i))
			}
		}
		mustRefuse(t, c, value[:i], fmt.Sprintf("cut at %d", i))
		mustRefuse(t, c, value[:i]+value[i+1:], fmt.Sprintf("byte %d dropped", i))
		for _, insert := range []string{"\n", "\r", "=", "|", "&", "A", " "} {
			mustRefuse(t, c, value[:i]+insert+value[i:], fmt.Sprintf("%q inserted at %d", insert, i))
		}
	}
}

func TestUnserializeReadsLooseJSONUnderAValidSignature(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	// Python's json.dumps without options puts spaces after its separators.
	got, err := c.Unserialize(sign(longSecret, "x="+b64(` {"b": [1, 2.0], "a": "\u00FC\\ud800"} `), "q'%28+="+b64("-0")))
	want := map[string]any{"x": map[string]any{"a": `ü\ud800`, "b": []any{int64(1), 2.0}}, "q'( ": int64(0)}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestNewRefusesAnEmptySecretAndOtherHashes(t *testing.T) {
	for _, row := range []struct {
		secret string
		hash   crypto.Hash
	}{{"", 0}, {"", crypto.SHA256}, {longSecret, crypto.MD5}, {longSecret, crypto.SHA512}, {longSecret, 99}} {
		if c, err := werkzeug.New(row.secret, werkzeug.Options{Hash: row.hash}); err == nil || c != nil {
			t.Errorf("%q, %v: accepted", row.secret, row.hash)
		}
	}
}

func TestCodecInFIPSModeRefusesAndDoesNotPanic(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("skipped: needs GODEBUG=fips140=only")
	}
	for _, row := range []struct {
		secret string
		hash   crypto.Hash
	}{{longSecret, 0}, {longSecret, crypto.SHA1}, {"deadbeef", crypto.SHA256}} {
		if _, err := werkzeug.New(row.secret, werkzeug.Options{Hash: row.hash}); err != werkzeug.ErrFIPS {
			t.Errorf("New: got %v", err)
		}
		var c *werkzeug.Codec
		fips140.WithoutEnforcement(func() { c, _ = werkzeug.New(row.secret, werkzeug.Options{Hash: row.hash}) })
		if _, err := c.Serialize(nil, time.Time{}); err != werkzeug.ErrFIPS {
			t.Errorf("Serialize: got %v", err)
		}
		if got, err := c.Unserialize("?"); err != werkzeug.ErrFIPS || got == nil {
			t.Errorf("Unserialize: got %v, %v", got, err)
		}
	}
}

func TestCodecPrintsNoSecret(t *testing.T) {
	secret := "a secret of some length"
	c := newCodec(t, secret, crypto.SHA256)
	var out strings.Builder
	for _, v := range []any{c, *c, struct{ c *werkzeug.Codec }{c}, struct{ c werkzeug.Codec }{*c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("", "v", v)
	}
	for _, text := range []string{secret, fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]")} {
		if strings.Contains(out.String(), text) {
			t.Errorf("printed %q", text)
		}
	}
}

func TestHashIsSHA1ByDefault(t *testing.T) {
	c := newCodec(t, longSecret, 0)
	mac := hmac.New(sha1.New, []byte(longSecret))
	if got, want := serialize(t, c, nil, time.Time{}), base64.StdEncoding.EncodeToString(mac.Sum(nil))+"?"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCodecKeepsBigIntegersExact(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	n, _ := new(big.Int).SetString("-"+strings.Repeat("1234567890", 40), 10)
	got, err := c.Unserialize(serialize(t, c, map[string]any{"n": n}, time.Time{}))
	if back, ok := got["n"].(*big.Int); err != nil || !ok || back.Cmp(n) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}
