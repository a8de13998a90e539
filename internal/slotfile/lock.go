package slotfile

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
)

// A Lock is the right to change one record. While it is held, no other goroutine,
// in this process or another, can write or remove the record. It is for one
// goroutine, and lives in a variable of the caller's.
type Lock struct {
	By Namer // of the new files of Write and CreateFor; nil for none. Lock resets it.

	files *Files
	name  string
	sem   *semaphore
	dir   *dirfs.Dir // that the file was opened in
	file  dirfs.File
	kept  *keptFile  // that file is, nil for none
	known *keptImage // of that
	buf   *[]byte
	info  dirfs.Info
	img   image // the file's content, in buf
	err   error // ErrCorrupt when img is nothing
	moved bool  // see Moved
	gone  bool  // the file has no name any more
}

// Lock takes the record's lock into l. It waits for the lock until ctx ends. The
// error is fs.ErrNotExist when no file has the name, ErrCorrupt when the file is
// not a regular one, ctx's when ctx ends, and the system's otherwise. After an
// error l is not locked.
func (s *Files) Lock(ctx context.Context, name string, l *Lock) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.lock(ctx, name, l)
}

// TryLock is Lock without waiting. It reports whether it took the lock. That the
// lock is taken is not an error.
func (s *Files) TryLock(name string, l *Lock) (bool, error) {
	err := s.lock(noTime, name, l)
	if errors.Is(err, noTime.Err()) {
		return false, nil
	}
	return err == nil, err
}

// noTime is a context that has ended: a lock that is asked for under it is had at
// once or not at all.
var noTime = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (s *Files) lock(ctx context.Context, name string, l *Lock) error {
	sem, err := s.locks.lock(ctx, name)
	if err != nil {
		return err
	}
	*l = Lock{files: s, name: name, sem: sem}
	if s.Kept != nil && l.openKept() {
		return nil
	}
	if err := l.open(ctx); err != nil {
		return irregularIsCorrupt(err)
	}
	l.buf = buffers.Get().(*[]byte)
	l.img, l.err = s.readImage(l.file, l.buf)
	if l.err == nil && s.Strict && l.img.torn {
		l.err = ErrCorrupt
	}
	if l.err != nil && !errors.Is(l.err, ErrCorrupt) {
		l.Unlock()
		return l.err
	}
	return nil
}

// open opens the file that has the name and locks it. On an error it releases the
// semaphore, at once or when the system returns from a wait that ctx has ended.
func (l *Lock) open(ctx context.Context) (err error) {
	for {
		if l.file, l.dir, err = l.files.open((*dirfs.Dir).OpenWrite, l.name); err != nil {
			l.files.locks.unlock(l.name, l.sem)
			return err
		}
		// A free lock, the usual case, needs no goroutine to wait for it.
		locked, err := l.file.TryLock(false)
		if err == nil && !locked {
			// A copy: after an error the caller may use its variable for
			// another lock before the wait for this one has ended.
			waiting := *l
			if err := lockContext(ctx, l.file, false, waiting.release); err != nil {
				return l.dir.Error("flock", err)
			}
		}
		linked := false
		if err == nil {
			linked, err = l.linked()
		}
		if linked {
			return nil
		}
		if err != nil {
			l.release()
			return l.dir.Error("flock", err)
		}
		l.file.Close()
		// During the wait, the record was removed, moved into a new file or
		// replaced by an operator: start over with the file that has the name now.
	}
}

// openKept locks the file if it is kept, its lock is free, and all is well with it. The
// semaphore keeps the goroutines apart that have its descriptor.
func (l *Lock) openKept() bool {
	f := l.files.Kept.take(l.name, true)
	if f == nil {
		return false
	}
	if locked, err := f.file.TryLock(false); !locked || err != nil {
		f.release()
		return false
	}
	l.kept, l.file, l.dir = f, f.file, l.files.Dir()
	info, named := f.named(l.dir)
	if l.info, l.gone = info, !named; l.gone {
		l.leaveKept()
		return false
	}
	l.buf = buffers.Get().(*[]byte)
	if b, err := f.read(l.buf); err == nil {
		l.known = f.imageOf(b)
		if l.known != nil {
			l.img = l.known.of(b)
			return true
		}
	}
	buffers.Put(l.buf)
	l.leaveKept()
	return false
}

// leaveKept unlocks a kept file.
func (l *Lock) leaveKept() {
	if l.kept.file.Unlock() != nil || l.gone || l.moved {
		l.files.Kept.remove(l.name)
	}
	if l.known != nil {
		l.kept.image.Store(l.known)
	}
	l.kept.release()
	l.kept, l.known, l.gone = nil, nil, false
}

// linked reports whether the open file is still the one of that name.
func (l *Lock) linked() (_ bool, err error) {
	l.info, err = statNamed(l.dir, l.file, l.name)
	if err == nil && !l.info.Mode.IsRegular() {
		err = dirfs.ErrIrregular
	}
	return err == nil && l.info.Links > 0, err
}

// movedBit is set in the mode of a file just before its record moves into a new
// one. No store makes a file with it.
const movedBit = 0o100

// statNamed describes an open file. Its Links are zero when it no longer has the
// name.
//
// A link count of one is the usual case, and sufficient. But if there was a hard
// link, a backup perhaps, one is also the count after the record has moved into a
// new file, or an operator has removed the name. So the name is looked at where
// there is more than one link, or where movedBit is set and there may be another
// file of that name.
func statNamed(dir *dirfs.Dir, f dirfs.File, name string) (dirfs.Info, error) {
	info, err := f.Stat()
	if err != nil || info.Links == 0 || info.Links == 1 && info.Mode&movedBit == 0 {
		return info, err
	}
	named, err := dir.HasName(info, name)
	if !named {
		info.Links = 0
	}
	return info, err
}

// Unlock releases the lock. It must be called exactly once.
func (l *Lock) Unlock() {
	buffers.Put(l.buf)
	if l.leaveOpen() {
		l.files.locks.unlock(l.name, l.sem)
	} else {
		l.release()
	}
}

// leaveOpen unlocks a file that stays open, and reports false for any other one.
func (l *Lock) leaveOpen() bool {
	kept := l.files.Kept
	switch {
	case l.kept != nil:
		l.leaveKept()
		return true
	case l.gone || l.moved:
		kept.remove(l.name) // kept for reading, perhaps
		return false
	}
	return kept != nil && l.err == nil && l.info.Size <= keptSize && kept.wants(l.name, true) &&
		l.file.Unlock() == nil && kept.add(l.name, l.file, true)
}

func (l *Lock) release() {
	l.file.Close()
	l.files.locks.unlock(l.name, l.sem)
}

// Err returns the reason why the locked file is not a record: ErrCorrupt, or
// fs.ErrNotExist for one whose removal was broken off. Such a file can be removed,
// not written.
func (l *Lock) Err() error {
	if l.err != nil {
		return l.err
	}
	return l.img.err()
}

// Meta returns the header's text, valid until Unlock. Err must be nil.
func (l *Lock) Meta() []byte { return l.img.meta }

// Payload returns the record's payload, valid until Unlock. Err must be nil.
func (l *Lock) Payload() []byte { return l.img.slots[l.img.newest].payload }

// Record returns a copy of the record. Err must be nil.
func (l *Lock) Record() Record {
	meta := l.Meta()
	return newRecord(string(meta)+string(l.Payload()), len(meta), l.info.ModTime)
}

// ModTime returns the file's modification time when the lock was taken.
func (l *Lock) ModTime() time.Time { return l.info.ModTime }

// Write replaces the record: in place, if the header's text is the same and the
// payload fits into a slot, otherwise by a new file, marked or not. One header's
// text must always go with the same value of marked. The error is fs.ErrNotExist
// when the file was removed without its lock. After an error the record is as it
// was or as it should have become, never anything else. A Lock is for one Write or
// Remove that succeeds; see Moved.
//
// A record that has become much smaller (see isRoomy) also gets a new file. If
// that fails, on a full disk for one, Write writes into the old file.
func (l *Lock) Write(ctx context.Context, meta []byte, payload string, marked bool) error {
	fits := l.Fits(meta, payload)
	if !fits || isRoomy(l.img.slotSize, len(payload)) {
		err := l.move(ctx, meta, max(l.nextSeq(), 1), payload, marked)
		if err == nil || l.moved || !fits || errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return l.WriteInPlace(payload)
}

// WriteInPlace is Write, of a record that Fits, without moving a small one.
func (l *Lock) WriteInPlace(payload string) error {
	return l.overwrite(1-l.img.newest, l.nextSeq(), false, payload)
}

// Fits reports whether a record can be written in place.
func (l *Lock) Fits(meta []byte, payload string) bool {
	return l.nextSeq() > 0 && bytes.Equal(meta, l.img.meta) && slotHead+len(payload)+1 <= l.img.slotSize
}

// nextSeq is zero after 2^64 saves, which are impossible. But a file can claim them:
// then a new one begins at 1.
func (l *Lock) nextSeq() uint64 { return l.img.slots[l.img.newest].seq + 1 }

// move writes the record into a new file and renames that to the name. It sets
// l.moved when the new file has the name, which it may in spite of an error.
func (l *Lock) move(ctx context.Context, meta []byte, seq uint64, payload string, marked bool) error {
	return l.files.writeNew(ctx, l.dir, l.By, meta, seq, payload, marked, func(temp string) error {
		if err := l.check(); err != nil {
			return err
		}
		// Before, since a process may be killed at any moment. A file that
		// keeps its name with the bit set costs a look at the name at each lock.
		if err := l.file.Chmod(l.info.Mode | movedBit); err != nil {
			return l.dir.Error("fchmod", err)
		}
		err := l.dir.Rename(temp, l.name)
		if err == nil {
			l.moved, l.known = true, nil
		}
		return err
	})
}

// Moved reports whether a Write has given the record's name to a new file. It may
// have done so although it failed. After a Write that failed and did not move the
// record, there can be another.
func (l *Lock) Moved() bool { return l.moved }

// check returns fs.ErrNotExist when the record was removed without its lock. It is
// called before a new file gets a name: writing that took time, and the record must
// not come back.
func (l *Lock) check() error {
	linked, err := l.linked()
	if err == nil && !linked {
		err = fs.ErrNotExist
	}
	return err
}

// EnsureDurable waits, with Files.Sync, until the record is on the disk. It is for a
// caller that finds the record as wanted: the writer may have been killed before its
// own sync.
func (l *Lock) EnsureDurable() error {
	if !l.files.Sync {
		return nil
	}
	if err := l.syncName(1 - l.img.newest); err != nil {
		return err
	}
	return l.dir.Error("fdatasync", l.file.SyncData())
}

// syncName waits, with Files.Sync, until the file's name is on the disk. It does so
// before the first write to a slot: the writer that renamed this file over another
// may have been killed before it waited. A power cut would bring back the other
// file, and saves acknowledged in this one would be lost.
func (l *Lock) syncName(which int) error {
	if slot := l.img.slots[which]; !l.files.Sync || !slot.valid || slot.seq > 0 {
		return nil
	}
	return l.dir.Sync()
}

// overwrite writes one slot.
func (l *Lock) overwrite(which int, seq uint64, dead bool, payload string) error {
	if err := l.syncName(which); err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b := appendSlot((*buf)[:0], seq, dead, payload)
	// Spaces over the old payload, so that a deleted value does not stay readable
	// behind a shorter one. The rest of a torn save may be anywhere in the slot.
	used := l.img.slotSize
	if old := l.img.slots[which]; old.valid && !l.img.torn {
		used = slotHead + len(old.payload) + 1
	}
	b = pad(b, used)
	*buf = b
	err := l.file.WriteAt(b, int64(headerSize+which*l.img.slotSize))
	if err != nil {
		return l.dir.Error("pwrite", err)
	}
	if l.known != nil && !dead {
		l.known = l.known.written(which, seq, b, payload)
	}
	if l.files.Sync {
		return l.dir.Error("fdatasync", l.file.SyncData())
	}
	return nil
}

// Derived returns the value that [Record].Derived has for the record that was read, nil
// for none.
func (l *Lock) Derived() any {
	if l.known == nil {
		return nil
	}
	return l.known.derived.Load()
}

// SetDerived sets that value for the record that Write has written, and with it the text
// of Meta and Payload in one, if the caller has that. Either may be nothing.
func (l *Lock) SetDerived(derived any, text string) {
	if l.known == nil {
		return
	}
	l.known.record.text = text
	if derived != nil {
		l.known.derived.Store(derived)
	}
}

// SetModTime sets the file's modification time. A file that an operator removed
// since its lock was taken is not an error: it was there for the work done under
// the lock before.
func (l *Lock) SetModTime(t time.Time) error {
	err := l.dir.SetModTime(l.name, t)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// RemoveAfter calls f and removes the record, unless f returns an error. In between no
// RemoveNow can remove it. The error is fs.ErrNotExist when the file was removed before,
// without its lock; f is not called then.
func (l *Lock) RemoveAfter(ctx context.Context, f func() error) (gone bool, err error) {
	remove := func() error {
		return l.files.shareNaming(ctx, l.dir, func() error {
			err := l.check()
			if err == nil {
				err = f()
			}
			if err == nil {
				gone, err = l.Remove()
			}
			return err
		})
	}
	if l.By != nil {
		err = l.By(l.dir, remove)
	} else {
		err = remove()
	}
	return gone, err
}

// Remove removes the record and its file. It first writes a tombstone. With it the
// record is gone for readers that have the file open and, with Files.Sync, after a
// power cut that undoes the removal of the name. So the record can be gone although
// there is an error: its name is then still there, and Remove can be tried again.
func (l *Lock) Remove() (gone bool, err error) {
	newest := l.img.newest
	switch {
	case newest >= 0 && !l.img.slots[newest].dead:
		err = l.overwrite(1-newest, l.img.slots[newest].seq+1, true, "")
	case newest >= 0:
		err = l.EnsureDurable()
	}
	dead := newest >= 0 && err == nil
	if removeErr := l.dir.Remove(l.name); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
		return dead, errors.Join(err, removeErr)
	}
	l.gone = true
	if l.files.Sync && !dead {
		return true, l.dir.Sync() // the name alone tells that it is gone
	}
	return true, nil
}
