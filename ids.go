package sessions

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
)

// IDs makes session IDs and knows their form. Stores embed one. Its zero value
// is RandomIDs(32).
type IDs struct {
	bytes int // random bytes, in hex; zero means 32
	uuid  bool
}

// minRandomBytes is 128 bits, which ASVS 5.0 7.2.3 demands.
const minRandomBytes = 16

// maxRandomBytes keeps an ID, in hex, within a file name of 255 bytes.
const maxRandomBytes = 64

// RandomIDs makes IDs of n bytes from [crypto/rand] in lower-case hex. The
// default of a store is 32, which is 256 bits. It panics when n is less than 16
// (ASVS 5.0 7.2.3 demands 128 bits) or more than 64.
func RandomIDs(n int) IDs {
	if n < minRandomBytes || n > maxRandomBytes {
		panic(fmt.Sprintf("sessions: RandomIDs(%d): want %d to %d bytes", n, minRandomBytes, maxRandomBytes))
	}
	return IDs{bytes: n}
}

// UUIDs makes random UUIDs (RFC 9562, version 4), for those who have to have
// them. Their 122 bits are less than the 128 that ASVS 5.0 7.2.3 demands.
func UUIDs() IDs { return IDs{uuid: true} }

// GenerateKey makes a new ID.
func (k IDs) GenerateKey() string {
	if k.uuid {
		return uuid.NewString()
	}
	b := make([]byte, k.size())
	rand.Read(b)
	return hex.EncodeToString(b)
}

func (k IDs) size() int {
	if k.bytes == 0 {
		return 32
	}
	return k.bytes
}

// IsValidKey reports whether key is what GenerateKey can have made: nothing
// else is ever used as part of a file name.
func (k IDs) IsValidKey(key string) bool {
	if k.uuid {
		id, err := uuid.Parse(key)
		return err == nil && id.String() == key && id.Version() == 4 && id.Variant() == uuid.RFC4122
	}
	return len(key) == 2*k.size() && isLowerHex(key)
}

// PublicID returns the SHA-256 of an ID in hex: a name for it that is safe to show
// and to log, and from which nobody gets the ID.
func PublicID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// hexDigits are the bytes of lower-case hexadecimal numbers.
var hexDigits = [256]bool{
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true,
	'8': true, '9': true, 'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true,
}

// isLowerHex looks in a table, for a processor cannot foresee whether a digit of
// a random ID is a letter: comparing takes 220 ns for 64 of them, this 36.
func isLowerHex(s string) bool {
	for i := range len(s) {
		if !hexDigits[s[i]] {
			return false
		}
	}
	return true
}
