// Package dirlock is a lock of a directory. Goroutines of any number of
// processes share it, or one of them has it alone.
//
// With flock(2) of one file, sharers may overlap for ever while an Exclude waits.
// So there are two files, the lock and the turn. An Exclude locks the turn first
// and keeps it. Then it makes the lock file one byte long. A Share that finds the
// byte waits for the turn. The byte of a process that has died stops no Share:
// the turn is free.
package dirlock

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/sessfs/sessions/internal/dirfs"
)

// mode is the permission bits of the files.
const mode = 0o600

// A Lock is the lock of a directory, safe for concurrent use. Its files are made
// at the first use. Waiting ends with the context. It takes one goroutine for all
// waits of Share, and one for all of Exclude. Such a goroutine outlives the
// contexts until the system grants its lock.
type Lock struct {
	dir        *dirfs.Dir
	name, turn string

	alone chan struct{} // has one element while an attempt goes on

	mu      sync.Mutex
	waiting *wait // nil when no Share waits
}

// New returns the lock of a directory that has files of these names for it.
func New(dir *dirfs.Dir, name, turn string) *Lock {
	return &Lock{dir: dir, name: name, turn: turn, alone: make(chan struct{}, 1)}
}

// A Hold is the lock, shared. It must be released exactly once.
type Hold struct {
	file  dirfs.File
	group *wait // the goroutines that share the file; nil for one alone
}

// Share waits until no Exclude has the lock, or waits for it.
func (l *Lock) Share(ctx context.Context) (Hold, error) {
	if h, ok, err := l.tryShare(); ok || err != nil {
		return h, err
	}
	w := l.wait()
	select {
	case <-w.done:
		return w.hold, w.err
	case <-ctx.Done():
		w.leave()
		return Hold{}, ctx.Err()
	}
}

// tryShare is Share without waiting. It reports false when that is necessary.
func (l *Lock) tryShare() (h Hold, ok bool, err error) {
	for {
		f, err := l.openLock()
		if err != nil {
			return Hold{}, false, err
		}
		ok, err := f.TryLock(true)
		if err = l.dir.Error("flock", err); err != nil || !ok {
			f.Close()
			return Hold{}, false, err
		}
		info, linked, err := l.stat(f, l.name)
		if linked && info.Size == 0 {
			return Hold{file: f}, true, nil
		}
		f.Close()
		if linked || err != nil {
			return Hold{}, false, err
		}
	}
}

// Release releases the lock.
func (h Hold) Release() {
	if h.group == nil {
		h.file.Close()
		return
	}
	h.group.leave()
}

// A wait is a group of goroutines that wait in Share, and then have one Hold.
type wait struct {
	lock *Lock
	done chan struct{} // closed when hold or err is set
	hold Hold
	err  error

	// Guarded by lock.mu.
	users int // goroutines that wait, or have the hold
	over  bool
}

// wait joins the group that waits, or begins one.
func (l *Lock) wait() *wait {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		l.waiting = &wait{lock: l, done: make(chan struct{})}
		go l.waiting.run()
	}
	l.waiting.users++
	return l.waiting
}

// run waits for the lock and grants it to the whole group. If each goroutine tried
// again instead, the next Exclude could come before them.
func (w *wait) run() {
	files, err := w.lock.take(nil)
	w.lock.mu.Lock()
	defer w.lock.mu.Unlock()
	w.lock.waiting = nil
	w.over, w.hold, w.err = true, Hold{files.lock, w}, err
	if err == nil && w.users == 0 {
		files.lock.Close()
	}
	close(w.done)
}

// leave ends one goroutine's wait, or its hold.
func (w *wait) leave() {
	w.lock.mu.Lock()
	defer w.lock.mu.Unlock()
	if w.users--; w.users == 0 && w.over && w.err == nil {
		w.hold.file.Close()
	}
}

// Exclude waits until the lock is free, and takes it for the caller alone until
// release is called.
func (l *Lock) Exclude(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case l.alone <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a := &attempt{lock: l, done: make(chan struct{})}
	go a.run()
	select {
	case <-a.done:
	case <-ctx.Done():
		if a.abandon() {
			return nil, ctx.Err()
		}
	}
	if a.err != nil {
		<-l.alone
		return nil, a.err
	}
	return a.release, nil
}

// An attempt is an Exclude under way.
type attempt struct {
	lock *Lock
	done chan struct{} // closed when it has ended and was not abandoned
	err  error

	mu        sync.Mutex
	files     pair
	hasTurn   bool
	abandoned bool
	ended     bool
}

func (a *attempt) run() {
	files, err := a.lock.take(a)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files, a.err, a.ended = files, err, true
	if !a.abandoned {
		close(a.done)
		return
	}
	if err == nil {
		files.close()
	}
	<-a.lock.alone
}

// release leaves the byte. The next Share takes the turn, which shows that no
// Exclude waits, and removes it.
func (a *attempt) release() {
	a.files.close()
	<-a.lock.alone
}

// errAbandoned ends an attempt whose context has ended.
var errAbandoned = errors.New("abandoned")

// tookTurn notes that the turn file of the pair is locked.
func (a *attempt) tookTurn(files pair) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.abandoned {
		return errAbandoned
	}
	a.files, a.hasTurn = files, true
	return nil
}

// failed notes that the pair is about to be closed.
func (a *attempt) failed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hasTurn = false
}

// abandon ends the attempt, unless it has ended. It frees the turn at once
// rather than with the lock, which a stopped process may share.
func (a *attempt) abandon() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return false
	}
	if a.abandoned = true; a.hasTurn {
		a.files.turn.Unlock()
	}
	return true
}

// take waits for the turn, then for the lock: for an attempt alone, and otherwise
// to share it, for which the turn is not kept.
func (l *Lock) take(a *attempt) (pair, error) {
	for {
		files, err := l.openBoth()
		if err != nil {
			return files, err
		}
		linked, err := l.takeBoth(files, a)
		switch {
		case linked && a == nil:
			files.turn.Close()
			return files, nil
		case linked:
			return files, nil
		case a != nil:
			a.failed()
		}
		files.close()
		if err != nil {
			return files, err
		}
	}
}

// takeBoth reports false without an error when one of the files was removed
// meanwhile.
func (l *Lock) takeBoth(files pair, a *attempt) (linked bool, err error) {
	shared, waiting := a == nil, int64(0)
	if err = files.turn.Lock(shared); err == nil && a != nil {
		waiting = 1
		err = a.tookTurn(files)
	}
	if err == nil {
		// With the turn, even shared, there is no other Exclude that waits.
		err = files.lock.Truncate(waiting)
	}
	if err == nil {
		err = files.lock.Lock(shared)
	}
	if err != nil {
		return false, l.dir.Error("flock", err)
	}
	if _, linked, err = l.stat(files.turn, l.turn); linked {
		_, linked, err = l.stat(files.lock, l.name)
	}
	return linked, err
}

// stat describes an open file, and reports whether it still has its name.
func (l *Lock) stat(f dirfs.File, name string) (info dirfs.Info, linked bool, err error) {
	info, err = f.Stat()
	switch {
	case err != nil:
		return info, false, l.dir.Error("fstat", err)
	case info.Links <= 1:
		return info, info.Links == 1, nil
	}
	linked, err = l.dir.HasName(info, name) // a backup may have made a hard link
	return info, linked, err
}

// A pair is the two files, open.
type pair struct{ turn, lock dirfs.File }

func (p pair) close() {
	p.lock.Close() // first: the next one with the turn finds the lock free
	p.turn.Close()
}

// openLock opens the lock file. It makes both files together, so that an Exclude
// finds them on a disk that is full meanwhile.
func (l *Lock) openLock() (dirfs.File, error) {
	f, err := l.dir.OpenWrite(l.name)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	files, err := l.openBoth()
	if err == nil {
		files.turn.Close()
	}
	return files.lock, err
}

func (l *Lock) openBoth() (p pair, err error) {
	if p.turn, err = l.open(l.turn); err != nil {
		return p, err
	}
	if p.lock, err = l.open(l.name); err != nil {
		p.turn.Close()
	}
	return p, err
}

// open opens a file, and makes it if there is none.
func (l *Lock) open(name string) (dirfs.File, error) {
	for {
		f, err := l.dir.OpenWrite(name)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = l.dir.Create(name, mode)
		}
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}
