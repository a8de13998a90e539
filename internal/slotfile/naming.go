package slotfile

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/dirlock"
)

// A Naming has the names of the files of the directory's lock. Every call by which a
// file gets a record's name shares the lock for that moment. Under Exclude, no
// record is made, and none moves to another name or file. The zero value is no
// lock.
type Naming struct{ Lock, Turn string }

// A namingLock is the lock of a directory.
type namingLock struct {
	*dirlock.Lock
	dir *dirfs.Dir
}

func (s *Files) namingLock(dir *dirfs.Dir) *dirlock.Lock {
	was := s.naming.Load()
	if was != nil && was.dir == dir {
		return was.Lock
	}
	lock := &namingLock{dirlock.New(dir, s.Naming.Lock, s.Naming.Turn), dir}
	if dir == s.Dir() && !s.naming.CompareAndSwap(was, lock) {
		return s.namingLock(dir)
	}
	return lock.Lock
}

// A Namer has a new file renamed to its name in the directory: it calls rename once, in
// the middle of work of its own, or returns an error. It runs outside of the naming
// lock.
type Namer func(dir *dirfs.Dir, rename func() error) error

// shareNaming calls rename while it shares the lock.
func (s *Files) shareNaming(ctx context.Context, dir *dirfs.Dir, rename func() error) error {
	if s.Naming == (Naming{}) {
		return rename()
	}
	hold, err := s.namingLock(dir).Share(ctx)
	if err != nil {
		return err
	}
	defer hold.Release()
	return rename()
}

// Exclude takes the naming lock alone until release is called, and returns the
// lock's directory. It waits until ctx ends. Other calls wait for release while they
// hold the lock of a record, so the caller must not wait for such a lock before.
func (s *Files) Exclude(ctx context.Context) (dir *dirfs.Dir, release func(), err error) {
	if dir, err = s.PresentDir(); err == nil {
		release, err = s.namingLock(dir).Exclude(ctx)
	}
	return dir, release, err
}

// RemoveNow removes a record of the directory without waiting for its lock, and
// reports whether there was one. A Write in place that is under way may finish,
// into a file that has no name any more. A Write that makes a new file, and
// CreateFor, return fs.ErrNotExist. RemoveNow must be called between Exclude and
// release, when no other file can take the name.
func (s *Files) RemoveNow(dir *dirfs.Dir, name string) (gone bool, err error) {
	defer s.Kept.remove(name)
	l := Lock{files: s, name: name, dir: dir}
	if l.file, err = dir.OpenWrite(name); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, irregularIsCorrupt(err)
	}
	defer l.file.Close()
	free, err := l.file.TryLock(false)
	if err != nil {
		return false, dir.Error("flock", err)
	}
	if linked, err := l.linked(); err != nil || !linked {
		return false, irregularIsCorrupt(dir.Error("fstat", err))
	}
	if !free {
		return l.unlink()
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	if l.img, err = s.readImage(l.file, buf); err == nil || errors.Is(err, ErrCorrupt) {
		gone, err = l.Remove()
		gone = gone && !errors.Is(l.img.err(), fs.ErrNotExist) // a removal was broken off
	}
	return gone, err
}

// unlink removes the name of a record that another Lock holds.
func (l *Lock) unlink() (gone bool, err error) {
	if l.info.Links > 1 {
		// Makes those who wait for the lock look at the name: see statNamed.
		if err := l.file.Chmod(l.info.Mode | movedBit); err != nil {
			return false, l.dir.Error("fchmod", err)
		}
	}
	err = l.dir.Remove(l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil && l.files.Sync {
		return true, l.dir.Sync()
	}
	return err == nil, err
}

// ReadNow reads a record of the directory without waiting for its lock. The
// payload is that of a recent save, not certainly of the last. The error is
// fs.ErrNotExist when there is no record, and ErrCorrupt when the file is not one.
func (s *Files) ReadNow(dir *dirfs.Dir, name string) (Record, error) {
	f, err := dir.OpenRead(name)
	if err != nil {
		return Record{}, irregularIsCorrupt(err)
	}
	defer f.Close()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	// Saves that follow one another can write both slots during one read.
	for range lockFreeReads {
		img, err := s.readImage(f, buf)
		if err != nil {
			return Record{}, err
		}
		if img.newest >= 0 {
			return img.record(time.Time{})
		}
	}
	return Record{}, ErrCorrupt
}
