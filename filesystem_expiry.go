package sessions

import "time"

// timeouts say when sessions end. Zero means never.
type timeouts struct {
	maxAge   time.Duration // idle, for sessions without a timeout of their own
	lifetime time.Duration
}

// ended is the one rule of expiry, for Get, Save, Touch, List and Prune alike: a
// session ends when it was not used for as long as its own timeout says, or, when
// it has none, that of its store, and when its lifetime is over. It was last used
// at its file's modification time, which is nothing else.
func (t timeouts) ended(now, created, used time.Time, own time.Duration) bool {
	idle := t.maxAge
	if own > 0 {
		idle = own
	}
	return idle > 0 && now.Sub(used) >= idle || t.lifetime > 0 && now.Sub(created) >= t.lifetime
}

// longest returns, of each timeout, the one that ends sessions later.
func (t timeouts) longest(o timeouts) timeouts {
	return timeouts{longer(t.maxAge, o.maxAge), longer(t.lifetime, o.lifetime)}
}

func longer(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}
