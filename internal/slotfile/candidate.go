package slotfile

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/sessfs/sessions/internal/dirfs"
)

// A Candidate is a file that somebody wants to judge, and perhaps to remove,
// without ever being in the way of those who use it: it waits for no lock and
// writes nothing. It is for one goroutine.
type Candidate struct {
	dir  *dirfs.Dir
	name string
	file dirfs.File
}

// NewCandidate opens the file of that name for reading. The error is fs.ErrNotExist
// when there is none and ErrCorrupt when it is no regular file; otherwise the
// Candidate must be closed.
func NewCandidate(dir *dirfs.Dir, name string) (Candidate, error) {
	f, err := dir.OpenQuietly(name)
	return Candidate{dir, name, f}, irregularIsCorrupt(err)
}

// Close closes the file, and gives up its lock.
func (x Candidate) Close() { x.file.Close() }

// TryLock takes the record's lock, with which nobody else in any process can
// change the file, its modification time, or what has its name. It reports
// false when somebody has the lock: they are about to change the record.
//
// The semaphores of Files.Lock, which order the goroutines of one process, are
// left aside: flock(2) is between open files, not between processes.
func (x Candidate) TryLock() (bool, error) {
	ok, err := x.file.TryLock(false)
	return ok, x.dir.Error("flock", err)
}

// Unlock gives up the lock, which Close would do as well. To close a file that has
// no name any more takes longer: the system gives its blocks back.
func (x Candidate) Unlock() { x.file.Unlock() }

// Info describes the open file. Its Links are zero when it no longer has the
// name.
func (x Candidate) Info() (dirfs.Info, error) {
	info, err := statNamed(x.dir, x.file, x.name)
	return info, x.dir.Error("fstat", err)
}

// Header reads the header's text into *buf. The error is ErrCorrupt when there
// is none. The rest of the file, of which a million are a million times some
// kilobytes, is not touched.
func (x Candidate) Header(buf *[]byte) (meta []byte, err error) {
	*buf = slices.Grow((*buf)[:0], headerSize)
	b := (*buf)[:headerSize]
	n, err := readUntil(x.file, b, 0, headerSize)
	if err != nil {
		return nil, irregularIsCorrupt(x.dir.Error("pread", err))
	}
	meta, _, ok := parseHeader(b[:n])
	if !ok {
		return nil, ErrCorrupt
	}
	return meta, nil
}

// maxCandidate is how much of a file Read takes into memory, in bytes: all of a
// record with a payload of 1 MiB. A header can say anything.
const maxCandidate = 4 << 20

// Read reads the file into *buf and returns its header's text. The error is
// ErrCorrupt for a file that is no record, and fs.ErrNotExist for one whose
// removal was broken off. Without the lock a record can seem corrupt that is
// just being written. Of a record that can be larger than 1 MiB the header
// alone is read.
func (x Candidate) Read(buf *[]byte) (meta []byte, err error) {
	*buf = slices.Grow((*buf)[:0], 4096)
	img, err := readImage(x.dir, x.file, buf, maxCandidate/2-headerSize)
	switch err {
	case nil:
		return img.meta, img.err()
	case errLarge:
		return img.meta, nil
	}
	return nil, err
}

// Remove removes the file from the directory. The caller has the lock, and has
// seen by Info that the file has exactly one name.
//
// It writes no tombstone, as Lock.Remove does. A writer that waits for the lock
// finds the file without a name and reports the record as gone, which is all
// that a tombstone would tell it; a reader that has the file open overlaps with
// the removal, and may answer from before it. What a tombstone is for is a
// record that must not come back: over a second hard link, which the caller
// has excluded, or when a power cut takes the removal back. A record that is
// removed because of its age comes back as old as it was. And a pruner that
// never writes into a file cannot damage one that it took for another.
func (x Candidate) Remove() error {
	err := x.dir.Remove(x.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
