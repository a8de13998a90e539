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
	// [KeyRing.SealCookie] seals and [KeyRing.OpenCookie] opens: 64 KiB, well
	// above what servers accept in the headers of one request (mostly 8 to 32
	// KiB), so that a hostile value costs no more memory than that.
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
	maxPooled    = 4 * (overheadSize + timesSize + MaxCookieData) // bytes of scratch worth keeping
)

// ErrInvalid is the one error of [KeyRing.OpenCookie] and [KeyRing.Open]:
// the value is damaged, forged, expired, from the future, of an unknown
// version, or was sealed under a key that the ring does not have, for another
// name, context or audience. Nothing tells these apart, so that an attacker
// who sees the difference has none to see.
var ErrInvalid = errors.New("securecookie: invalid value")

// ErrTooLarge is the error of sealing more than [MaxCookieData] or [MaxData].
var ErrTooLarge = errors.New("securecookie: data too large")

// SealCookie returns the value, printable without quotes, of a cookie of
// that name: data and t, encrypted and authenticated in format 1 (see the
// package comment). It is 108 characters longer than the base64 of the data.
// Data may be empty.
//
// The name must be the one under which the value will be opened, and not
// empty. More than [MaxCookieData] is refused with [ErrTooLarge]; browsers keep
// no more than 4,096 bytes of name, value and attributes. Sealing what has
// expired is no error; opening it is.
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
	// The plaintext lies where seal wants it, and is overwritten by it:
	// nothing of it remains in the pool.
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

// OpenCookie returns the data and the times that [KeyRing.SealCookie] sealed
// into value for a cookie of that name. A value that may not be trusted, for
// whatever reason, gives no data, no times and [ErrInvalid].
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

// Seal returns data encrypted and authenticated for keeping, as bytes and
// without expiry: 57 bytes more than data. The context, a session's id for
// instance, must be the one under which it will be opened; it is not in the
// result, and may be empty. More than [MaxData] is refused with [ErrTooLarge].
// What Seal seals, [KeyRing.OpenCookie] refuses, and the other way round.
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

// Open returns the data that [KeyRing.Seal] sealed for that context, in
// memory of its own. Bytes that may not be trusted, for whatever reason, give
// no data and [ErrInvalid].
func (r *KeyRing) Open(sealed []byte, context string) ([]byte, error) {
	if len(sealed) > overheadSize+MaxData {
		return nil, ErrInvalid
	}
	s := getScratch()
	defer s.put()
	return r.open(s, purposeData, context, sealed)
}

var _ sessions.RotatingSealer = (*KeyRing)(nil)

// Current reports whether data were sealed by [KeyRing.Seal] under the first key
// of the ring. Others are to be sealed again before their key is dropped. It does
// not say that they open.
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

// open returns the frame of what seal made. Only the key that is named is
// tried.
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

// scratch is the memory of one seal or open. It is pooled: what is passed to
// a cipher escapes to the heap, and would make half of the allocations.
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
