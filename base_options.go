package sessions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sessfs/sessions/internal/sessionfile"
)

// BaseOptions are the properties of a store's sessions.
type BaseOptions struct {
	_ struct{} // no literal without names

	// IDs makes the IDs. The default is 32 random bytes.
	IDs IDs

	// Codec encodes the values of new sessions. The default is [JSON].
	Codec Codec

	// IdleTimeout and Lifetime are as in [FilesystemOptions], with the same
	// defaults.
	IdleTimeout, Lifetime time.Duration

	// Key names the record of an ID. The default is [PublicID], with which a
	// backend never sees an ID.
	Key func(id string) string

	// RenewID makes the ID of a session that is renewed. The default is a new
	// one of IDs. It is for servers that change two keys in one step only
	// when they are alike.
	RenewID func(old string) string

	// KeepMissingID makes Get adopt a valid ID that is not stored; see
	// [FilesystemOptions].
	KeepMissingID bool

	// SelfExpiring is for a backend that ends sessions itself. Its clock alone
	// counts then. Without it Apply judges the record that it is passed: a backend
	// that passes [Change.Base] has a session judged by the last use that was
	// known when it was loaded.
	SelfExpiring bool

	// Intact is for a backend that checks its records. Values are then found
	// when one is first read, not by Get.
	Intact bool

	// Damaged is called with the key of a record that Get finds damaged, and
	// with the error: at each such Get, and by several goroutines at once.
	Damaged func(key string, err error)

	// Observe is called for each event of a session; see [FilesystemOptions].
	Observe func(context.Context, Event)
}

// Never, as the IdleTimeout or the Lifetime of a store's options, switches it off.
// Sealed cookies refuse it: a stolen one has no other end.
const Never = time.Duration(math.MaxInt64)

// The default timeouts of stores and of sealed cookies: Litestar's 14 days, and
// the 30 days that NIST SP 800-63B-4 names for AAL1.
const (
	DefaultIdleTimeout = 14 * 24 * time.Hour
	DefaultLifetime    = 30 * 24 * time.Hour
)

// newTimeouts fills in the defaults of a store's timeouts.
func newTimeouts(idle, lifetime time.Duration) (sessionfile.Timeouts, error) {
	t := sessionfile.Timeouts{Idle: cmp.Or(idle, DefaultIdleTimeout), Lifetime: cmp.Or(lifetime, DefaultLifetime)}
	err := errors.Join(sessionfile.CheckTimeout("IdleTimeout", t.Idle), sessionfile.CheckTimeout("Lifetime", t.Lifetime))
	if t.Idle == Never {
		t.Idle = 0
	}
	if t.Lifetime == Never {
		t.Lifetime = 0
	}
	return t, err
}

// A Base is the common part of all stores. A store of one's own embeds one, for
// all of [SessionStore] but List, and for [Updater]. Its sessions are those that
// it made or loaded: others are [ErrForeign]. Its methods may be called by
// several goroutines at once.
type Base struct {
	IDs
	observer
	opts     BaseOptions
	timeouts sessionfile.Timeouts
	backend  Backend
}

// Expired reports whether a record has expired by the timeouts of the store and
// its own.
func (b *Base) Expired(rec *Record) bool {
	return !b.opts.SelfExpiring && b.timeouts.With(rec.timeouts()).Ended(time.Now(), rec.Created, rec.Used)
}

// codecNamed returns the codec that a stored session names: own, which is the
// store's, or one of the ready-made ones, which are always read. It is nil when
// there is none of that name.
func codecNamed(name string, own Codec) Codec {
	switch name {
	case own.Name():
		return own
	case "json":
		return JSON()
	case "gob":
		return Gob()
	}
	return nil
}

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

// IsValidKey reports whether key has the form of the IDs of GenerateKey. Nothing
// else is ever used as part of a file name.
func (k IDs) IsValidKey(key string) bool { return k.form.Matches(key) }

// PublicID returns the SHA-256 of an ID, 64 digits of hex: a name for the session
// that is safe to show and to log, and from which the ID cannot be found.
func PublicID(id string) string {
	sum := sha256.Sum256([]byte(id))
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	return string(digits[:])
}
