package sessionfile

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"github.com/google/uuid"
)

// A Form is a form of session IDs: a number of random bytes, in lower-case hex, or
// UUID. Zero means 32 bytes.
type Form int

const (
	// UUID is a random UUID (RFC 9562, version 4).
	UUID Form = -1

	// Hash is the form of an ID's name under HashNames: its SHA-256.
	Hash Form = sha256.Size

	// MinBytes is 128 bits, which ASVS 5.0 7.2.3 demands.
	MinBytes Form = 16

	// MaxBytes keeps an ID, in hex, within a file name of 255 bytes.
	MaxBytes Form = 64

	uuidLength = 36 // characters
)

// New makes a new ID.
func (f Form) New() string {
	if f == UUID {
		return uuid.NewString()
	}
	b := make([]byte, f.bytes())
	rand.Read(b)
	return hex.EncodeToString(b)
}

// Matches reports whether id is one that New can have made.
func (f Form) Matches(id string) bool {
	if len(id) != f.Length() {
		return false
	}
	if f == UUID {
		parsed, err := uuid.Parse(id)
		return err == nil && parsed.String() == id && parsed.Version() == 4 && parsed.Variant() == uuid.RFC4122
	}
	return isLowerHex(id)
}

// Length is the length of an ID in bytes.
func (f Form) Length() int {
	if f == UUID {
		return uuidLength
	}
	return hex.EncodedLen(f.bytes())
}

func (f Form) bytes() int {
	if f == 0 {
		return 32
	}
	return int(f)
}

func isHexOfAnyLength(s string) bool {
	return len(s)%2 == 0 && len(s) >= MinBytes.Length() && len(s) <= MaxBytes.Length() && isLowerHex(s)
}

// hexDigits are the bytes of lower-case hexadecimal numbers.
var hexDigits = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true,
	'8': true, '9': true, 'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true,
}

// isLowerHex uses a table: a processor cannot predict whether a digit of a random
// ID is a letter. Comparisons take 220 ns for 64 digits, the table 36.
func isLowerHex(s string) bool {
	for i := range len(s) {
		if !hexDigits[s[i]] {
			return false
		}
	}
	return true
}
