package sessions

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/sessfs/sessions/internal/sessionfile"
)

// IDs makes session IDs and knows their form. Stores embed one. Its zero value
// is RandomIDs(32).
type IDs struct{ form sessionfile.Form }

// RandomIDs makes IDs of n bytes from [crypto/rand] in lower-case hex. The
// default of a store is 32, which is 256 bits. It panics when n is less than 16
// (ASVS 5.0 7.2.3 demands 128 bits) or more than 64.
func RandomIDs(n int) IDs {
	form := sessionfile.Form(n)
	if form < sessionfile.MinBytes || form > sessionfile.MaxBytes {
		panic(fmt.Sprintf("sessions: RandomIDs(%d): want %d to %d bytes", n, sessionfile.MinBytes, sessionfile.MaxBytes))
	}
	return IDs{form}
}

// UUIDs makes random UUIDs (RFC 9562, version 4), for those who have to have
// them. Their 122 bits are less than the 128 that ASVS 5.0 7.2.3 demands.
func UUIDs() IDs { return IDs{sessionfile.UUID} }

// GenerateKey makes a new ID.
func (k IDs) GenerateKey() string { return k.form.New() }

// IsValidKey reports whether key is what GenerateKey can have made: nothing
// else is ever used as part of a file name.
func (k IDs) IsValidKey(key string) bool { return k.form.Matches(key) }

// PublicID returns the SHA-256 of an ID in hex: a name for it that is safe to show
// and to log, and from which nobody gets the ID.
func PublicID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}
