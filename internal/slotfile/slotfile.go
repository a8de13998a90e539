// Package slotfile keeps records of bytes in the files of one directory, one
// record a file. A save overwrites the record in place. The record is never torn:
// not for a reader, nor after a writer was killed, nor on a full disk.
//
// A file has two slots. A save writes the older one, with the next sequence
// number and a checksum, under flock(2) of the file; the newest valid slot is
// the record. Readers take no lock. ARCHITECTURE.md proves that none is needed, and
// has the cost of the usual way, a temporary file and rename(2).
package slotfile

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
)

// ErrCorrupt is the error for a file that is not a record: its header or both
// slots are damaged, or it is not a regular file.
var ErrCorrupt = errors.New("damaged file")

// Files is a directory of records. Its methods may be called by several
// goroutines at once, and several processes may have the same directory.
type Files struct {
	Opened     *dirfs.Dir  // the directory, as it was opened first; see Dir
	Mode       fs.FileMode // permission bits of new files
	Sync       bool        // wait for the disk: acknowledged writes survive a power cut
	MaxPayload int         // bytes; a file that announces more is corrupt
	TempSuffix string      // ends the names of files that are not finished yet
	Times      bool        // Read fills in Record.ModTime, for one system call more
	Kept       *Kept       // small files that are used again and again stay open; nil for none
	Naming     Naming      // the names of a lock's files; see Exclude

	// Strict makes a file that was cut off, and one with a torn slot, ErrCorrupt. By
	// default its older slot is the record: a save was broken off.
	Strict bool

	// Reopen opens the directory again after it was removed, and makes it if
	// there is none. Several goroutines may call it at once; Reopened is then
	// called for the one directory that is used. With a nil Reopen, operations in
	// a removed directory return fs.ErrNotExist.
	Reopen   func() (*dirfs.Dir, error)
	Reopened func(*dirfs.Dir)

	dir    directory
	locks  keyedMutex
	naming atomic.Pointer[namingLock] // of the directory in use
}

// A Record is the content of a file.
type Record struct {
	Meta    string // the header's text, the same for the life of the file
	Payload string
	ModTime time.Time // may be zero from a Read without Files.Times

	// Derived keeps what the caller has made of the record for the next Read of the same
	// one. It is nil for a file that is not kept.
	Derived *atomic.Value

	text string // Meta and Payload in one, if they were read so
}

// Text returns Meta and Payload in one.
func (r *Record) Text() string {
	if r.text != "" {
		return r.text
	}
	return r.Meta + r.Payload
}

// lockFreeReads is how often Read looks at a file that writers keep busy
// before it waits for their lock. Two are enough beside a single save.
const lockFreeReads = 10

// Read returns the record of that name. The error is fs.ErrNotExist when there is
// none, ErrCorrupt when the file is not a record, ctx's when ctx ends while Read
// waits, and the system's otherwise.
func (s *Files) Read(ctx context.Context, name string) (Record, error) {
	if s.Kept != nil {
		if rec, ok := s.Kept.read(s.Dir(), name); ok {
			return rec, nil
		}
	}
	f, _, err := s.open((*dirfs.Dir).OpenRead, name)
	if err != nil {
		return Record{}, irregularIsCorrupt(err)
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	rec, torn, err := s.readUnlocked(f, buf)
	if torn {
		// Writers keep this one busy, or one of them died in the middle of a save.
		return s.readLocked(ctx, name, f, buf)
	}
	if err != nil || s.Kept == nil || len(rec.text) > keptSize || !s.Kept.wants(name, false) || !s.Kept.add(name, f, false) {
		f.Close()
	}
	return rec, err
}

// readUnlocked reads beside writers. It reports torn when none of its reads shows
// with certainty which save is the newest finished one.
func (s *Files) readUnlocked(f dirfs.File, buf *[]byte) (rec Record, torn bool, err error) {
	modTime, err := s.modTime(f)
	if err != nil {
		return Record{}, false, err
	}
	before := uint64(0) // the sequence number of the whole slot in the read before, which was torn
	for range lockFreeReads {
		img, err := s.readImage(f, buf)
		if err != nil {
			return Record{}, false, err
		}
		newest := img.newest
		if s.Strict && img.torn {
			break
		}
		if !img.torn || newest >= 0 && img.slots[newest].seq == before {
			rec, err = img.record(modTime)
			return rec, false, err
		}
		// A torn slot may be newer than the other one by more than one save. Then
		// a finished save is in neither as it was read: look again.
		if before = 0; newest >= 0 {
			before = img.slots[newest].seq
		}
	}
	return Record{}, true, nil
}

// readLocked reads a file under its shared lock, and closes it.
//
// It waits for the name's semaphore first. When ctx ends a wait for the lock
// itself, a goroutine, a thread and a descriptor stay behind until the lock is
// free. The semaphore stays with them, so that a file has one such wait at most.
func (s *Files) readLocked(ctx context.Context, name string, f dirfs.File, buf *[]byte) (Record, error) {
	sem, err := s.locks.lock(ctx, name)
	if err != nil {
		f.Close()
		return Record{}, err
	}
	release := func() {
		f.Close()
		s.locks.unlock(name, sem)
	}
	if err := lockContext(ctx, f, true, release); err != nil {
		return Record{}, err
	}
	defer release()
	modTime, err := s.modTime(f)
	if err != nil {
		return Record{}, err
	}
	img, err := s.readImage(f, buf)
	if err == nil && s.Strict && img.torn {
		err = ErrCorrupt
	}
	if err != nil {
		return Record{}, err
	}
	return img.record(modTime)
}

// modTime returns the time for Record.ModTime. It is called before the file is
// read, so that a save in between makes a record look older than it is, never
// younger.
func (s *Files) modTime(f dirfs.File) (time.Time, error) {
	if !s.Times {
		return time.Time{}, nil
	}
	info, err := f.Stat()
	return info.ModTime, s.Dir().Error("fstat", err)
}

// Create makes a record under a name that has none. Otherwise the error is
// fs.ErrExist. A marked file is a sector longer, see [SizeOf]. A reader sees all of
// the record or none. Create waits for the end of an Exclude, until ctx ends.
func (s *Files) Create(ctx context.Context, name string, meta []byte, payload string, marked bool) error {
	return s.CreateBy(ctx, nil, name, meta, payload, marked, time.Time{})
}

// CreateBy is Create, by a Namer, with a modification time that is now when it is zero.
func (s *Files) CreateBy(ctx context.Context, by Namer, name string, meta []byte, payload string, marked bool, modTime time.Time) error {
	dir := s.Dir()
	create := func() error {
		return s.createIn(ctx, dir, by, name, meta, payload, marked, func(temp string) error {
			if modTime.IsZero() {
				return nil
			}
			return dir.SetModTime(temp, modTime)
		})
	}
	err := create()
	if dir, err = s.inPlaceOf(dir, err); dir != nil {
		err = create()
	}
	return err
}

// CreateFor is Create for a record that takes the place of a locked one of another
// name. The error is fs.ErrNotExist when that one was removed without its lock.
func (s *Files) CreateFor(ctx context.Context, old *Lock, name string, meta []byte, payload string, marked bool) error {
	return s.createIn(ctx, old.dir, old.By, name, meta, payload, marked, func(string) error { return old.check() })
}

// createIn is CreateBy. It calls ready before the file, which has a temporary name, gets its own.
func (s *Files) createIn(ctx context.Context, dir *dirfs.Dir, by Namer, name string, meta []byte, payload string, marked bool, ready func(temp string) error) error {
	placed := false
	err := s.writeNew(ctx, dir, by, meta, 1, payload, marked, func(temp string) error {
		if err := ready(temp); err != nil {
			return err
		}
		err := dir.RenameNew(temp, name)
		placed = err == nil
		return err
	})
	if err != nil && placed {
		// The sync of the name failed. The record is not acknowledged, and another
		// try must not find the name taken.
		err = errors.Join(err, removeAny(dir, name))
	}
	return err
}

// removeAny removes a file, if there is one.
func removeAny(dir *dirfs.Dir, name string) error {
	err := dir.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeNew writes a new file under a temporary name and has rename called with that
// name, by the Namer and under the naming lock. When that fails, it removes the file.
func (s *Files) writeNew(ctx context.Context, dir *dirfs.Dir, by Namer, meta []byte, seq uint64, payload string, marked bool, rename func(temp string) error) (err error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf, err = appendFile((*buf)[:0], meta, seq, payload, marked)
	if err != nil {
		return err
	}
	var random [8]byte
	rand.Read(random[:])
	temp := "tmp-" + hex.EncodeToString(random[:]) + s.TempSuffix
	if err := s.writeTemp(dir, temp, *buf); err != nil {
		return err
	}
	named := func() error { return s.shareNaming(ctx, dir, func() error { return rename(temp) }) }
	if by != nil {
		err = by(dir, named)
	} else {
		err = named()
	}
	if err != nil {
		return errors.Join(err, removeAny(dir, temp))
	}
	if s.Sync {
		return dir.Sync()
	}
	return nil
}

// writeTemp makes a file, or leaves nothing behind.
func (s *Files) writeTemp(dir *dirfs.Dir, temp string, content []byte) error {
	f, err := dir.Create(temp, s.Mode)
	if err != nil {
		return err
	}
	err = dir.Error("pwrite", f.WriteAt(content, 0))
	if err == nil && s.Sync {
		err = dir.Error("fdatasync", f.SyncData())
	}
	if err = errors.Join(err, dir.Error("close", f.Close())); err != nil {
		return errors.Join(err, dir.Remove(temp))
	}
	return nil
}

// buffers holds the buffers in which files are read and put together: the hot paths
// would otherwise allocate 4 KiB at each call.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 4096)
	return &b
}}

func (s *Files) readImage(f dirfs.File, buf *[]byte) (image, error) {
	return readImage(s.Dir(), f, buf, slotSizeFor(s.MaxPayload))
}

// errLarge is readImage's ErrCorrupt for slots of more than maxSlot bytes, in a file
// that may be whole.
var errLarge = fmt.Errorf("%w: its slots are too large", ErrCorrupt)

// readImage reads a file whole into *buf, which grows for a larger one. When the
// slots have more than maxSlot bytes, it reads the header alone and returns
// errLarge.
func readImage(dir *dirfs.Dir, f dirfs.File, buf *[]byte, maxSlot int) (image, error) {
	b := (*buf)[:cap(*buf)]
	n, err := readUntil(f, b, 0, headerSize)
	if err != nil {
		return noImage, irregularIsCorrupt(dir.Error("pread", err))
	}
	img := noImage
	var ok bool
	img.meta, img.slotSize, ok = parseHeader(b[:n])
	if !ok {
		return noImage, ErrCorrupt
	}
	if img.slotSize > maxSlot {
		return img, errLarge
	}
	size := headerSize + 2*img.slotSize
	if size > len(b) {
		*buf = make([]byte, size)
		copy(*buf, b[:n])
		b = *buf
		img.meta = b[:len(img.meta)] // not of the buffer that is given up
	}
	if n, err = readUntil(f, b[:max(size, n)], n, size); err != nil {
		return noImage, dir.Error("pread", err)
	}
	img.parseSlots(b[:min(n, size)])
	img.torn = img.torn || n < size
	return img, nil
}

// readUntil reads on into b, of which n bytes are read, until at least want bytes
// are there or the file ends. A short file is not an error: one that is cut off may
// still have a whole slot.
func readUntil(f dirfs.File, b []byte, n, want int) (int, error) {
	for n < want {
		m, err := f.ReadAt(b[n:], int64(n))
		if err != nil {
			return n, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return n, nil
}

// record copies the newest slot out of the buffer.
func (img *image) record(modTime time.Time) (Record, error) {
	if err := img.err(); err != nil {
		return Record{}, err
	}
	// One allocation for both: they are joined in the buffer, which is not read
	// again.
	both := string(append(img.meta, img.slots[img.newest].payload...))
	return newRecord(both, len(img.meta), modTime), nil
}

// newRecord splits a text, of which meta bytes are Meta.
func newRecord(text string, meta int, modTime time.Time) Record {
	return Record{Meta: text[:meta], Payload: text[meta:], ModTime: modTime, text: text}
}

func irregularIsCorrupt(err error) error {
	if errors.Is(err, dirfs.ErrIrregular) {
		return ErrCorrupt
	}
	return err
}

// lockContext waits for the lock of f until ctx ends, without polling. After an
// error the file is no longer the caller's: release, which must close it, was
// called, or is called when the system returns from the wait.
func lockContext(ctx context.Context, f dirfs.File, shared bool, release func()) error {
	if err := ctx.Err(); err != nil {
		release()
		return err
	}
	done := make(chan error) // unbuffered: a send succeeds only while the caller waits
	gone := make(chan struct{})
	go func() {
		err := f.Lock(shared)
		select {
		case done <- err:
		case <-gone:
			release()
		}
	}()
	select {
	case err := <-done:
		if err != nil {
			release()
		}
		return err
	case <-ctx.Done():
		close(gone)
		return ctx.Err()
	}
}
