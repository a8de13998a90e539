package securecookie

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sessfs/sessions"
)

const (
	// MaxCookieData is the greatest length of data, in bytes, that
	// [KeyRing.SealCookie] seals and [KeyRing.OpenCookie] opens: 64 KiB. It bounds
	// the memory that a hostile value costs, and is well above the 8 to 32 KiB that
	// servers mostly accept in the headers of one request.
	MaxCookieData = 64 << 10

	// MaxData is the greatest length of data, in bytes, that [KeyRing.Seal]
	// seals and [KeyRing.Open] opens: 1 GiB, below the 64 GiB at which
	// AES-GCM ends.
	MaxData = 1 << 30
)

const (
	version1 = 0x01

	purposeCookie = 'c'
	purposeData   = 'd'

	headerSize   = 1 + keyIDSize                                  // bytes: version, key id
	overheadSize = headerSize + deriveSize + gcmNonce + gcmTag    // bytes
	maxPooled    = 4 * (overheadSize + timesSize + MaxCookieData) // bytes of scratch that is kept
)

// ErrInvalid is the one error of [KeyRing.OpenCookie] and [KeyRing.Open]: the value
// is damaged, forged, expired, from the future, of an unknown version, or was sealed
// under a key that the ring does not have, or for another name, context or audience.
// The error does not tell these apart, since an attacker could learn from the
// difference.
var ErrInvalid = errors.New("securecookie: invalid value")

// ErrTooLarge is the error of sealing more than [MaxCookieData] or [MaxData].
var ErrTooLarge = errors.New("securecookie: data too large")

// SealCookie returns the value of a cookie of that name: data and t, encrypted and
// authenticated in format 1 (see the package comment). The value needs no quotes, and
// is 108 characters longer than the base64 of the data. Data may be empty.
//
// The value opens under the same name only, which must not be empty. More than
// [MaxCookieData] is refused with [ErrTooLarge]; browsers keep no more than 4,096
// bytes of name and value. Times that have passed are not an error here, but in
// OpenCookie. Times before 1970 or after 9999 are.
func (r *KeyRing) SealCookie(name string, data []byte, t Times) (string, error) {
	if name == "" {
		return "", errors.New("securecookie: no cookie name")
	}
	if len(data) > MaxCookieData {
		return "", fmt.Errorf("%w: %d bytes, want %d or fewer", ErrTooLarge, len(data), MaxCookieData)
	}
	if len(r.keys) == 0 {
		return "", errNoKeys
	}
	if t.IssuedAt.IsZero() {
		t.IssuedAt = r.now()
	}
	s := getScratch()
	defer s.put()
	// The plaintext lies where seal needs it, and is overwritten there: nothing of
	// it remains in the pool.
	buf := slices.Grow(s.sealed[:0], overheadSize+timesSize+len(data))
	frame, err := t.appendTo(buf[headerSize+deriveSize : headerSize+deriveSize])
	if err != nil {
		return "", err
	}
	frame = append(frame, data...)
	s.sealed, err = r.seal(s, buf, purposeCookie, name, frame)
	if err != nil {
		return "", err
	}
	s.text = appendEncode(s.text[:0], s.sealed)
	return string(s.text), nil
}

// OpenCookie returns the data and the times that [KeyRing.SealCookie] sealed into
// value for a cookie of that name. For any other value it returns no data, no times
// and [ErrInvalid].
func (r *KeyRing) OpenCookie(name, value string) ([]byte, Times, error) {
	if name == "" || len(value) > maxCookieText {
		return nil, Times{}, ErrInvalid
	}
	s := getScratch()
	defer s.put()
	var err error
	s.sealed, err = appendDecode(s.sealed[:0], value)
	if err != nil {
		return nil, Times{}, ErrInvalid
	}
	frame, err := r.open(s, purposeCookie, name, s.sealed)
	if err != nil || len(frame) < timesSize {
		return nil, Times{}, ErrInvalid
	}
	t, ok := parseTimes(frame[:timesSize], r.now())
	if !ok {
		return nil, Times{}, ErrInvalid
	}
	return frame[timesSize:], t, nil
}

// Seal returns data encrypted and authenticated, without expiry, for data at rest. The
// result is 57 bytes longer than data. It opens under the same context only, a
// session's ID for instance, which is not in the result and may be empty. More than
// [MaxData] is refused with [ErrTooLarge]. [KeyRing.OpenCookie] refuses data from Seal,
// and Open refuses cookies.
func (r *KeyRing) Seal(data []byte, context string) ([]byte, error) {
	if len(data) > MaxData {
		return nil, fmt.Errorf("%w: %d bytes, want %d or fewer", ErrTooLarge, len(data), MaxData)
	}
	if len(r.keys) == 0 {
		return nil, errNoKeys
	}
	s := getScratch()
	defer s.put()
	buf := make([]byte, 0, overheadSize+len(data))
	return r.seal(s, buf, purposeData, context, data)
}

// Open returns the data that [KeyRing.Seal] sealed for that context, in memory of its
// own. For any other bytes it returns no data and [ErrInvalid].
func (r *KeyRing) Open(sealed []byte, context string) ([]byte, error) {
	if len(sealed) > overheadSize+MaxData {
		return nil, ErrInvalid
	}
	s := getScratch()
	defer s.put()
	return r.open(s, purposeData, context, sealed)
}

var _ sessions.RotatingSealer = (*KeyRing)(nil)

// Current reports whether data from [KeyRing.Seal] name the first key of the ring.
// Others are to be sealed again before their key is dropped. Current does not check
// that the data open.
func (r *KeyRing) Current(sealed []byte) bool {
	return len(r.keys) > 0 && len(sealed) >= headerSize && sealed[0] == version1 && [keyIDSize]byte(sealed[1:headerSize]) == r.keys[0].id
}

var errNoKeys = errors.New("securecookie: a KeyRing that NewKeyRing did not make")

// seal appends version, key id, nonce, ciphertext and tag to dst, which is
// empty. The frame may lie headerSize+deriveSize bytes into dst's memory.
func (r *KeyRing) seal(s *scratch, dst []byte, purpose byte, context string, frame []byte) ([]byte, error) {
	k := r.keys[0]
	dst = append(dst, version1)
	dst = append(dst, k.id[:]...)
	s.setAdditional(k, purpose, r.audience, context)
	dst, err := k.cipher.seal(&s.key, dst, frame, s.additional)
	if err != nil {
		return nil, fmt.Errorf("securecookie: %w", err)
	}
	return dst, nil
}

// open returns the frame in sealed data. It tries the key that they name alone.
func (r *KeyRing) open(s *scratch, purpose byte, context string, sealed []byte) ([]byte, error) {
	if len(sealed) < overheadSize || sealed[0] != version1 {
		return nil, ErrInvalid
	}
	k := r.find(sealed[1:headerSize])
	if k == nil {
		return nil, ErrInvalid
	}
	s.setAdditional(k, purpose, r.audience, context)
	frame, err := k.cipher.open(&s.key, sealed[headerSize:], s.additional)
	if err != nil {
		return nil, ErrInvalid
	}
	return frame, nil
}

var maxCookieText = encodedLen(overheadSize + timesSize + MaxCookieData)

// scratch is the memory of one seal or open. It is pooled: arguments of a cipher
// escape to the heap, and would be half of the allocations.
type scratch struct {
	key        [32]byte // of the message; cleared after use
	additional []byte
	sealed     []byte
	text       []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) put() {
	if cap(s.additional)+cap(s.sealed)+cap(s.text) <= maxPooled {
		scratches.Put(s)
	}
}

// setAdditional sets the associated data. Every part has a fixed size or its
// length before it, so that no two different lists of parts read alike.
func (s *scratch) setAdditional(k *ringKey, purpose byte, audience, context string) {
	b := append(s.additional[:0], version1)
	b = append(b, k.id[:]...)
	b = append(b, purpose)
	b = binary.BigEndian.AppendUint64(b, uint64(len(audience)))
	b = append(b, audience...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(context)))
	s.additional = append(b, context...)
}
