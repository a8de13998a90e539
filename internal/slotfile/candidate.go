package slotfile

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/sessfs/sessions/internal/dirfs"
)

// A Candidate is a file that a pruner judges, and perhaps removes. It never waits
// for a lock and never writes, so that it does not hold up the users of the record.
// It is for one goroutine.
type Candidate struct {
	dir  *dirfs.Dir
	name string
	file dirfs.File
}

// NewCandidate opens the file of that name for reading. The error is
// fs.ErrNotExist when there is none, and ErrCorrupt when it is not a regular file.
// The Candidate must be closed.
func NewCandidate(dir *dirfs.Dir, name string) (Candidate, error) {
	f, err := dir.OpenQuietly(name)
	return Candidate{dir, name, f}, irregularIsCorrupt(err)
}

// Close closes the file and releases its lock.
func (x Candidate) Close() { x.file.Close() }

// TryLock takes the record's lock if it is free. While it is held, no other
// goroutine of any process changes the file, its modification time, or its name.
// TryLock reports false when another one has the lock, and is about to change the
// record.
//
// It does not use the semaphores of Files.Lock, which order the goroutines of one
// process: flock(2) is between open files, not between processes.
func (x Candidate) TryLock() (bool, error) {
	ok, err := x.file.TryLock(false)
	return ok, x.dir.Error("flock", err)
}

// Unlock releases the lock before Close does. Closing a file that has no name any
// more takes longer, since the system frees its blocks.
func (x Candidate) Unlock() { x.file.Unlock() }

// Info describes the open file. Its Links are zero when it no longer has the
// name.
func (x Candidate) Info() (dirfs.Info, error) {
	info, err := statNamed(x.dir, x.file, x.name)
	return info, x.dir.Error("fstat", err)
}

// Header reads the header's text into *buf. The error is ErrCorrupt when there
// is none. It does not read the rest of the file: of a million files that would be
// some gigabytes.
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
// record with a payload of 1 MiB. A header can claim any size.
const maxCandidate = 4 << 20

// Read reads the file into *buf and returns its header's text. The error is
// ErrCorrupt for a file that is not a record, and fs.ErrNotExist for one whose
// removal was broken off. Without the lock, a record that is just being written can
// seem corrupt. Of a record that can be larger than 1 MiB it reads the header
// alone.
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
// Unlike Lock.Remove, it writes no tombstone. A writer that waits for the lock
// finds the file without a name, and knows as much as a tombstone would tell it. A
// reader that has the file open overlaps with the removal, and may answer from
// before it. A tombstone keeps a record from coming back, over a second hard link,
// which the caller has excluded, or after a power cut that undoes the removal. A
// record that is removed for its age comes back as old as it was. And a pruner that
// never writes cannot damage a file that it took for another.
func (x Candidate) Remove() error {
	err := x.dir.Remove(x.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
