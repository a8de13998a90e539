package werkzeug_test

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func bigInt(text string) *big.Int {
	n, _ := new(big.Int).SetString(text, 10)
	return n
}

type named struct{ s string }

var values = []struct {
	name string
	v    any
	want string // Python's json.dumps; empty if refused
	back any    // the value that is read back
}{
	{"nil", nil, "null", nil},
	{"true", true, "true", true},
	{"one", 1, "1", int64(1)},
	{"float one", 1.0, "1.0", 1.0},
	{"zero", 0, "0", int64(0)},
	{"float zero", 0.0, "0.0", 0.0},
	{"negative zero", math.Copysign(0, -1), "-0.0", math.Copysign(0, -1)},
	{"1e16", 1e16, "1e+16", 1e16},
	{"below 1e16", 9999999999999998.0, "9999999999999998.0", 9999999999999998.0},
	{"1e15", 1e15, "1000000000000000.0", 1e15},
	{"1e22", 1e22, "1e+22", 1e22},
	{"1e-4", 1e-4, "0.0001", 1e-4},
	{"below 1e-4", 9.999999999999999e-05, "9.999999999999999e-05", 9.999999999999999e-05},
	{"1e-5", 1e-5, "1e-05", 1e-5},
	{"1.5e-7", -1.5e-7, "-1.5e-07", -1.5e-7},
	{"1e100", 1e100, "1e+100", 1e100},
	{"pi", math.Pi, "3.141592653589793", math.Pi},
	{"smallest", 5e-324, "5e-324", 5e-324},
	{"largest", math.MaxFloat64, "1.7976931348623157e+308", math.MaxFloat64},
	{"float32", float32(0.5), "0.5", 0.5},
	{"NaN", math.NaN(), "", nil},
	{"infinity", math.Inf(-1), "", nil},
	{"int64", int64(math.MinInt64), "-9223372036854775808", int64(math.MinInt64)},
	{"uint64", uint64(math.MaxUint64), "18446744073709551615", bigInt("18446744073709551615")},
	{"big", bigInt("-123456789012345678901234567890"), "-123456789012345678901234567890", bigInt("-123456789012345678901234567890")},
	{"big but small", big.NewInt(7), "7", int64(7)},
	{"nil big", (*big.Int)(nil), "", nil},
	{"integer of 4300 digits", bigInt(strings.Repeat("9", 4300)), strings.Repeat("9", 4300), bigInt(strings.Repeat("9", 4300))},
	{"integer of 4301 digits", bigInt(strings.Repeat("9", 4301)), "", nil},
	{"json.Number, integer", json.Number("12345678901234567890123"), "12345678901234567890123", bigInt("12345678901234567890123")},
	{"json.Number, float", json.Number("1E2"), "100.0", 100.0},
	{"json.Number, none", json.Number("true"), "", nil},
	{"json.Number, white space", json.Number(" 1"), "", nil},
	{"duration", 5 * time.Nanosecond, "5", int64(5)},
	{"string", "bar", `"bar"`, "bar"},
	{"short escapes", "\"\\\n\r\t\b\f", `"\"\\\n\r\t\b\f"`, "\"\\\n\r\t\b\f"},
	{"controls", "\x00\x1f\x7f\u0080", `"\u0000\u001f\u007f\u0080"`, "\x00\x1f\x7f\u0080"},
	{"no HTML escapes", "</a>&'", `"</a>&'"`, "</a>&'"},
	{"not ASCII", "é\u2028\ufffd", `"\u00e9\u2028\ufffd"`, "é\u2028\ufffd"},
	{"surrogate pair", "😀\U0010ffff", `"\ud83d\ude00\udbff\udfff"`, "😀\U0010ffff"},
	{"not UTF-8", "a\xff", "", nil},
	{"not UTF-8 in a key", map[string]int{"\xff": 1}, "", nil},
	{"list", []any{1, "a", nil, 2.0}, `[1,"a",null,2.0]`, []any{int64(1), "a", nil, 2.0}},
	{"empty list", []any{}, "[]", []any{}},
	{"nil slice", []string(nil), "[]", []any{}},
	{"array", [2]bool{true, false}, "[true,false]", []any{true, false}},
	{"sorted at every level", map[string]any{"b": map[string]int{"z": 1, "a": 2}, "a": 0, "B": 1}, `{"B":1,"a":0,"b":{"a":2,"z":1}}`, map[string]any{"B": int64(1), "a": int64(0), "b": map[string]any{"a": int64(2), "z": int64(1)}}},
	{"sorted by code point, not UTF-16", map[string]int{"\U00010000": 1, "\uffff": 2}, `{"\uffff":2,"\ud800\udc00":1}`, map[string]any{"\U00010000": int64(1), "\uffff": int64(2)}},
	{"empty map", map[string]any{}, "{}", map[string]any{}},
	{"nil map", map[string]any(nil), "{}", map[string]any{}},
	{"bytes", []byte("x"), "", nil},
	{"struct", named{"x"}, "", nil},
	{"time", time.Unix(0, 0), "", nil},
	{"pointer", new(int), "", nil},
	{"func", func() {}, "", nil},
	{"complex", 1i, "", nil},
	{"map with other keys", map[int]int{1: 1}, "", nil},
	{"struct in a list", []named{{"x"}}, "", nil},
}

func TestSerializeWritesValuesAsPythonDoes(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	for _, row := range values {
		value, err := c.Serialize(map[string]any{"v": row.v}, time.Time{})
		if row.want == "" {
			if err == nil || value != "" {
				t.Errorf("%s: wrote %s, want an error", row.name, value)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		_, text, _ := strings.Cut(value, "?v=")
		if got, _ := base64.StdEncoding.DecodeString(text); string(got) != row.want {
			t.Errorf("%s: wrote %s, want %s", row.name, got, row.want)
		}
		got, err := c.Unserialize(value)
		if err != nil || !same(got["v"], row.back) {
			t.Errorf("%s: read %#v, %v, want %#v", row.name, got["v"], err, row.back)
		}
	}
}

// same is DeepEqual that tells 0.0 from -0.0.
func same(a, b any) bool {
	if f, ok := a.(float64); ok {
		g, ok := b.(float64)
		return ok && math.Float64bits(f) == math.Float64bits(g)
	}
	return reflect.DeepEqual(a, b)
}

func TestSerializeRefusesValuesThatReferToThemselves(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	loop := map[string]any{}
	loop["loop"] = loop
	var wide any = []any{}
	for range 100 { // 2^100 lists, were they written
		wide = []any{wide, wide}
	}
	for name, v := range map[string]any{"itself": loop, "doubled": wide, "large": strings.Repeat("x", 64<<10)} {
		if _, err := c.Serialize(map[string]any{"v": v}, time.Time{}); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if _, err := c.Serialize(map[string]any{"_expires": 1}, time.Time{}); err == nil {
		t.Error("the reserved key: written")
	}
	if _, err := c.Serialize(map[string]any{"\xff": 1}, time.Time{}); err == nil {
		t.Error("a key that is not UTF-8: written")
	}
}

func TestSerializeLeavesTheCallersMapAlone(t *testing.T) {
	c := newCodec(t, longSecret, crypto.SHA256)
	values := map[string]any{"x": 1}
	serialize(t, c, values, time.Unix(1<<40, 0))
	if len(values) != 1 {
		t.Errorf("got %v", values)
	}
}

// pythonScript writes SecureCookies with nothing but Python's own library.
const pythonScript = `
import base64, hashlib, hmac, json, struct, sys, urllib.parse
for line in sys.stdin:
    c = json.loads(line)
    items = c["values"] or {}
    for k, bits in (c["floats"] or {}).items():
        items[k] = struct.unpack(">d", bytes.fromhex(bits))[0]
    if c["expires"]:
        items["_expires"] = c["expires"]
    mac, out = hmac.new(c["secret"].encode(), None, getattr(hashlib, c["hash"])), []
    for k, v in sorted(items.items()):
        text = json.dumps(v, separators=(",", ":"), sort_keys=True)
        out.append(urllib.parse.quote_plus(k).encode() + b"=" + base64.b64encode(text.encode()))
        mac.update(b"|" + out[-1])
    print((base64.b64encode(mac.digest()) + b"?" + b"&".join(out)).decode())
`

type pythonCase struct {
	Secret  string            `json:"secret"`
	Hash    string            `json:"hash"`
	Values  map[string]any    `json:"values"`
	Floats  map[string]string `json:"floats"`
	Expires int64             `json:"expires"`
}

func TestSerializeWritesTheSameAsPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("skipped: there is no python3")
	}
	sha256Codec := newCodec(t, longSecret, crypto.SHA256)
	rng := rand.New(rand.NewPCG(1, 2))
	var in bytes.Buffer
	var wants []string
	for i := range 300 {
		codec, hash := sha256Codec, "sha256"
		if sha1Codec, err := newSHA1(); err == nil && i%2 == 0 {
			codec, hash = sha1Codec, "sha1"
		}
		c, all := randomCase(rng, hash)
		var expires time.Time
		if i%3 == 0 {
			c.Expires = 1<<33 + int64(i)
			expires = time.Unix(c.Expires, 5e8)
		}
		wants = append(wants, serialize(t, codec, all, expires))
		if err := json.NewEncoder(&in).Encode(c); err != nil {
			t.Fatal(err)
		}
		if back, err := codec.Unserialize(wants[i]); err != nil || len(back) != len(all) {
			t.Errorf("case %d: read %v, %v", i, back, err)
		}
	}
	cmd := exec.Command(python, "-c", pythonScript)
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	gots := strings.Fields(string(out))
	if len(gots) != len(wants) {
		t.Fatalf("Python wrote %d cookies, want %d", len(gots), len(wants))
	}
	for i := range wants {
		if gots[i] != wants[i] {
			t.Fatalf("case %d: Python wrote\n%s, this package\n%s", i, gots[i], wants[i])
		}
	}
}

// randomCase returns values for Python, and the same for this package.
func randomCase(rng *rand.Rand, hash string) (pythonCase, map[string]any) {
	c := pythonCase{Secret: longSecret, Hash: hash, Values: randomMap(rng, 3), Floats: map[string]string{}}
	all := maps.Clone(c.Values)
	for i := range 10 {
		f, key := randomFloat(rng), "f "+strconv.Itoa(i)
		all[key], c.Floats[key] = f, fmt.Sprintf("%016x", math.Float64bits(f))
	}
	return c, all
}

func randomFloat(rng *rand.Rand) float64 {
	switch rng.IntN(3) {
	case 0:
		return float64(rng.IntN(2000)-1000) * math.Pow(10, float64(rng.IntN(40)-20))
	case 1:
		return math.Round(rng.NormFloat64()*1e6) / 1e4
	}
	for {
		if f := math.Float64frombits(rng.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	}
}

// randomMap has no floats: encoding/json would write 1.0 as 1 for Python.
func randomMap(rng *rand.Rand, depth int) map[string]any {
	m := map[string]any{}
	for range rng.IntN(5) {
		m[randomString(rng)] = randomValue(rng, depth)
	}
	return m
}

func randomValue(rng *rand.Rand, depth int) any {
	switch n := rng.IntN(7); {
	case n == 0:
		return nil
	case n == 1:
		return rng.IntN(2) == 0
	case n == 2:
		return rng.Int64() - rng.Int64()
	case n == 3:
		return new(big.Int).Lsh(big.NewInt(rng.Int64()), uint(rng.IntN(200)))
	case n == 4 && depth > 0:
		list := make([]any, rng.IntN(4))
		for i := range list {
			list[i] = randomValue(rng, depth-1)
		}
		return list
	case n == 5 && depth > 0:
		return randomMap(rng, depth-1)
	}
	return randomString(rng)
}

func randomString(rng *rand.Rand) string {
	s := make([]rune, rng.IntN(8))
	for i := range s {
		s[i] = [...]rune{rune(rng.IntN(0x80)), rune(rng.IntN(0xd800)), 0xe000 + rune(rng.IntN(0x100000))}[rng.IntN(3)]
	}
	return string(s)
}
