package securecookie

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// KeySize is the size, in bytes, of a generated master key, and the least
// that [NewKey] and [KeyFromSecret] accept: 256 bits, the key of AES-256.
const KeySize = 32

const (
	maxKeySize   = 1024 // bytes; more is a file read by mistake
	keyIDSize    = 16   // bytes; see the package comment for why so many
	checksumSize = 4    // bytes; finds a truncated or mistyped key, guards nothing

	textPrefix = "sk1_"
)

// The info strings of HKDF. They are part of the format.
const (
	infoSecret     = "github.com/sessfs/sessions/securecookie 1 secret"
	infoEncryption = "github.com/sessfs/sessions/securecookie 1 encryption"
	infoKeyID      = "github.com/sessfs/sessions/securecookie 1 key id"
)

// ErrKey is the error of [NewKey], [KeyFromSecret], [ParseKey] and [ParseKeys].
// The error that wraps it names the fault, and never has the key or the secret.
var ErrKey = errors.New("securecookie: unusable key")

// A Key is a master key: secret bytes from which a [KeyRing] derives its encryption
// keys. Make one with [GenerateKey], [NewKey], [KeyFromSecret] or [ParseKey];
// [NewKeyRing] refuses the zero Key.
//
// A Key does not change and may be copied and used by several goroutines.
// Printing, logging or encoding one, alone or inside other values, shows at
// most its id; only [Key.Reveal] returns the secret.
type Key struct {
	// Package fmt does not call the methods of unexported fields. Of a Key in such
	// a field it prints an address, and with an unsuitable verb, such as %s, the
	// struct behind the first pointer, but not the one behind the second.
	m *material
}

type material struct {
	id     [keyIDSize]byte
	secret *secret
}

type secret struct {
	master     []byte
	encryption []byte // 32 bytes
}

// GenerateKey returns a new random key of [KeySize] bytes, from crypto/rand.
func GenerateKey() Key {
	b := make([]byte, KeySize)
	rand.Read(b) // never fails, by its documentation
	k, err := newKey(b)
	if err != nil {
		panic(err) // 32 bytes are never refused
	}
	return k
}

// NewKey returns the key that consists of b, which it copies: [KeySize] to 1024 bytes
// from a cryptographic random source. Fewer or more bytes, and zero bytes alone (a
// buffer that was never filled), are refused with [ErrKey]. A secret that is a text
// is for [KeyFromSecret].
func NewKey(b []byte) (Key, error) {
	switch {
	case len(b) < KeySize:
		return Key{}, fmt.Errorf("%w: %d bytes, want %d or more", ErrKey, len(b), KeySize)
	case len(b) > maxKeySize:
		return Key{}, fmt.Errorf("%w: %d bytes, want %d or fewer", ErrKey, len(b), maxKeySize)
	case len(bytes.Trim(b, "\x00")) == 0:
		return Key{}, fmt.Errorf("%w: only zero bytes", ErrKey)
	}
	return newKey(b)
}

// KeyFromSecret derives a key from a secret string by HKDF-SHA-256
// (RFC 5869), for applications that already have such a string. The secret
// must be of [KeySize] to 1024 bytes, else it is refused with [ErrKey]. Every
// byte of it counts, a newline at its end as well.
//
// HKDF does not make a weak secret strong: anyone who has one cookie can try
// sentences and passwords offline. It is for long random strings.
func KeyFromSecret(secret string) (Key, error) {
	switch {
	case len(secret) < KeySize:
		return Key{}, fmt.Errorf("%w: secret of %d bytes, want %d or more", ErrKey, len(secret), KeySize)
	case len(secret) > maxKeySize:
		return Key{}, fmt.Errorf("%w: secret of %d bytes, want %d or fewer", ErrKey, len(secret), maxKeySize)
	}
	b, err := hkdf.Key(sha256.New, []byte(secret), nil, infoSecret, KeySize)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return newKey(b)
}

// newKey derives the keys of sealing and opening, once. Deriving them for every
// message took twice the time of the rest together.
func newKey(b []byte) (Key, error) {
	prk, err := hkdf.Extract(sha256.New, b, nil)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	encryption, err := hkdf.Expand(sha256.New, prk, infoEncryption, 32)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	id, err := hkdf.Expand(sha256.New, prk, infoKeyID, keyIDSize)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return Key{&material{[keyIDSize]byte(id), &secret{bytes.Clone(b), encryption}}}, nil
}

// ParseKey reads the text form of a key, from [Key.Reveal] or the keygen command:
// "sk1_" and the unpadded base64url of the key's bytes and of a checksum of four
// bytes. White space around it is ignored. Any other text is refused with [ErrKey].
// By the checksum a truncated or mistyped key fails at start-up, and does not end
// every session.
func ParseKey(text string) (Key, error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), textPrefix)
	if !ok {
		return Key{}, fmt.Errorf("%w: want text that begins with %q", ErrKey, textPrefix)
	}
	if len(body) > encodedLen(maxKeySize+checksumSize) {
		return Key{}, fmt.Errorf("%w: text too long", ErrKey)
	}
	b, err := appendDecode(nil, body)
	if err != nil || len(b) < checksumSize {
		return Key{}, fmt.Errorf("%w: text is not base64url", ErrKey)
	}
	b, sum := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if want := checksum(b); subtle.ConstantTimeCompare(sum, want[:]) != 1 {
		return Key{}, fmt.Errorf("%w: text is mistyped or truncated", ErrKey)
	}
	return NewKey(b)
}

// ParseKeys reads a list of keys in text form, from a configuration file or an
// environment variable: separated by white space, commas or both, the newest first.
// From "#" to the end of a line is comment. The first key will seal, all will open.
// A list that is empty, that is too long for a [KeyRing], or that holds anything but
// keys, is refused with [ErrKey].
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for field := range strings.FieldsFuncSeq(line, isSeparator) {
			if len(keys) == MaxKeys {
				return nil, fmt.Errorf("%w: more than %d in the list", ErrKey, MaxKeys)
			}
			k, err := ParseKey(field)
			if err != nil {
				return nil, fmt.Errorf("%w (key %d of the list)", err, len(keys)+1)
			}
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: the list is empty", ErrKey)
	}
	return keys, nil
}

func isSeparator(r rune) bool {
	return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n'
}

func checksum(b []byte) [checksumSize]byte {
	sum := sha256.Sum256(b)
	return [checksumSize]byte(sum[:checksumSize])
}

// Reveal returns the key's text form with its secret, for a file or a secret store;
// [ParseKey] reads it. No other method returns the secret: a Key has no MarshalText,
// because a structured logger or encoding/json would print it. Reveal panics on the
// zero Key.
func (k Key) Reveal() string {
	if k.m == nil {
		panic("securecookie: Reveal of the zero Key")
	}
	sum := checksum(k.m.secret.master)
	b := append(bytes.Clone(k.m.secret.master), sum[:]...)
	return textPrefix + string(appendEncode(nil, b))
}

// UnmarshalText is [ParseKey], for packages that decode configurations. It
// must not run while other goroutines use k.
func (k *Key) UnmarshalText(text []byte) error {
	parsed, err := ParseKey(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// ID returns the key's id in hexadecimal: 32 digits that name the key and reveal
// nothing about it. It stands in clear in all data that the key sealed. The zero Key's
// id is empty.
func (k Key) ID() string {
	if k.m == nil {
		return ""
	}
	return hex.EncodeToString(k.m.id[:])
}

// String returns the key's id, never its secret.
func (k Key) String() string { return "securecookie.Key(id " + k.ID() + ")" }

// GoString is [Key.String].
func (k Key) GoString() string { return k.String() }

// Format writes [Key.String], whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue is [Key.String], for log/slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
