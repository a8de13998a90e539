package werkzeug

import "time"

// SetNow replaces the clock of a codec that no other goroutine uses yet.
func (c *Codec) SetNow(now func() time.Time) { c.now = now }
