package securecookie_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sessfs/sessions/securecookie"
)

// go test -run TestVectorsAreCurrent ./securecookie -update
var update = flag.Bool("update", false, "write testdata/format1.json anew, with other nonces")

const vectorFile = "testdata/format1.json"

// vectors is the content of testdata/format1.json. Bytes are in hexadecimal,
// times in Unix milliseconds; a key is named by its place in Keys.
type vectors struct {
	About   string         `json:"about"`
	Keys    []keyVector    `json:"keys"`
	Cookies []cookieVector `json:"cookies"`
	Data    []dataVector   `json:"data"`
	Refused []cookieVector `json:"refused"`
}

type keyVector struct {
	Secret        string `json:"secret,omitempty"`
	Master        string `json:"master"`
	Text          string `json:"text"`
	ID            string `json:"id"`
	EncryptionKey string `json:"encryption_key"`
}

type cookieVector struct {
	Why        string `json:"why"`
	Key        int    `json:"key"`
	Audience   string `json:"audience"`
	Name       string `json:"name"`
	Now        int64  `json:"now"`
	IssuedAt   int64  `json:"issued_at,omitempty"`
	Idle       int64  `json:"idle_expiry,omitempty"`
	Absolute   int64  `json:"absolute_expiry,omitempty"`
	Data       string `json:"data,omitempty"`
	Associated string `json:"associated_data,omitempty"`
	Frame      string `json:"frame,omitempty"`
	Value      string `json:"value"`
}

type dataVector struct {
	Key        int    `json:"key"`
	Audience   string `json:"audience"`
	Context    string `json:"context"`
	Data       string `json:"data"`
	Associated string `json:"associated_data"`
	Sealed     string `json:"sealed"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	text, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v vectors) ring(t testing.TB, key int, audience string, now int64) *securecookie.KeyRing {
	t.Helper()
	k, err := securecookie.ParseKey(v.Keys[key].Text)
	if err != nil {
		t.Fatal(err)
	}
	ring := newRing(t, audience, k)
	ring.SetNow(func() time.Time { return time.UnixMilli(now) })
	return ring
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func TestVectorsAreOpened(t *testing.T) {
	v := readVectors(t)
	for i, c := range v.Cookies {
		data, times, err := v.ring(t, c.Key, c.Audience, c.Now).OpenCookie(c.Name, c.Value)
		if err != nil || hex.EncodeToString(data) != c.Data {
			t.Errorf("cookie %d, %s: got %x, %v", i, c.Why, data, err)
		}
		got := [3]int64{millis(times.IssuedAt), millis(times.Idle), millis(times.Absolute)}
		if want := [3]int64{c.IssuedAt, c.Idle, c.Absolute}; got != want {
			t.Errorf("cookie %d, %s: got times %v, want %v", i, c.Why, got, want)
		}
	}
	for i, d := range v.Data {
		data, err := v.ring(t, d.Key, d.Audience, 0).Open(unhex(t, d.Sealed), d.Context)
		if err != nil || hex.EncodeToString(data) != d.Data {
			t.Errorf("data %d: got %x, %v", i, data, err)
		}
	}
	for i, c := range v.Refused {
		mustRefuse(t, v.ring(t, c.Key, c.Audience, c.Now), c.Name, c.Value, c.Why)
		if c.Why == "" {
			t.Errorf("refused %d says no reason", i)
		}
	}
}

// This test follows the package comment alone: it calls no function of the package.
func TestVectorsFollowThePackageComment(t *testing.T) {
	v := readVectors(t)
	const prefix = "github.com/sessfs/sessions/securecookie 1 "
	for i, k := range v.Keys {
		if k.Secret != "" && k.Master != hex.EncodeToString(derive(t, []byte(k.Secret), prefix+"secret", 32)) {
			t.Errorf("key %d: not the secret's", i)
		}
		master := unhex(t, k.Master)
		sum := sha256.Sum256(master)
		if want := "sk1_" + base64.RawURLEncoding.EncodeToString(slices.Concat(master, sum[:4])); k.Text != want {
			t.Errorf("key %d: text %s, want %s", i, k.Text, want)
		}
		if want := hex.EncodeToString(derive(t, master, prefix+"key id", 16)); k.ID != want {
			t.Errorf("key %d: id %s, want %s", i, k.ID, want)
		}
		if want := hex.EncodeToString(derive(t, master, prefix+"encryption", 32)); k.EncryptionKey != want {
			t.Errorf("key %d: encryption key %s, want %s", i, k.EncryptionKey, want)
		}
	}
	for i, c := range v.Cookies {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(c.Value)
		if err != nil {
			t.Fatal(err)
		}
		frame, associated := referenceOpen(t, v.Keys[c.Key], 'c', c.Audience, c.Name, raw)
		want := unhex(t, c.Data)
		for _, at := range []int64{c.Absolute, c.Idle, c.IssuedAt} {
			if at == 0 {
				at = 0x7fffffffffffffff
			}
			want = slices.Concat(binary.BigEndian.AppendUint64(nil, uint64(at)), want)
		}
		if !bytes.Equal(frame, want) || c.Frame != hex.EncodeToString(want) || c.Associated != hex.EncodeToString(associated) {
			t.Errorf("cookie %d, %s: frame %x, want %x", i, c.Why, frame, want)
		}
	}
	for i, d := range v.Data {
		frame, associated := referenceOpen(t, v.Keys[d.Key], 'd', d.Audience, d.Context, unhex(t, d.Sealed))
		if hex.EncodeToString(frame) != d.Data || d.Associated != hex.EncodeToString(associated) {
			t.Errorf("data %d: got %x, want %s", i, frame, d.Data)
		}
	}
}

func referenceOpen(t *testing.T, key keyVector, purpose byte, audience, name string, raw []byte) (frame, associated []byte) {
	t.Helper()
	associated = slices.Concat([]byte{1}, unhex(t, key.ID), []byte{purpose},
		binary.BigEndian.AppendUint64(nil, uint64(len(audience))), []byte(audience),
		binary.BigEndian.AppendUint64(nil, uint64(len(name))), []byte(name))
	if raw[0] != 1 || !bytes.Equal(raw[1:17], unhex(t, key.ID)) {
		t.Errorf("version %d, key id %x", raw[0], raw[1:17])
	}
	block, err := aes.NewCipher(unhex(t, key.EncryptionKey))
	if err != nil {
		t.Fatal(err)
	}
	l := make([]byte, 16)
	block.Encrypt(l, l)
	hi, lo := binary.BigEndian.Uint64(l), binary.BigEndian.Uint64(l[8:])
	k1hi, k1lo := hi<<1|lo>>63, lo<<1
	if hi>>63 == 1 {
		k1lo ^= 0x87
	}
	sub := make([]byte, 32)
	for i := range 2 {
		m := slices.Concat([]byte{0, byte(i + 1), 0x58, 0}, raw[17:29])
		binary.BigEndian.PutUint64(m, binary.BigEndian.Uint64(m)^k1hi)
		binary.BigEndian.PutUint64(m[8:], binary.BigEndian.Uint64(m[8:])^k1lo)
		block.Encrypt(sub[16*i:], m)
	}
	if block, err = aes.NewCipher(sub); err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block) // the nonce is the first 12 bytes
	if err != nil {
		t.Fatal(err)
	}
	frame, err = gcm.Open(nil, nil, raw[29:], associated)
	if err != nil {
		t.Errorf("not opened: %v", err)
	}
	return frame, associated
}

func derive(t *testing.T, secret []byte, info string, n int) []byte {
	t.Helper()
	b, err := hkdf.Key(sha256.New, secret, nil, info, n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Vectors that do not depend on nonces must be as this test would write them; with
// -update it writes it.
func TestVectorsAreCurrent(t *testing.T) {
	made := makeVectors(t)
	if *update {
		text, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	strip := func(v vectors) string {
		for _, list := range [][]cookieVector{v.Cookies, v.Refused} {
			for i := range list {
				list[i].Value = ""
			}
		}
		for i := range v.Data {
			v.Data[i].Sealed = ""
		}
		text, _ := json.MarshalIndent(v, "", "  ")
		return string(text)
	}
	if strip(made) != strip(readVectors(t)) {
		t.Errorf("%s is not what this test writes with -update", vectorFile)
	}
}

func makeVectors(t *testing.T) vectors {
	t.Helper()
	v := vectors{About: "Format 1 of github.com/sessfs/sessions/securecookie: see the package comment. " +
		"Bytes in hexadecimal, times in Unix milliseconds, no time where there is none; keys by their place in the list. " +
		"These keys are published: use them for nothing else."}
	for _, k := range []struct {
		secret string
		master []byte
	}{
		{"", counting(0, 32)},
		{"correct horse battery staple, and then some more", nil},
		{"", counting(0x80, 64)},
	} {
		v.Keys = append(v.Keys, makeKeyVector(t, k.secret, k.master))
	}
	const now, hour = 1772366400000, 3600000 // 2026-03-01 12:00 UTC
	for _, c := range []cookieVector{
		{Why: "no expiry, no audience, no data", Name: "session", Now: now, IssuedAt: now},
		{Why: "all times", Audience: "shop.example.com", Name: "__Host-session", Now: now, IssuedAt: now - hour, Idle: now + 1, Absolute: now + 24*hour, Data: hex.EncodeToString([]byte(`{"user_id":42}`))},
		{Why: "issued within the leeway", Key: 1, Audience: "Größe", Name: "session", Now: now, IssuedAt: now + 60000, Data: "00"},
		{Why: "a long key, 256 different bytes", Key: 2, Name: "s", Now: now, IssuedAt: now - 1, Absolute: 253402300799999, Data: hex.EncodeToString(counting(0, 256))},
	} {
		v.Cookies = append(v.Cookies, v.sealed(t, c))
	}
	for _, d := range []dataVector{
		{Context: "", Data: ""},
		{Audience: "shop.example.com", Context: "6a09e667f3bcc908", Data: hex.EncodeToString([]byte("data at rest"))},
	} {
		sealed, err := v.ring(t, d.Key, d.Audience, now).Seal(unhex(t, d.Data), d.Context)
		if err != nil {
			t.Fatal(err)
		}
		_, associated := referenceOpen(t, v.Keys[d.Key], 'd', d.Audience, d.Context, sealed)
		d.Associated, d.Sealed = hex.EncodeToString(associated), hex.EncodeToString(sealed)
		v.Data = append(v.Data, d)
	}
	v.Refused = v.refused(t, now)
	return v
}

func makeKeyVector(t *testing.T, secret string, master []byte) keyVector {
	t.Helper()
	k := keyVector{Secret: secret}
	if secret != "" {
		master = derive(t, []byte(secret), "github.com/sessfs/sessions/securecookie 1 secret", 32)
		if made, err := securecookie.KeyFromSecret(secret); err != nil || made.ID() != newKey(t, master).ID() {
			t.Errorf("KeyFromSecret: another key, %v", err)
		}
	}
	k.Master, k.Text, k.ID = hex.EncodeToString(master), newKey(t, master).Reveal(), newKey(t, master).ID()
	k.EncryptionKey = hex.EncodeToString(derive(t, master, "github.com/sessfs/sessions/securecookie 1 encryption", 32))
	return k
}

func (v vectors) sealed(t *testing.T, c cookieVector) cookieVector {
	t.Helper()
	at := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms)
	}
	times := securecookie.Times{IssuedAt: at(c.IssuedAt), Idle: at(c.Idle), Absolute: at(c.Absolute)}
	c.Value = seal(t, v.ring(t, c.Key, c.Audience, c.Now), c.Name, unhex(t, c.Data), times)
	raw, _ := base64.RawURLEncoding.DecodeString(c.Value)
	frame, associated := referenceOpen(t, v.Keys[c.Key], 'c', c.Audience, c.Name, raw)
	c.Frame, c.Associated = hex.EncodeToString(frame), hex.EncodeToString(associated)
	return c
}

// refused returns cookies that are sealed and then spoilt.
func (v vectors) refused(t *testing.T, now int64) []cookieVector {
	t.Helper()
	good := func(c cookieVector) cookieVector {
		c.Name, c.Now, c.Data = "session", now, "00"
		if c.IssuedAt == 0 {
			c.IssuedAt = now
		}
		return v.sealed(t, c)
	}
	spoil := func(why string, c cookieVector, f func(c *cookieVector)) cookieVector {
		f(&c)
		return cookieVector{Why: why, Key: c.Key, Audience: c.Audience, Name: c.Name, Now: c.Now, Value: c.Value}
	}
	flip := func(at int) func(*cookieVector) {
		return func(c *cookieVector) {
			raw, _ := base64.RawURLEncoding.DecodeString(c.Value)
			raw[(at+len(raw))%len(raw)] ^= 0x80
			c.Value = base64.RawURLEncoding.EncodeToString(raw)
		}
	}
	plain := good(cookieVector{})
	var data string
	if sealed, err := v.ring(t, 0, "", now).Seal(make([]byte, 24), "session"); err == nil {
		data = base64.RawURLEncoding.EncodeToString(sealed)
	}
	nothing := func(*cookieVector) {}
	return []cookieVector{
		spoil("another version", plain, flip(0)),
		spoil("key id changed", plain, flip(1)),
		spoil("first half of the nonce changed", plain, flip(17)),
		spoil("second half of the nonce changed", plain, flip(29)),
		spoil("ciphertext changed", plain, flip(41)),
		spoil("tag changed", plain, flip(-1)),
		spoil("another key", plain, func(c *cookieVector) { c.Key = 1 }),
		spoil("another name", plain, func(c *cookieVector) { c.Name = "session-0" }),
		spoil("another audience", plain, func(c *cookieVector) { c.Audience = "shop.example.com" }),
		spoil("the leeway exceeded", good(cookieVector{IssuedAt: now + 60001}), nothing),
		spoil("idle expiry reached", good(cookieVector{Idle: now}), nothing),
		spoil("absolute expiry reached", good(cookieVector{Absolute: now}), nothing),
		spoil("data at rest", plain, func(c *cookieVector) { c.Value = data }),
		spoil("line feed at the end", plain, func(c *cookieVector) { c.Value += "\n" }),
		spoil("carriage return inside", plain, func(c *cookieVector) { c.Value = c.Value[:9] + "\r" + c.Value[9:] }),
		spoil("padding", plain, func(c *cookieVector) { c.Value += "==" }),
		spoil("bits after the last byte", plain, func(c *cookieVector) {
			last := c.Value[len(c.Value)-1]
			c.Value = c.Value[:len(c.Value)-1] + string("BRhx"[slices.Index([]byte("AQgw"), last)])
		}),
		spoil("cut short", plain, func(c *cookieVector) { c.Value = c.Value[:len(c.Value)-4] }),
		spoil("empty", plain, func(c *cookieVector) { c.Value = "" }),
	}
}
