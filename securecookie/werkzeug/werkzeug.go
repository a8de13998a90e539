// Package werkzeug reads and writes the SecureCookie of Python's werkzeug
// (up to 0.16) and of its successor secure_cookie, in their JSON
// serialisation, so that an application can move to Go and keep its users
// logged in: read the old cookies with [Codec.Unserialize], write new ones
// with package securecookie. Where both run side by side, [Codec.Serialize]
// writes cookies that Python reads.
//
// Such a cookie is signed and not encrypted: it is readable. It is
// not bound to the cookie's name, and its signature is HMAC-SHA-1 unless the
// application chose otherwise. Write it only for as long as Python must read it.
// Cookies serialised by pickle, werkzeug's old default, cannot be read: that
// would mean to run their code.
//
// # Versions of Python's libraries
//
// They do not write the same bytes. The output of this package is, byte for byte,
// that of secure_cookie with werkzeug up to 2.0, the only versions that its releases
// (0.1.0 and 0.2.0) run with. Its unreleased code, with werkzeug 2.1 to 2.3,
// leaves the characters !$'()*,; of keys as they are. werkzeug 0.16.1 with json
// as serialization_method has spaces in the JSON, and does not sort the keys of
// maps in maps. Reading works both ways with all of these.
//
// Where werkzeug 2.1 to 2.3 leaves a comma or a semicolon in a key, it puts \054
// or \073 for it into the header, and net/http drops such a cookie.
// [CookieValue] finds it.
//
// # Where this package is stricter
//
// The signature covers items joined by "|" that are joined by "&" in the
// cookie, and Python reads base64 with foreign characters in it. So a client
// can put a "|" for the "&" before the expiry, which is then part of the value
// before it and skipped: an expired cookie loads again. This package reads only the
// one base64 text that a value has.
//
// It also refuses, where Python raises an exception or lets them pass: bad
// padding, keys and strings that are not UTF-8 (a lone surrogate among them), a
// key that is there twice, an expiry that is not a number, NaN and the infinities.
// In one case it reads a cookie for which Python raises an exception: a signed key
// with characters outside of ASCII that are not escaped.
package werkzeug

import (
	"crypto"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxValue is the longest cookie value read or written, in bytes: 64 KiB.
// Browsers keep 4,096 bytes of a cookie.
const maxValue = 64 << 10

// fipsSecret is the shortest HMAC key, in bytes, of Go's FIPS 140-3 mode.
const fipsSecret = 112 / 8

// expiresKey is the item that holds the expiry.
const expiresKey = "_expires"

var (
	// ErrInvalid is the one error of [Codec.Unserialize] about a cookie,
	// whatever is wrong with it: malformed, forged, expired, or too long.
	ErrInvalid = errors.New("securecookie/werkzeug: invalid value")

	// ErrFIPS is the error where Go's FIPS 140-3 mode (GODEBUG=fips140=only)
	// does not allow the hash, which goes for SHA-1, or the secret, which
	// must then be of 14 bytes or more.
	ErrFIPS = errors.New("securecookie/werkzeug: hash or secret not allowed in FIPS 140-3 mode")
)

// Options are the settings of a [Codec].
type Options struct {
	_ struct{} // no literal without names

	// Hash is crypto.SHA1 or crypto.SHA256: the hash_method of the Python
	// class. The zero value means crypto.SHA1, its default.
	Hash crypto.Hash
}

// A Codec reads and writes SecureCookies under one secret. It is made by
// [New], does not change, and may be used by several goroutines at once. Printing or
// logging it does not show the secret.
type Codec struct {
	mac  func() hash.Hash // a closure, whose variables cannot be printed
	fips bool             // whether FIPS 140-3 mode allows mac
	now  func() time.Time
}

// New returns a codec for the secret_key of the Python application: its bytes, or its
// UTF-8 if it was a str. An empty secret and a hash other than those of [Options] are
// refused, and with [ErrFIPS] all that FIPS 140-3 mode does not allow. A short secret
// is not refused, because its cookies exist; but anyone who has one cookie can try
// secrets offline.
func New(secret string, o Options) (*Codec, error) {
	if secret == "" {
		return nil, errors.New("securecookie/werkzeug: no secret")
	}
	c := &Codec{now: time.Now}
	switch o.Hash {
	case 0, crypto.SHA1:
		c.mac = func() hash.Hash { return hmac.New(sha1.New, []byte(secret)) }
	case crypto.SHA256:
		c.mac = func() hash.Hash { return hmac.New(sha256.New, []byte(secret)) }
		c.fips = len(secret) >= fipsSecret
	default:
		return nil, errors.New("securecookie/werkzeug: a hash that is not SHA-1 or SHA-256")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// check keeps package hmac from panicking. It is called for every cookie,
// because the mode can change: see [fips140.WithoutEnforcement].
func (c *Codec) check() error {
	if fips140.Enforced() && !c.fips {
		return ErrFIPS
	}
	return nil
}

// Unserialize returns the values of a cookie that was serialised under the
// codec's secret and has not expired: nil, bool, string, int64 (or *big.Int,
// where that is too small), float64, []any and map[string]any. The expiry is
// not among them. Value is the cookie's value, from [CookieValue] or
// net/http.
//
// For every other cookie it returns an empty map and [ErrInvalid], or [ErrFIPS]. The map
// is never nil, so a caller may ignore the error, and has an empty session as in
// Python. Programs that move users over can count the refused cookies by it.
func (c *Codec) Unserialize(value string) (map[string]any, error) {
	if err := c.check(); err != nil {
		return map[string]any{}, err
	}
	values, ok := c.unserialize(value)
	if !ok {
		return map[string]any{}, ErrInvalid
	}
	return values, nil
}

func (c *Codec) unserialize(value string) (map[string]any, bool) {
	if len(value) > maxValue {
		return nil, false
	}
	signature, data, found := strings.Cut(value, "?")
	if !found {
		return nil, false
	}
	var items []string
	if data != "" {
		items = strings.Split(data, "&")
	}
	// Compared as text: the signature, too, has one base64 only.
	if subtle.ConstantTimeCompare([]byte(signature), []byte(c.sign(items))) != 1 {
		return nil, false
	}
	values := make(map[string]any, len(items))
	for _, item := range items {
		key, v, ok := parseItem(item)
		if _, twice := values[key]; !ok || twice {
			return nil, false
		}
		values[key] = v
	}
	if expires, found := values[expiresKey]; found {
		if !c.before(expires) {
			return nil, false
		}
		delete(values, expiresKey)
	}
	return values, true
}

// sign returns the signature of the items.
func (c *Codec) sign(items []string) string {
	mac := c.mac()
	for _, item := range items {
		mac.Write([]byte("|"))
		mac.Write([]byte(item))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// parseItem reads a key, "=" and the base64 of the value's JSON.
func parseItem(item string) (string, any, bool) {
	quoted, text, found := strings.Cut(item, "=")
	if !found {
		return "", nil, false
	}
	key, err := url.QueryUnescape(quoted)
	if err != nil || !utf8.ValidString(key) {
		return "", nil, false
	}
	// The comparison closes the gap that the package comment describes. It
	// also refuses CR and LF, which package base64 skips in strict mode too.
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != text {
		return "", nil, false
	}
	v, ok := decodeJSON(raw)
	return key, v, ok
}

// before reports whether now is at or before expires, in seconds since 1970.
func (c *Codec) before(expires any) bool {
	now := new(big.Rat).SetFrac64(c.now().UnixMicro(), 1e6)
	limit := new(big.Rat)
	switch e := expires.(type) {
	case int64:
		limit.SetInt64(e)
	case *big.Int:
		limit.SetInt(e)
	case float64:
		limit.SetFloat64(e) // finite: it comes from JSON
	default:
		return false
	}
	return now.Cmp(limit) <= 0
}

// Serialize returns the cookie value for values, valid up to and including
// the second of expires; the zero Time means without end. The value needs no
// quotes in a Set-Cookie header.
//
// Values may be those of [Codec.Unserialize], any other integer, float,
// string or bool type, json.Number, and slices, arrays and maps with string
// keys of all these; each is written as its underlying type, and MarshalJSON
// is not called. A nil slice is written as an empty one. Anything else (bytes,
// structs, pointers, NaN, infinities, strings that are not UTF-8), the reserved
// key "_expires", nesting deeper than 1,000 and a result longer than 64 KiB
// are errors, which name a type at most.
func (c *Codec) Serialize(values map[string]any, expires time.Time) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	if _, found := values[expiresKey]; found {
		return "", errors.New("securecookie/werkzeug: the key " + expiresKey + " is reserved")
	}
	if !expires.IsZero() {
		values = maps.Clone(values)
		if values == nil {
			values = map[string]any{}
		}
		values[expiresKey] = expires.Unix()
	}
	var items []string
	size := 0
	// Byte order of UTF-8 is code-point order, which is Python's.
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !utf8.ValidString(key) {
			return "", errNotUTF8
		}
		text, err := encodeJSON(values[key])
		if err != nil {
			return "", err
		}
		item := url.QueryEscape(key) + "=" + base64.StdEncoding.EncodeToString(text)
		if size += len(item) + 1; size > maxValue {
			return "", errTooLarge
		}
		items = append(items, item)
	}
	value := c.sign(items) + "?" + strings.Join(items, "&")
	if len(value) > maxValue {
		return "", errTooLarge
	}
	return value, nil
}

// CookieValue returns the value of the request's first cookie of that name,
// without quotes around it, or "" when there is none. Unlike
// [http.Request.Cookie] it finds a cookie that has \054 for a comma or \073 for a
// semicolon, and returns these.
func CookieValue(r *http.Request, name string) string {
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			found, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if ok && found == name {
				return unescaper.Replace(strings.Trim(value, `"`))
			}
		}
	}
	return ""
}

// unescaper replaces all escapes that Python's library writes into such a value.
var unescaper = strings.NewReplacer(`\054`, ",", `\073`, ";")

// String returns the type's name, and nothing of the secret.
func (c *Codec) String() string { return "werkzeug.Codec" }

// GoString is [Codec.String].
func (c *Codec) GoString() string { return c.String() }

// Format writes [Codec.String], whatever the verb.
func (c *Codec) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue is [Codec.String], for log/slog.
func (c *Codec) LogValue() slog.Value { return slog.StringValue(c.String()) }
