package securecookie

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// Leeway is how far in the future a cookie may be issued: one minute, for servers
// whose clocks disagree. Expiry has no leeway.
const Leeway = time.Minute

const (
	timesSize = 3 * 8           // bytes
	maxMillis = 253402300799999 // 9999-12-31T23:59:59.999Z, in Unix milliseconds
	noExpiry  = math.MaxInt64   // later than any now, so that a decoder needs no special case
)

// Times are the limits of a cookie's validity. They are kept to the millisecond,
// rounded down, and must lie between 1970 and 9999.
type Times struct {
	// IssuedAt is the time of sealing. The zero Time means now.
	IssuedAt time.Time

	// Idle is the instant from which on the session has ended if no later cookie
	// moves it. The zero Time means none.
	Idle time.Time

	// Absolute is the instant from which on the session has ended, used or not.
	// The zero Time means none. A later cookie repeats it.
	Absolute time.Time
}

// appendTo appends the times in format 1.
func (t Times) appendTo(b []byte) ([]byte, error) {
	for i, at := range [...]time.Time{t.IssuedAt, t.Idle, t.Absolute} {
		millis := int64(noExpiry)
		if i == 0 || !at.IsZero() {
			// UnixMilli overflows for years that a Time can hold.
			if y := at.UTC().Year(); y < 1970 || y > 9999 {
				return nil, errors.New("securecookie: a time that is not between 1970 and 9999")
			}
			millis = at.UnixMilli()
		}
		b = binary.BigEndian.AppendUint64(b, uint64(millis))
	}
	return b, nil
}

// parseTimes reads times written by appendTo, and reports whether a cookie with them
// is valid now.
func parseTimes(b []byte, now time.Time) (Times, bool) {
	var at [3]time.Time
	for i := range at {
		millis := binary.BigEndian.Uint64(b[i*8:])
		switch {
		case millis <= maxMillis:
			at[i] = time.UnixMilli(int64(millis))
		case millis != noExpiry || i == 0:
			return Times{}, false
		}
	}
	t := Times{IssuedAt: at[0], Idle: at[1], Absolute: at[2]}
	if t.IssuedAt.After(now.Add(Leeway)) || over(t.Idle, now) || over(t.Absolute, now) {
		return Times{}, false
	}
	return t, true
}

func over(expiry, now time.Time) bool { return !expiry.IsZero() && !now.Before(expiry) }
