package ownerindex

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/sessfs/sessions/internal/slotfile"
)

const (
	stateName = "state"
	stateMeta = "owners index 1" // the text of the file's header
)

// A State describes the directory .owners. It stands in the index's file of that name.
//
// It holds as long as the directory is the one that it was written for, and has that
// time of modification and of change. A change through this package restores the first
// and writes down the second. After a removal by other means, in a copy, and in a
// backup that is restored the times are others, and the index is begun anew.
type State struct {
	Key      string // names the secret under which owners have their tags
	Complete bool   // every session of an owner is in the index

	token   int64  // the modification time, in seconds: a random one, long past
	changed int64  // the time of change, in nanoseconds
	inode   uint64 // of the directory
	boot    string // since which the system runs: a power cut may have lost entries
}

func (s State) String() string {
	return fmt.Sprintf("key=%s complete=%t token=%d changed=%d inode=%d boot=%s\n", s.Key, s.Complete, s.token, s.changed, s.inode, s.boot)
}

func parseState(text string) (s State, ok bool) {
	n, _ := fmt.Sscanf(text, "key=%s complete=%t token=%d changed=%d inode=%d boot=%s\n", &s.Key, &s.Complete, &s.token, &s.changed, &s.inode, &s.boot)
	return s, n == 6
}

// holds reports whether a State that was read is that of the directory as it is.
func (s State) holds(now State) bool {
	return s.token == now.token && s.changed == now.changed && s.inode == now.inode && s.boot == now.boot
}

// Is reports whether the index was not begun anew between two States.
func (s State) Is(other State) bool {
	return s.token == other.token && s.inode == other.inode && s.Key == other.Key && s.boot == other.boot
}

// newToken returns an even second of the years 1981 to 2000, which every file system
// keeps exactly.
func newToken() int64 {
	const year = 365 * 24 * 3600
	return (11*year + rand.Int64N(20*year)) &^ 1
}

// look returns the directory as it is.
func (x *Index) look() (s State, err error) {
	info, err := x.dir.Lstat(dirName)
	if err != nil {
		return s, err
	}
	if !info.Mode.IsDir() {
		return s, errors.New(dirName + " is not a directory")
	}
	s = State{token: info.ModTime.Unix(), inode: info.Inode, boot: bootID()}
	if info.ModTime.Nanosecond() != 0 {
		s.token = 0 // none of ours
	}
	if !info.Changed.IsZero() {
		s.changed = info.Changed.UnixNano()
	}
	return s, nil
}

// Current returns the State that holds, if there is one.
func (x *Index) Current(ctx context.Context) (s State, ok bool, err error) {
	now, err := x.look()
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	if known := x.known.Load(); known != nil && known.holds(now) {
		return *known, true, nil
	}
	rec, err := x.unsynced.Read(ctx, path(stateName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, slotfile.ErrCorrupt) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	s, ok = parseState(rec.Payload)
	if ok = ok && rec.Meta == stateMeta && s.holds(now); ok {
		x.known.Store(&s)
	}
	return s, ok, nil
}

// Begin returns the State that holds for a key. Without one it begins the index anew,
// not complete, and reports that.
func (x *Index) Begin(ctx context.Context, key string) (s State, begun bool, err error) {
	s, ok, err := x.Current(ctx)
	if err != nil || ok && s.Key == key {
		return s, false, err
	}
	err = x.withState(ctx, func(l *slotfile.Lock, was State, holds bool) (err error) {
		if s = was; !holds || s.Key != key {
			s, begun = State{Key: key}, true
			s, err = x.renew(ctx, l, s)
		}
		return err
	})
	return s, begun, err
}

// SetComplete notes that every session of an owner is in the index, unless that was
// begun anew since it had the State.
func (x *Index) SetComplete(ctx context.Context, since State) (done bool, err error) {
	err = x.withState(ctx, func(l *slotfile.Lock, was State, holds bool) error {
		if done = holds && was.Is(since); !done {
			return nil
		}
		was.Complete = true
		return x.write(ctx, l, was)
	})
	return done, err
}

// StillIs reports whether the index was not begun anew since it had the State. While
// others add files it waits for them.
func (x *Index) StillIs(ctx context.Context, since State) (is bool, err error) {
	if now, ok, err := x.Current(ctx); ok || err != nil {
		return now.Is(since), err
	}
	err = x.withState(ctx, func(_ *slotfile.Lock, was State, holds bool) error {
		is = holds && was.Is(since)
		return nil
	})
	return is, err
}

// change adds or removes a file of the directory. A State that held before holds
// afterwards.
func (x *Index) change(ctx context.Context, add func() error) error {
	return x.withState(ctx, func(l *slotfile.Lock, was State, holds bool) error {
		err := add()
		if err == nil && x.files.Sync {
			err = x.sync()
		}
		if holds {
			_, sealErr := x.seal(ctx, l, was)
			err = errors.Join(err, sealErr)
		}
		return err
	})
}

// invalidate removes a damaged file, and begins the index anew.
func (x *Index) invalidate(ctx context.Context, remove func() error) error {
	return x.withState(ctx, func(l *slotfile.Lock, was State, _ bool) error {
		err := remove()
		_, sealErr := x.renew(ctx, l, State{Key: was.Key})
		return errors.Join(err, sealErr)
	})
}

// sync waits until the directory's names are on the disk.
func (x *Index) sync() error {
	dir, err := x.dir.OpenDir(dirName)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// renew is seal for an index that begins.
func (x *Index) renew(ctx context.Context, l *slotfile.Lock, s State) (State, error) {
	s.token = newToken()
	return x.seal(ctx, l, s)
}

// seal makes a State hold, and writes it down.
func (x *Index) seal(ctx context.Context, l *slotfile.Lock, s State) (State, error) {
	if err := x.dir.SetModTime(dirName, time.Unix(s.token, 0)); err != nil {
		return s, err
	}
	now, err := x.look()
	if err != nil {
		return s, err
	}
	s.changed, s.inode, s.boot = now.changed, now.inode, now.boot
	return s, x.write(ctx, l, s)
}

func (x *Index) write(ctx context.Context, l *slotfile.Lock, s State) error {
	err := l.Write(ctx, []byte(stateMeta), s.String(), false)
	if err == nil {
		x.known.Store(&s)
	}
	return err
}

// withState calls f with the lock of the state file, which is made where there is
// none, and tells the State and whether it holds. All who change the directory wait
// for that lock, and have no other one to wait for. f writes once at most.
func (x *Index) withState(ctx context.Context, f func(l *slotfile.Lock, was State, holds bool) error) error {
	for range tries {
		var l slotfile.Lock
		err := x.lock(ctx, &x.unsynced, stateName, &l)
		if errors.Is(err, fs.ErrNotExist) {
			if err = x.makeState(ctx); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		if l.Err() == nil && string(l.Meta()) == stateMeta {
			defer l.Unlock()
			was, ok := parseState(string(l.Payload()))
			now, err := x.look()
			if errors.Is(err, fs.ErrNotExist) {
				err = errRemoved
			}
			if err != nil {
				return err
			}
			return f(&l, was, ok && was.holds(now))
		}
		_, err = l.Remove() // damaged, or of another version
		l.Unlock()
		if err != nil {
			return err
		}
	}
	return errRemoved
}

// makeState makes the directory and the state file, which holds for nothing.
func (x *Index) makeState(ctx context.Context) error {
	err := x.dir.Mkdir(dirName)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	err = x.unsynced.Create(ctx, path(stateName), []byte(stateMeta), "", false)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		// The directory of the sessions was removed, or .owners again.
		if removed, statErr := x.dir.Removed(); removed || statErr != nil {
			return errors.Join(err, statErr)
		}
		return nil
	}
	return err
}
