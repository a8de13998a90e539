package prune

import (
	"math"
	"time"
)

// A Report is the result of a [Run].
type Report struct {
	Started  time.Time
	Duration time.Duration
	DryRun   bool // nothing was removed; Removed and the like count files that would have been
	Stopped  Stop // the reason of an early end, or ""

	Entries  int // names in the directory, without those of the store's own files
	Sessions int // session files among them: the sum of the next five, and those of Failed
	Removed  int // sessions that had ended
	Live     int // sessions that had not
	Busy     int // sessions that were being saved just when they seemed to have ended
	Corrupt  int // damaged session files that stay

	CorruptRemoved int // damaged session files that were removed

	Endless int // of Live: sessions without any timeout
	Future  int // of Live: files that are dated in the future

	Temp        int // unfinished files that are too young to be given up
	TempRemoved int // unfinished files of dead writers

	Foreign     int // other entries: directories, links, other files
	Unmatched   int // of Foreign: regular files, apart from those whose name begins with a dot
	Directories int // of Foreign: directories, apart from lost+found and those whose name begins with a dot

	Vanished int // files that others removed meanwhile
	Failed   int // files that could not be handled

	RemovedBytes int64         // the size of all removed files
	LiveBytes    int64         // the size of Live
	Oldest       time.Duration // the longest idle time among Live

	// Ages and Sizes count all session files, also those that were then removed.
	Ages  []Ages
	Sizes []Sizes
}

// Ages counts session files by the time since they were last saved or
// touched: those of less than Under, and not of less than the Under before.
type Ages struct {
	Under    time.Duration // zero, in the last one: no bound
	Sessions int
	Bytes    int64
}

// Sizes counts session files by their size: those of at most UpTo, and of
// more than the UpTo before.
type Sizes struct {
	UpTo     int64 // bytes; zero, in the last one: no bound
	Sessions int
	Bytes    int64
}

// Stop is the reason why a [Run] did not go through the whole directory.
type Stop string

const (
	StopLimit    Stop = "limit"    // Options.Limit
	StopBudget   Stop = "time"     // Options.TimeBudget
	StopCanceled Stop = "canceled" // the context
)

// Progress is the progress of a [Run].
type Progress struct {
	Entries int // names that were looked at
	Total   int // names there were at the beginning
	Removed int // files removed
	Elapsed time.Duration
}

// An Event is the fate of one file in a [Run].
type Event struct {
	File    string // a short hash of the file's name
	Action  Action
	Age     time.Duration // since the file was last saved or touched
	Size    int64         // bytes
	Err     error         // of Failed
	Corrupt bool          // the file is a damaged session's
}

// Action is the fate of a file.
type Action string

const (
	Removed Action = "removed"
	Kept    Action = "kept"
	Failed  Action = "failed"
)

const (
	day = 24 * time.Hour
	kib = 1 << 10
	mib = 1 << 20
)

// The bounds are usual timeouts, and the file sizes that the doubling of slots
// makes.
var (
	ageBounds  = [...]time.Duration{time.Hour, 6 * time.Hour, day, 2 * day, 7 * day, 14 * day, 30 * day, 90 * day, 365 * day, math.MaxInt64}
	sizeBounds = [...]int64{4 * kib, 8 * kib, 16 * kib, 64 * kib, 256 * kib, mib, math.MaxInt64}
)

// addBuckets adds all buckets, empty.
func (r *Report) addBuckets() {
	for _, under := range ageBounds {
		r.Ages = append(r.Ages, Ages{Under: under})
	}
	for _, upTo := range sizeBounds {
		r.Sizes = append(r.Sizes, Sizes{UpTo: upTo})
	}
	r.Ages[len(r.Ages)-1].Under = 0
	r.Sizes[len(r.Sizes)-1].UpTo = 0
}

// count puts a session file into its buckets.
func (r *Report) count(age time.Duration, size int64) {
	r.Sessions++
	for i, under := range ageBounds {
		if age < under || i == len(ageBounds)-1 {
			r.Ages[i].Sessions++
			r.Ages[i].Bytes += size
			break
		}
	}
	for i, upTo := range sizeBounds {
		if size <= upTo || i == len(sizeBounds)-1 {
			r.Sizes[i].Sessions++
			r.Sizes[i].Bytes += size
			break
		}
	}
}

// live counts a session that stays.
func (r *Report) live(age time.Duration, size int64) {
	r.Live++
	r.LiveBytes += size
	r.Oldest = max(r.Oldest, age)
	if age < 0 {
		r.Future++
	}
}

// add adds the numbers of another worker.
func (r *Report) add(o *Report) {
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
