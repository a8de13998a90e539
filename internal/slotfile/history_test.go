//go:build linux

package slotfile_test

import (
	"math"
	"slices"
	"sort"
	"testing"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/slotfile"
)

func openForChild(path string, fail func(string, ...any)) *slotfile.Files {
	dir, err := dirfs.Open(path)
	if err != nil {
		fail("%v", err)
	}
	return &slotfile.Files{Opened: dir, Mode: 0o600, MaxPayload: 1 << 20, TempSuffix: tempSuffix, Kept: new(slotfile.Kept)}
}

// A version is one state of a record.
type version struct{ life, n uint64 }

// A history is all that happened to one record.
type history struct {
	mutations []op
	byEnd     []int64 // the ends of mutations, sorted
	lastBegin []int64 // the latest begin among the mutations up to there
	made      map[version]op
	reads     []op
}

// checkHistory holds every operation against all others.
func checkHistory(t *testing.T, ops [][]op, kills int) {
	t.Helper()
	count := make(map[int64]int)
	for name := range stressNames {
		h := history{made: make(map[version]op)}
		for _, of := range ops {
			for _, o := range of {
				if o.name == int64(name) {
					h.add(t, o)
					count[o.kind]++
				}
			}
		}
		h.check(t)
	}
	t.Logf("%d reads, %d writes, %d creations, %d removals, %d writers killed",
		count[opRead], count[opWrite], count[opCreate], count[opRemove], kills)
	for _, kind := range []int64{opRead, opWrite, opCreate, opRemove} {
		if count[kind] == 0 {
			t.Errorf("no operation of kind %d: the test shows nothing", kind)
		}
	}
}

func (h *history) add(t *testing.T, o op) {
	t.Helper()
	if o.end == 0 { // was killed: it may have taken effect at any time, or never
		if o.end = math.MaxInt64; o.kind == opRead || o.kind == opNone {
			return
		}
	}
	switch o.kind {
	case opRead:
		h.reads = append(h.reads, o)
	case opWrite, opCreate, opRemove:
		v := version{o.life, o.n}
		if before, ok := h.made[v]; ok && o.kind == opWrite && before.kind == opWrite {
			// Two saves on top of the same state: one was lost, unless one of
			// them was killed before it wrote anything.
			if o.end != math.MaxInt64 && before.end != math.MaxInt64 {
				t.Errorf("a save was lost: two of number %d on top of the same", o.n)
			}
			if before.end < o.end {
				o = before // for reads, the one that came back
			}
		}
		if o.kind != opRemove {
			h.made[v] = o
		}
		h.mutations = append(h.mutations, o)
	}
}

func (h *history) check(t *testing.T) {
	t.Helper()
	slices.SortFunc(h.mutations, func(a, b op) int { return compare(a.end, b.end) })
	latest := int64(0)
	for _, m := range h.mutations {
		latest = max(latest, m.begin)
		h.byEnd = append(h.byEnd, m.end)
		h.lastBegin = append(h.lastBegin, latest)
	}
	bad := 0
	for _, r := range h.reads {
		if why := h.wrong(r); why != "" {
			if bad++; bad < 10 {
				t.Errorf("a read of save %d of life %x: %s", r.n, r.life, why)
			}
		}
	}
	// No reader sees a save undone that another one has seen before it.
	slices.SortFunc(h.reads, func(a, b op) int { return compare(a.begin, b.begin) })
	ended := slices.Clone(h.reads)
	slices.SortFunc(ended, func(a, b op) int { return compare(a.end, b.end) })
	seen := make(map[uint64]uint64) // the newest save of each life that a finished read saw
	for _, r := range h.reads {
		for len(ended) > 0 && ended[0].end < r.begin {
			seen[ended[0].life] = max(seen[ended[0].life], ended[0].n)
			ended = ended[1:]
		}
		if r.n < seen[r.life] {
			t.Errorf("a read of save %d, after one had seen %d", r.n, seen[r.life])
		}
	}
}

// wrong returns the reason why a read cannot be.
func (h *history) wrong(r op) string {
	if r.life != 0 {
		m, ok := h.made[version{r.life, r.n}]
		switch {
		case !ok:
			return "which nobody made"
		case m.begin > r.end:
			return "which was made after the read"
		case m.end < h.mustFollow(r):
			return "although a later save had finished before the read began"
		}
		return ""
	}
	// No record: there was none at first, or a removal may be the last thing
	// that happened. One that was killed may have left it to another.
	after := h.mustFollow(r)
	if after == 0 {
		return ""
	}
	for _, m := range h.mutations {
		if m.kind == opRemove && m.begin <= r.end && m.end >= after {
			return ""
		}
	}
	return "no record, although it had not been removed"
}

// mustFollow returns the latest begin of a mutation that ended before r began:
// the state that r saw cannot have ended before that.
func (h *history) mustFollow(r op) int64 {
	n := sort.Search(len(h.byEnd), func(i int) bool { return h.byEnd[i] >= r.begin })
	if n == 0 {
		return 0
	}
	return h.lastBegin[n-1]
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
