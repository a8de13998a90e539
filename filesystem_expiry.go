package sessions

import (
	"cmp"
	"time"
)

// timeouts say when sessions end. Zero means never.
type timeouts struct {
	idle     time.Duration // idle, for sessions without a timeout of their own
	lifetime time.Duration
}

// ended is the one rule of expiry, for Get, Save, Touch, List and Prune alike: a
// session ends when it was not used for as long as its idle timeout, and when its
// lifetime is over. In files, the modification time is the last use, and nothing
// else.
func (t timeouts) ended(now, created, used time.Time) bool {
	return t.idle > 0 && now.Sub(used) >= t.idle || t.lifetime > 0 && now.Sub(created) >= t.lifetime
}

// with returns the timeouts of a session that has some of its own.
func (t timeouts) with(own timeouts) timeouts {
	return timeouts{cmp.Or(own.idle, t.idle), cmp.Or(own.lifetime, t.lifetime)}
}

// longest returns, of each timeout, the one that ends sessions later.
func (t timeouts) longest(o timeouts) timeouts {
	return timeouts{longer(t.idle, o.idle), longer(t.lifetime, o.lifetime)}
}

func longer(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}
