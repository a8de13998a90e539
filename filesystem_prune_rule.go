package sessions

import (
	"cmp"
	"errors"
	"io/fs"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
)

// A pruneRule says which sessions have ended. It is [FilesystemSessionStore.Get]'s
// rule, for those who do not know the store's options.
type pruneRule struct {
	// now is when the pruning began: what ends meanwhile can wait, and a
	// clock that jumps while it runs ends nothing.
	now time.Time

	sessionfile.Timeouts
	headers       bool // the headers say those that are zero here
	removeCorrupt bool
}

func (st *FilesystemSessionStore) pruneRule(o PruneOptions, now time.Time) pruneRule {
	r := pruneRule{
		now:           now,
		Timeouts:      st.timeouts,
		headers:       o.AnyStore,
		removeCorrupt: o.RemoveCorrupt,
	}
	if o.IdleTimeout > 0 {
		r.Idle = o.IdleTimeout
	}
	return r
}

// byTime reports whether the modification time alone tells if a session has
// ended. That is the usual case: the time tells when it was last used, and the
// size of the file that it has no timeout of its own. To read the headers as
// well, when they are on the disk and no more in memory, takes as long as all the
// rest.
func (r *pruneRule) byTime(info dirfs.Info) bool {
	return r.Idle > 0 && r.Lifetime == 0 && !r.removeCorrupt && slotfile.SizeOf(info.Size) == slotfile.UnmarkedSize
}

// isIdle reports whether an unmarked file is old enough for its session to have
// ended, as far as its modification time tells.
func (r *pruneRule) isIdle(modTime time.Time) bool {
	return r.Idle > 0 && r.now.Sub(modTime) >= r.Idle
}

type verdict int

const (
	live verdict = iota
	endless
	ended
	damaged
)

// judge is about a session file whose reading gave meta and err, which must be
// one of slotfile's if any.
func (r *pruneRule) judge(modTime time.Time, meta []byte, err error) verdict {
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
	t := r.Timeouts
	if r.headers {
		t.Idle, t.Lifetime = cmp.Or(t.Idle, h.Idle), cmp.Or(t.Lifetime, h.Lifetime)
	}
	switch {
	case t.With(h.Own).Ended(r.now, h.Created, modTime):
		return ended
	case t.With(h.Own) == sessionfile.Timeouts{}:
		return endless
	}
	return live
}
