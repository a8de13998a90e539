package prune

import (
	"cmp"
	"errors"
	"io/fs"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
)

// A rule tells ended sessions. It is that of a store's Get, for callers
// who may not know the store's options.
type rule struct {
	// now is when the pruning began: sessions that end meanwhile can wait, and a
	// clock that jumps while it runs ends nothing.
	now time.Time

	given  sessionfile.Timeouts // Never for none, zero for those of the header
	byTime bool                 // see Options.Exact
	oldest time.Duration        // age at which an unmarked file's session has ended; zero for never
}

func newRule(o Options, now time.Time) rule {
	r := rule{now: now, given: sessionfile.Timeouts{Idle: o.IdleTimeout, Lifetime: o.Lifetime}}
	idle, lifetime := finite(o.IdleTimeout), finite(o.Lifetime)
	if r.oldest = idle; idle == 0 || 0 < lifetime && lifetime < idle {
		r.oldest = lifetime
	}
	known := idle > 0 || o.IdleTimeout > 0 && o.Lifetime > 0
	r.byTime = known && !o.Exact && !o.RemoveCorrupt
	return r
}

// finite returns zero for Never.
func finite(d time.Duration) time.Duration {
	if d == Never {
		return 0
	}
	return d
}

// tellsByTime reports whether the modification time of a file alone tells if its
// session has ended. That is the usual case: the time tells when the session was
// last used, and the size of the file that it has no timeout of its own. To read
// the headers as well, when they are on the disk and no more in memory, takes as
// long as all the rest.
func (r *rule) tellsByTime(info dirfs.Info) bool {
	return r.byTime && slotfile.SizeOf(info.Size) == slotfile.UnmarkedSize
}

type verdict int

const (
	live verdict = iota
	endless
	ended
	damaged
)

// judgeTime is about a file of which tellsByTime is true.
func (r *rule) judgeTime(modTime time.Time) verdict {
	switch {
	case r.oldest == 0:
		return endless
	case r.now.Sub(modTime) >= r.oldest:
		return ended
	}
	return live
}

// judge is about a session file whose reading gave meta and err, which must be
// one of slotfile's if any.
func (r *rule) judge(modTime time.Time, meta []byte, err error) verdict {
	switch {
	case errors.Is(err, slotfile.ErrCorrupt):
		return damaged
	case errors.Is(err, fs.ErrNotExist):
		return ended // a tombstone: only the name was left
	}
	h, ok := sessionfile.ParseHeader(string(meta))
	if !ok {
		return damaged
	}
	t := sessionfile.Timeouts{
		Idle:     finite(cmp.Or(r.given.Idle, h.Idle)),
		Lifetime: finite(cmp.Or(r.given.Lifetime, h.Lifetime)),
	}.With(h.Own)
	switch {
	case t.Ended(r.now, h.Created, modTime):
		return ended
	case t == sessionfile.Timeouts{}:
		return endless
	}
	return live
}
