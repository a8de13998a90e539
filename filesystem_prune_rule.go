package sessions

import (
	"errors"
	"io/fs"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/slotfile"
)

// A pruneRule says which sessions have ended. It is [FilesystemSessionStore.Get]'s
// rule, for those who do not know the store's options.
type pruneRule struct {
	// now is when the pruning began: what ends meanwhile can wait, and a
	// clock that jumps while it runs ends nothing.
	now time.Time

	maxAge   time.Duration // zero: what the header says, or none
	lifetime time.Duration // the same

	// shift is what the times of sessions with their own timeout are shifted
	// against (see FilesystemSessionStore.modTime), unless the header says.
	shift time.Duration

	headers       bool // the headers say what is not said here
	removeCorrupt bool
}

func (st *FilesystemSessionStore) pruneRule(o PruneOptions, now time.Time) pruneRule {
	r := pruneRule{
		now:           now,
		maxAge:        o.MaxAge,
		lifetime:      st.opts.Lifetime,
		shift:         st.opts.MaxAge,
		headers:       o.AnyStore,
		removeCorrupt: o.RemoveCorrupt,
	}
	if r.maxAge == 0 {
		r.maxAge = st.opts.MaxAge
	}
	return r
}

// byTime says that a file's modification time alone tells whether it stays.
func (r *pruneRule) byTime() bool { return r.maxAge > 0 && r.lifetime == 0 && !r.removeCorrupt }

// idle says whether a session file is old enough to have ended, as far as its
// modification time tells.
func (r *pruneRule) idle(modTime time.Time) bool {
	return r.maxAge > 0 && r.now.Sub(modTime) >= r.maxAge
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
	h, ok := parseHeader(string(meta))
	if !ok {
		return damaged
	}
	maxAge, lifetime, shift := r.maxAge, r.lifetime, r.shift
	if r.headers {
		shift = h.maxAge
		if maxAge == 0 {
			maxAge = h.maxAge
		}
		if lifetime == 0 {
			lifetime = h.lifetime
		}
	}
	since := r.now.Sub(modTime)
	switch {
	case lifetime > 0 && r.now.Sub(h.created) >= lifetime:
		return ended
	case maxAge > 0 && since < maxAge:
		return live
	case h.idle > 0 && shift > 0 && since < shift: // at which h.idle has passed
		return live
	case h.idle > 0 && shift == 0 && since < h.idle:
		return live
	case maxAge > 0 || h.idle > 0:
		return ended
	case lifetime > 0:
		return live
	}
	return endless
}

// outdated says that a session file's session has ended by its size and time,
// whatever is in it. That is the usual case: to read the headers as well, when
// they are on the disk and no more in memory, takes as long as all the rest.
func (r *pruneRule) outdated(info dirfs.Info) bool {
	return r.byTime() && r.idle(info.ModTime) && !mayHaveTimeout(info.ModTime) && slotfile.IsSize(info.Size)
}

// abandoned says whether an unfinished file is one of a dead writer. The last
// thing that a writer does to it is to shift its time, perhaps far back: the
// header, which by then is written, tells by how much.
func (r *pruneRule) abandoned(modTime time.Time, meta []byte) bool {
	if h, ok := parseHeader(string(meta)); ok && h.idle > 0 && h.maxAge > 0 {
		modTime = modTime.Add(h.maxAge - h.idle)
	}
	return r.now.Sub(modTime) >= tempMaxAge
}
