//go:build aix || solaris || (unix && sessions_lockfile)

package dirfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// These systems have record locks in the place of flock(2). A process loses them
// when it closes any descriptor of the file, a reader's too. So the processes
// exclude each other by one lock file for the whole directory, which nothing else
// opens. Within a process each file has a lock of its own.

// A File is an open regular file. It must be closed exactly once; no method may
// run beside Close.
type File struct {
	fd   int
	lock *openLock
}

// An openLock is the lock of an open file.
type openLock struct {
	dir *Dir

	// Guarded by lockFiles.
	held *lockFile // nil without a lock
	id   fileID
}

// file is an open file of the directory.
func (d *Dir) file(fd int) File { return File{fd, &openLock{dir: d}} }

// TryLock is Lock for those who do not wait for the file. For the processes that
// have the directory it waits a moment: each has it for a moment only.
func (f File) TryLock(shared bool) (bool, error) { return f.take(shared, patience) }

// Lock waits for the file's exclusive lock, or with shared for one that
// several open files may have at a time.
func (f File) Lock(shared bool) error {
	_, err := f.take(shared, forever)
	return err
}

// Unlock releases the lock of a file that stays open.
func (f File) Unlock() error {
	lockFiles.Lock()
	defer lockFiles.Unlock()
	if l := f.lock.held; l != nil {
		f.lock.held = nil
		l.leave()
		l.drop(f.lock.id)
	}
	return nil
}

func (f File) closing() {
	if f.lock != nil && f.lock.held != nil {
		f.Unlock()
	}
}

func (f File) take(shared bool, most time.Duration) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	dir, err := f.lock.dir.Stat()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // abandoned: nothing in it to protect
		return false, unwrapOS(err)
	}
	f.Unlock()
	lockFiles.Lock()
	defer lockFiles.Unlock()
	l := lockFileOf(fileID{dir.Device, dir.Inode})
	id := fileID{info.Device, info.Inode}
	for !l.take(id, shared) {
		if most != forever {
			return false, nil
		}
		l.wait(forever)
	}
	ok, err := l.enter(f.lock.dir, most)
	if !ok {
		l.drop(id)
		return false, unwrapOS(err)
	}
	f.lock.held, f.lock.id = l, id
	return true, nil
}

const (
	// lease is how long a process keeps the directory while more of its
	// goroutines come for it; then they wait until it has drained, and rest, so
	// that another process gets it. A lock that is held for longer than draining
	// stops them no more: the goroutine that has it may need another one.
	lease    = 5 * time.Millisecond
	draining = 5 * time.Millisecond
	rest     = time.Millisecond

	patience = 50 * time.Millisecond
	forever  = time.Duration(-1)
)

// lockFiles has the lock files of all directories of the process, also those that
// it does not use any more. There must be only one for a directory: closing a
// second one would lose the lock of the first.
var lockFiles struct {
	sync.Mutex
	known map[fileID]*lockFile // by directory
}

type fileID struct{ device, inode uint64 }

// A lockFile is the lock file of a directory. It is guarded by lockFiles.
type lockFile struct {
	shares map[fileID]int // of locked files: how many share the lock, or exclusive

	flock   *flock.Flock // locked, nil in a directory that was removed
	have    bool         // this process has the directory
	taking  bool         // and is about to
	holders int          // locks for which it has it
	waiters int          // goroutines that wait to become holders
	err     error        // of the last attempt to take it

	until   time.Time     // end of the lease
	freed   time.Time     // when the directory was last given up
	changed chan struct{} // closed when something has changed; nil while no goroutine waits
}

const exclusive = -1

func lockFileOf(id fileID) *lockFile {
	l := lockFiles.known[id]
	if l == nil {
		if lockFiles.known == nil {
			lockFiles.known = make(map[fileID]*lockFile)
		}
		l = &lockFile{shares: make(map[fileID]int)}
		lockFiles.known[id] = l
	}
	return l
}

// take takes the lock of a file within the process.
func (l *lockFile) take(id fileID, shared bool) bool {
	n := l.shares[id]
	switch {
	case shared && n != exclusive:
		l.shares[id] = n + 1
	case !shared && n == 0:
		l.shares[id] = exclusive
	default:
		return false
	}
	return true
}

// drop releases the lock that take took.
func (l *lockFile) drop(id fileID) {
	if n := l.shares[id]; n == exclusive || n == 1 {
		delete(l.shares, id)
	} else {
		l.shares[id] = n - 1
	}
	l.change()
}

// change wakes all who wait.
func (l *lockFile) change() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// wait waits for a change, or so long.
func (l *lockFile) wait(most time.Duration) {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	changed := l.changed
	lockFiles.Unlock()
	defer lockFiles.Lock()
	if most == forever {
		<-changed
		return
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

// enter waits until the process has the directory, and makes the caller a holder.
func (l *lockFile) enter(dir *Dir, most time.Duration) (bool, error) {
	l.waiters++
	defer func() {
		l.waiters--
		l.settle()
	}()
	start := time.Now()
	for {
		ok, next := l.admit(dir, time.Now())
		if ok {
			l.holders++
		}
		if ok || l.err != nil {
			return ok, l.err
		}
		if most != forever {
			left := most - time.Since(start)
			if left <= 0 {
				return false, nil
			}
			if next == forever || next > left {
				next = left
			}
		}
		l.wait(next)
		if l.err != nil {
			return false, l.err
		}
	}
}

// admit reports whether one more goroutine may go in, and otherwise after how long
// to ask again.
func (l *lockFile) admit(dir *Dir, now time.Time) (ok bool, next time.Duration) {
	switch {
	case l.have:
		if now.After(l.until.Add(draining)) || l.holders == 0 && now.After(l.until) {
			l.until = now.Add(lease)
		}
		return now.Before(l.until), l.until.Add(draining).Sub(now) + 1
	case l.taking:
		return false, forever
	}
	if pause := now.Sub(l.freed); 0 <= pause && pause < rest && !now.Before(l.until) {
		return false, rest - pause
	}
	l.err = nil
	if lock, ok, err := takeFile(dir, (*flock.Flock).TryLock); ok || err != nil {
		l.took(lock, err)
		return ok, forever
	}
	l.taking = true
	go l.acquire(dir)
	return false, forever
}

// leave is for a holder that goes.
func (l *lockFile) leave() {
	l.holders--
	l.settle()
}

// settle releases the directory when no goroutine has or wants it, or when it has
// drained.
func (l *lockFile) settle() {
	now := time.Now()
	if !l.have || l.holders > 0 || l.waiters > 0 && now.Before(l.until) {
		return
	}
	if l.flock != nil {
		l.flock.Unlock()
	}
	l.have, l.flock, l.freed = false, nil, now
	l.change()
}

// acquire takes the directory for the process, for which it may wait for long.
func (l *lockFile) acquire(dir *Dir) {
	lock, _, err := takeFile(dir, func(f *flock.Flock) (bool, error) {
		err := f.Lock()
		return err == nil, err
	})
	lockFiles.Lock()
	defer lockFiles.Unlock()
	l.taking = false
	l.took(lock, err)
	l.change()
	if l.waiters == 0 {
		l.settle()
	}
}

// took notes how an attempt to take the directory has ended.
func (l *lockFile) took(lock *flock.Flock, err error) {
	now := time.Now()
	l.have, l.flock, l.err = err == nil, lock, err
	// A process that comes again and again, with hardly a pause, has one lease.
	if pause := now.Sub(l.freed); pause < 0 || pause >= rest {
		l.until = now.Add(lease)
	}
}

// takeFile takes the lock of the directory's lock file, and makes the file if need
// be. It reports false when take does. In a directory that was removed there is
// nothing to take, which is no error.
func takeFile(dir *Dir, take func(*flock.Flock) (bool, error)) (lock *flock.Flock, ok bool, err error) {
	for range 100 { // another process may remove it each time
		lock = flock.New(filepath.Join(dir.path, LockName), flock.SetFlag(os.O_RDWR))
		ok, err = take(lock)
		switch {
		case ok:
			ok, err = isNamed(dir, lock)
			if ok {
				return lock, true, nil
			}
			lock.Unlock()
		case err == nil || errors.Is(err, syscall.EAGAIN): // Solaris' word for a lock that is taken
			return nil, false, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, fs.ErrNotExist):
			err = nil
		}
		if err != nil {
			return nil, false, unwrapOS(err)
		}
		f, err := dir.Create(LockName, 0o600)
		switch {
		case err == nil:
			f.Close()
		case errors.Is(err, fs.ErrNotExist):
			return nil, true, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, false, unwrapOS(err)
		}
	}
	return nil, false, errMoved
}

// isNamed reports whether the locked file is the directory's lock file.
func isNamed(dir *Dir, lock *flock.Flock) (bool, error) {
	fi, err := lock.Stat()
	if err != nil {
		return false, err
	}
	named, err := dir.Lstat(LockName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && named.Mode.IsRegular() && named.Device == uint64(st.Dev) && named.Inode == uint64(st.Ino), err
}
