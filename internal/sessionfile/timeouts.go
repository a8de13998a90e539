package sessionfile

import (
	"cmp"
	"fmt"
	"time"
)

// Timeouts are the idle timeout and the lifetime of sessions. Zero means never.
type Timeouts struct {
	Idle     time.Duration // for sessions without a timeout of their own
	Lifetime time.Duration
}

// Ended is the one rule of expiry, for Get, Save, Touch, List and Prune alike: a
// session ends when it was not used for its idle timeout, and when its lifetime is
// over. In files, the last use is the modification time, and nothing else.
func (t Timeouts) Ended(now, created, used time.Time) bool {
	return t.Idle > 0 && now.Sub(used) >= t.Idle || t.Lifetime > 0 && now.Sub(created) >= t.Lifetime
}

// With returns the timeouts of a session: its own, and t where it has none.
func (t Timeouts) With(own Timeouts) Timeouts {
	return Timeouts{cmp.Or(own.Idle, t.Idle), cmp.Or(own.Lifetime, t.Lifetime)}
}

// Longest returns the longer one of each timeout.
func (t Timeouts) Longest(o Timeouts) Timeouts {
	return Timeouts{longer(t.Idle, o.Idle), longer(t.Lifetime, o.Lifetime)}
}

func longer(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// CheckTimeout refuses timeouts below a second. IdleTimeout: 3600 is 3.6
// microseconds, and would end every session before its next request.
func CheckTimeout(name string, d time.Duration) error {
	switch {
	case d < 0:
		return fmt.Errorf("%s is negative", name)
	case 0 < d && d < time.Second:
		return fmt.Errorf("%s is %v, want a second or more; an hour is time.Hour", name, d)
	}
	return nil
}
