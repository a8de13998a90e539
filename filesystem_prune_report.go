package sessions

import (
	"math"
	"time"
)

// A PruneReport says what [Pruner.Prune] found and did.
type PruneReport struct {
	Started  time.Time
	Duration time.Duration
	DryRun   bool      // nothing was removed; Removed and the like say what would have been
	Stopped  PruneStop // why it ended early; "" when it did not

	Entries  int // names in the directory, without those of the store's own files
	Sessions int // session files among them: the sum of the next five, and those of Failed
	Removed  int // sessions that had ended
	Live     int // sessions that had not
	Busy     int // sessions that somebody was saving just when they seemed to have ended
	Corrupt  int // damaged session files that stay

	CorruptRemoved int // damaged session files that were removed

	Endless int // of Live: sessions that nothing ever ends
	Future  int // of Live: files that are dated in the future

	Temp        int // unfinished files that are too young to be given up
	TempRemoved int // unfinished files of dead writers

	Foreign     int // whatever is nobody's session: directories, links, other files
	Unmatched   int // of Foreign: regular files, apart from those whose name begins with a dot
	Directories int // of Foreign: directories, apart from lost+found and those whose name begins with a dot

	Vanished int // files that somebody else removed meanwhile
	Failed   int // files that could not be handled

	RemovedBytes int64         // the size of all that was removed
	LiveBytes    int64         // the size of Live
	Oldest       time.Duration // the longest idle time among Live

	// Ages and Sizes tell of all session files, before anything was removed.
	Ages  []PruneAges
	Sizes []PruneSizes
}

// PruneAges counts session files by the time since they were last saved or
// touched: those of less than Under, and not of less than the Under before.
type PruneAges struct {
	Under    time.Duration // zero, in the last one: no bound
	Sessions int
	Bytes    int64
}

// PruneSizes counts session files by their size: those of at most UpTo, and of
// more than the UpTo before.
type PruneSizes struct {
	UpTo     int64 // bytes; zero, in the last one: no bound
	Sessions int
	Bytes    int64
}

// PruneStop says why a [Pruner.Prune] did not go through the whole directory.
type PruneStop string

const (
	PruneLimit    PruneStop = "limit"    // PruneOptions.Limit
	PruneBudget   PruneStop = "time"     // PruneOptions.TimeBudget
	PruneCanceled PruneStop = "canceled" // the context
)

// PruneProgress says how far a [Pruner.Prune] is.
type PruneProgress struct {
	Entries int // names that were looked at
	Total   int // names there were at the beginning
	Removed int // files removed
	Elapsed time.Duration
}

// A PruneEvent is what [Pruner.Prune] did about one file.
type PruneEvent struct {
	File    string // a short hash of the file's name
	Action  PruneAction
	Age     time.Duration // since the file was last saved or touched
	Size    int64         // bytes
	Err     error         // of PruneFailed
	Corrupt bool          // the file is a damaged session's
}

// PruneAction is what became of a file.
type PruneAction string

const (
	PruneRemoved PruneAction = "removed"
	PruneKept    PruneAction = "kept"
	PruneFailed  PruneAction = "failed"
)

const (
	day = 24 * time.Hour
	kib = 1 << 10
	mib = 1 << 20
)

// The bounds are what people set timeouts to, and the file sizes that the
// doubling of slots gives.
var (
	pruneAges  = [...]time.Duration{time.Hour, 6 * time.Hour, day, 2 * day, 7 * day, 14 * day, 30 * day, 90 * day, 365 * day, math.MaxInt64}
	pruneSizes = [...]int64{4 * kib, 8 * kib, 16 * kib, 64 * kib, 256 * kib, mib, math.MaxInt64}
)

// addBuckets makes all buckets, empty.
func (r *PruneReport) addBuckets() {
	for _, under := range pruneAges {
		r.Ages = append(r.Ages, PruneAges{Under: under})
	}
	for _, upTo := range pruneSizes {
		r.Sizes = append(r.Sizes, PruneSizes{UpTo: upTo})
	}
	r.Ages[len(r.Ages)-1].Under = 0
	r.Sizes[len(r.Sizes)-1].UpTo = 0
}

// count puts a session file into its buckets.
func (r *PruneReport) count(age time.Duration, size int64) {
	r.Sessions++
	for i, under := range pruneAges {
		if age < under || i == len(pruneAges)-1 {
			r.Ages[i].Sessions++
			r.Ages[i].Bytes += size
			break
		}
	}
	for i, upTo := range pruneSizes {
		if size <= upTo || i == len(pruneSizes)-1 {
			r.Sizes[i].Sessions++
			r.Sizes[i].Bytes += size
			break
		}
	}
}

// live notes a session that stays.
func (r *PruneReport) live(age time.Duration, size int64) {
	r.Live++
	r.LiveBytes += size
	r.Oldest = max(r.Oldest, age)
	if age < 0 {
		r.Future++
	}
}

// add adds the numbers of another worker.
func (r *PruneReport) add(o *PruneReport) {
	for _, sum := range []struct{ to, from *int }{
		{&r.Entries, &o.Entries}, {&r.Sessions, &o.Sessions}, {&r.Removed, &o.Removed}, {&r.Live, &o.Live},
		{&r.Busy, &o.Busy}, {&r.Corrupt, &o.Corrupt}, {&r.CorruptRemoved, &o.CorruptRemoved},
		{&r.Endless, &o.Endless}, {&r.Future, &o.Future}, {&r.Temp, &o.Temp}, {&r.TempRemoved, &o.TempRemoved},
		{&r.Foreign, &o.Foreign}, {&r.Unmatched, &o.Unmatched},
		{&r.Directories, &o.Directories}, {&r.Vanished, &o.Vanished}, {&r.Failed, &o.Failed},
	} {
		*sum.to += *sum.from
	}
	r.RemovedBytes += o.RemovedBytes
	r.LiveBytes += o.LiveBytes
	r.Oldest = max(r.Oldest, o.Oldest)
	for i := range o.Ages {
		r.Ages[i].Sessions += o.Ages[i].Sessions
		r.Ages[i].Bytes += o.Ages[i].Bytes
	}
	for i := range o.Sizes {
		r.Sizes[i].Sessions += o.Sizes[i].Sessions
		r.Sizes[i].Bytes += o.Sizes[i].Bytes
	}
}
