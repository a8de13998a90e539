package slotfile

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/sessfs/sessions/internal/dirfs"
)

// A directory is the successor of a Files' directory that was removed.
type directory struct {
	mu  sync.Mutex // orders replacements and Close
	now atomic.Pointer[dirfs.Dir]
}

// Dir returns the directory in use. It may have been removed. An operation that
// needs several calls makes them all on the same one.
func (s *Files) Dir() *dirfs.Dir {
	if dir := s.dir.now.Load(); dir != nil {
		return dir
	}
	return s.Opened
}

// PresentDir returns the directory after it has made sure that it was not
// removed.
func (s *Files) PresentDir() (*dirfs.Dir, error) {
	dir := s.Dir()
	removed, err := dir.Removed()
	switch {
	case err != nil:
		return nil, err
	case !removed:
		return dir, nil
	case s.Reopen == nil:
		return nil, dir.Error("open", fs.ErrNotExist)
	}
	return s.replace(dir)
}

// Close releases the directory. Records that are locked stay so.
func (s *Files) Close() error {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	s.Kept.clear(true)
	return s.Dir().Close()
}

// open opens a file by one of Dir's methods, and returns the directory that it
// is in.
func (s *Files) open(by func(*dirfs.Dir, string) (dirfs.File, error), name string) (dirfs.File, *dirfs.Dir, error) {
	dir := s.Dir()
	f, err := by(dir, name)
	if err == nil {
		return f, dir, nil
	}
	if dir, err = s.inPlaceOf(dir, err); dir != nil {
		f, err = by(dir, name)
	}
	return f, dir, err
}

// inPlaceOf returns the directory in which to repeat an operation that ended with
// err: the one in the place of dir, if dir was removed. Otherwise it returns nil
// and the operation's error.
//
// It looks after fs.ErrNotExist alone, so that the usual operation costs nothing
// more, and a missing record one fstat.
func (s *Files) inPlaceOf(dir *dirfs.Dir, err error) (*dirfs.Dir, error) {
	if s.Reopen == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	removed, statErr := dir.Removed()
	switch {
	case statErr != nil:
		return nil, statErr
	case !removed:
		return nil, err
	}
	return s.replace(dir)
}

// replace opens the directory again in the place of one that was removed.
func (s *Files) replace(removed *dirfs.Dir) (*dirfs.Dir, error) {
	if now := s.Dir(); now != removed {
		return now, nil // another goroutine was faster
	}
	opened, err := s.Reopen()
	if err != nil {
		return nil, err
	}
	now, err := s.exchange(removed, opened)
	if now != opened {
		opened.Close()
		return now, err
	}
	if s.Reopened != nil {
		s.Reopened(opened)
	}
	return opened, nil
}

// exchange makes opened the directory in use if that is still the removed one,
// and returns which it is.
func (s *Files) exchange(removed, opened *dirfs.Dir) (*dirfs.Dir, error) {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	if now := s.Dir(); now != removed {
		return now, nil
	}
	// Locks that are held in it find it removed, as they would have before.
	if err := removed.Abandon(); errors.Is(err, fs.ErrClosed) {
		return nil, err
	}
	s.Kept.clear(false)
	s.dir.now.Store(opened)
	return opened, nil
}
