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

// A rule decides which sessions have ended. It is the rule of a store's Get, for
// callers that may not know the store's options.
type rule struct {
	// now is the beginning of the pruning: sessions that end meanwhile can wait, and
	// a clock that jumps ends none.
	now time.Time

	given  sessionfile.Timeouts // of the options: Never for none, zero for those of the header
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

// tellsByTime reports whether the modification time of a file alone decides if its
// session has ended. That is the usual case: the time is that of the last use, and
// by its size the file has no timeout of its own. Reading the headers too takes as
// long as all the rest, when they are on the disk and no more in memory.
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

// judgeTime returns the verdict for a file for which tellsByTime is true.
func (r *rule) judgeTime(modTime time.Time) verdict {
	switch {
	case r.oldest == 0:
		return endless
	case r.now.Sub(modTime) >= r.oldest:
		return ended
	}
	return live
}

// judge returns the verdict for a session file by its header's text, or by the
// error of slotfile with which it was read.
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
