// Package securecookie seals sessions into cookies, which cannot be read, made or
// changed without the key. It needs no store. A session in a cookie cannot be ended
// before it expires; for that, use a store.
//
// Start with a [KeyRing], made by [NewKeyRing] from one or more keys:
//
//	keys, err := securecookie.ParseKeys(os.Getenv("SESSION_KEYS"))
//	…
//	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{
//		Keys:     keys,
//		Audience: "shop.example.com",
//	})
//
// The command beside this package makes a key:
//
//	go run github.com/sessfs/sessions/securecookie/keygen
//
// A [Carrier], made by [NewCarrier], keeps the sessions of
// [sessions.NewMiddleware] in cookies; [KeyRing.SealCookie] seals other
// data; and the ring itself seals the files of a
// [sessions.FilesystemSessionStore], as its Sealer.
//
// # Guarantees and limits
//
// Data from [KeyRing.OpenCookie] were sealed by a holder of one of the keys, for
// this cookie name and this audience, and have not expired. All other values are
// refused with [ErrInvalid], without the reason. Length is not hidden. Data are not
// compressed, because the length of compressed data tells about their content. A
// client can send an old cookie again for as long as it is valid. A cookie can be
// revoked only by dropping its key, or with all sessions of its owner by
// [CarrierOptions.NotBefore]. [Carrier] has the other limits of a session in a
// cookie.
//
// # Rotating keys
//
// The first key of a ring seals, all open. To rotate, put a new key before the
// others in every process's configuration. Drop the oldest when the longest Lifetime
// has passed since the last process had it first, or at once when it has leaked.
// Where processes restart one after the other, first add the new key in second place,
// so that all can open cookies that the first of them seals. A process that lacks
// the key of a session leaves the cookies in the browser and the file on the disk,
// and begins a new session.
//
// A session under an old key, in cookies or in a file, is sealed under the first one
// with the next save or renewal on access. A session in a file without a Lifetime
// can live as long as it is used. Its key can be dropped when the longest idle
// timeout has passed: a session that was not saved or touched since has ended.
// Sessions whose key was dropped are lost; for files, one line in the log reports it.
//
// # Format 1
//
// A sealed cookie is the base64url without padding (RFC 4648 section 5) of
//
//	offset  bytes
//	0       1   version, 0x01
//	1       16  key id
//	17      24  nonce
//	41      n   ciphertext of the frame
//	41+n    16  tag
//
// sealed with XAES-256-GCM (https://c2sp.org/XAES-256-GCM) under the nonce,
// which is random. Key and key id come from the master key, the bytes that the
// ring was given, by HKDF-SHA-256 (RFC 5869) without salt:
//
//	encryption key  32 bytes, info "github.com/sessfs/sessions/securecookie 1 encryption"
//	key id          16 bytes, info "github.com/sessfs/sessions/securecookie 1 key id"
//
// The master key of [KeyFromSecret] is in turn 32 bytes of HKDF-SHA-256 of the
// secret, info "github.com/sessfs/sessions/securecookie 1 secret". AES-GCM
// alone would let one ciphertext open under two chosen keys; the key id, long
// enough that two masters with the same one cannot be found, prevents it.
//
// The frame, with integers in big-endian order and times in milliseconds since
// 1970-01-01 UTC, from 0 to 253402300799999 (the year 9999):
//
//	offset  bytes
//	0       8   issued at
//	8       8   idle expiry, or 0x7fffffffffffffff for none
//	16      8   absolute expiry, or 0x7fffffffffffffff for none
//	24      …   the data
//
// The associated data:
//
//	1   version, 0x01
//	16  key id
//	1   purpose: 'c' for a cookie
//	8   length of the audience in bytes, and the audience
//	8   length of the cookie's name in bytes, and the name
//
// A cookie is valid while now < idle expiry, now < absolute expiry, and issued
// at <= now + one minute ([Leeway]). A decoder must refuse all that its encoder
// would not write: padding, other characters (many decoders skip CR and LF), bits
// set after the last byte. The format adds 81 bytes, and so always 108 characters to
// the unpadded base64 of the data.
//
// # Sessions in cookies
//
// The data of a session that a [Carrier] seals, with integers in big-endian
// order:
//
//	bytes
//	1   layout, 0x01
//	16  the session's ID, which in text is the hexadecimal of it
//	8   when it was made or renewed, in nanoseconds since 1970-01-01 UTC
//	1   persistence of the cookie
//	…   when its owner logged in, likewise, or 0
//	…   its own idle timeout in seconds, or 0 for the carrier's
//	…   its own lifetime in seconds, or 0 for the carrier's
//	…   length of the owner in bytes, and the owner
//	…   length of the meta text in bytes, and the text
//	…   length of the codec's name in bytes, and the name
//	…   the values: as one JSON object for a codec of JSON, otherwise each key
//	    and each value behind its length, in the order of the keys
//
// The time of the login, the timeouts and the lengths are uvarints, as in package
// encoding/binary. The frame's times follow from the timeouts at the time of sealing.
// The present ones of the carrier's options count as well, if they are shorter.
//
// A session whose name and sealed value together have more than 4,093
// characters is kept in 2 to 20 cookies, named with "-0", "-1" and so on behind
// the name. The value of each is
//
//	<count>.<set id>.<part>
//
// the number of the cookies in decimal, 8 random characters of base64url that are
// the same in all of them, and a part of the sealed value: of 4,078 characters less
// the length of the session's name, or the rest in the last. The value is sealed for
// the session's name, followed by ";" and "<count>.<set id>.", so that these cannot be
// changed either. A decoder refuses a set of which a part is missing, is there twice
// or has another length. Of more than two cookies of one name it reads none.
//
// # Other data
//
// Data at rest ([KeyRing.Seal]) are the same bytes without base64, with the
// data as frame (no times), purpose 'd' and the context in the name's place.
//
// A key in text form is "sk1_" and the unpadded base64url of the master key
// and of the first four bytes of its SHA-256. testdata/format1.json has
// examples of all this, and of values to refuse.
package securecookie

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// MaxKeys is the greatest number of keys in a [KeyRing]. Rotation needs two
// or three; a list of more than 16 was never pruned.
const MaxKeys = 16

// KeyRingOptions are the parts of a [KeyRing].
type KeyRingOptions struct {
	_ struct{} // no literal without names

	// Keys has 1 to [MaxKeys] different keys. The first seals, all open. A key
	// may go one lifetime after it was the first; see the package comment.
	Keys []Key

	// Audience names the application: a value sealed for one audience is
	// refused by every other, under the same keys. [NewCarrier] demands one.
	// For a ring that seals files, or values of its own, the default is the
	// empty audience, an audience like any other.
	Audience string
}

// A KeyRing seals and opens. It is made by [NewKeyRing], does not change,
// and may be used by several goroutines at once.
type KeyRing struct {
	keys     []*ringKey
	audience string
	now      func() time.Time
}

type ringKey struct {
	id     [keyIDSize]byte
	cipher *xaes
}

// NewKeyRing returns a key ring of the options. The error joins all that is wrong
// with them: no key or more than [MaxKeys], a zero [Key], a key that is there twice.
func NewKeyRing(o KeyRingOptions) (*KeyRing, error) {
	var errs []error
	switch n := len(o.Keys); {
	case n == 0:
		errs = append(errs, errors.New("securecookie: a key ring needs a key"))
	case n > MaxKeys:
		return nil, fmt.Errorf("securecookie: %d keys in a key ring, want %d or fewer", n, MaxKeys)
	}
	r := &KeyRing{audience: o.Audience, now: time.Now}
	for i, k := range o.Keys {
		if k.m == nil {
			errs = append(errs, fmt.Errorf("securecookie: key %d of the key ring is the zero Key", i+1))
			continue
		}
		if r.find(k.m.id[:]) != nil {
			// Harmless, but the sign of a rotation that went wrong.
			errs = append(errs, fmt.Errorf("securecookie: key %d of the key ring is there twice", i+1))
			continue
		}
		c, err := newXAES(k.m.secret.encryption)
		if err != nil {
			errs = append(errs, fmt.Errorf("securecookie: %w", err))
			continue
		}
		r.keys = append(r.keys, &ringKey{k.m.id, c})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return r, nil
}

// find returns the key with the id, or nil. It looks at all keys and at all
// bytes of their ids, so that its duration depends on neither.
func (r *KeyRing) find(id []byte) *ringKey {
	var found *ringKey
	for _, k := range r.keys {
		if subtle.ConstantTimeCompare(k.id[:], id) == 1 {
			found = k
		}
	}
	return found
}

// String returns the number of keys and the id of the one that seals.
func (r *KeyRing) String() string {
	switch {
	case r == nil || len(r.keys) == 0:
		return "securecookie.KeyRing(no keys)"
	case len(r.keys) == 1:
		return fmt.Sprintf("securecookie.KeyRing(1 key, id %x)", r.keys[0].id)
	}
	return fmt.Sprintf("securecookie.KeyRing(%d keys, first id %x)", len(r.keys), r.keys[0].id)
}

// GoString is [KeyRing.String].
func (r *KeyRing) GoString() string { return r.String() }

// Format writes [KeyRing.String], whatever the verb.
func (r *KeyRing) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// LogValue is [KeyRing.String], for log/slog.
func (r *KeyRing) LogValue() slog.Value { return slog.StringValue(r.String()) }
