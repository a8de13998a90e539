package sessions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/slotfile"
)

// The files of the lock by which the end of several sessions and the making of
// files exclude each other; see package dirlock.
const (
	ownersLockName = ".owners.lock"
	ownersTurnName = ".owners.turn"
)

// DeleteAll ends every stored session; see [Clearer]. No session begins
// meanwhile: a save of one that is new, or gets a new ID or another owner, waits
// until all files were looked at. DeleteAll waits for nobody who saves a session.
func (st *FilesystemSessionStore) DeleteAll(ctx context.Context) (int, error) {
	return st.removeWhere(ctx, func(*dirfs.Dir, string) (bool, error) { return true, nil })
}

// removeWhere ends the sessions of the files that match, and goes on after
// errors. While it runs no file gets the name of a session: one that renews
// itself would otherwise pass from a name that is still to come to one that the
// walk through the directory has left behind.
func (st *FilesystemSessionStore) removeWhere(ctx context.Context, match func(dir *dirfs.Dir, name string) (bool, error)) (n int, err error) {
	dir, release, err := st.files.Exclude(ctx)
	if err != nil {
		return 0, fmt.Errorf("sessions: delete: %w", err)
	}
	defer release()
	var errs []error
	for name, err := range st.namesIn(ctx, dir) {
		gone := false
		if err == nil {
			gone, err = match(dir, name)
		}
		if gone {
			// Without waiting for its lock: who has it may be waiting for release.
			gone, err = st.buried(st.files.RemoveNow(dir, name))
		}
		if gone {
			n++
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sessions: delete: %w", storeError(err)))
		}
	}
	return n, errors.Join(errs...)
}

// ListOwner gives the sessions of an owner. It looks into every file, so that it
// takes as long as a Get of each. With HashNames, the ID of a session is the
// hash that List gives; the session can be deleted and saved all the same.
func (st *FilesystemSessionStore) ListOwner(ctx context.Context, owner string) iter.Seq2[*Session, error] {
	return func(yield func(*Session, error) bool) {
		if owner == "" {
			return // nobody's sessions are nobody's to see
		}
		for name, err := range st.names(ctx) {
			var s *Session
			if err == nil {
				s, err = st.ownedBy(ctx, name, owner)
			}
			if err != nil {
				err = fmt.Errorf("sessions: list: %w", err)
			}
			if (s != nil || err != nil) && !yield(s, err) {
				return
			}
		}
	}
}

// ownedBy loads the session of that file if it is the owner's.
func (st *FilesystemSessionStore) ownedBy(ctx context.Context, name, owner string) (*Session, error) {
	file, err := st.files.Read(ctx, name)
	if h, ok := parseHeader(file.Meta); err == nil && ok && h.owner == ownerHash(owner) {
		var rec Record
		if rec, err = st.record(name, file); err == nil {
			key := st.key(name)
			return st.base.Load(key, key, rec)
		}
	}
	if err = storeError(err); errors.Is(err, ErrNotStored) || errors.Is(err, ErrCorrupt) {
		return nil, nil
	}
	return nil, err
}

// DeleteOwner ends the sessions of an owner, those that have expired among them;
// see [OwnerStore]. Like DeleteAll, it keeps sessions from beginning until it
// has looked into the header of every file, some microseconds for each. A
// session that begins after that stays.
func (st *FilesystemSessionStore) DeleteOwner(ctx context.Context, owner string, keep ...string) (int, error) {
	if owner == "" {
		return 0, nil
	}
	kept := make(map[string]bool)
	for _, id := range keep {
		kept[st.filename(st.base.opts.Key(id))] = true
		kept[st.filename(id)] = true // with HashNames, as ListOwner gives it
	}
	hash := ownerHash(owner)
	var buf []byte
	return st.removeWhere(ctx, func(dir *dirfs.Dir, name string) (bool, error) {
		if kept[name] {
			return false, nil
		}
		h, err := readHeader(dir, name, &buf)
		return h.owner == hash, err
	})
}

// readHeader reads the header of a session's file without its lock. Without a
// file, and of one that is damaged, that is the zero header.
func readHeader(dir *dirfs.Dir, name string, buf *[]byte) (h header, err error) {
	file, err := slotfile.NewSuspect(dir, name)
	if err == nil {
		defer file.Close()
		var meta []byte
		if meta, err = file.Header(buf); err == nil {
			var ok bool
			if h, ok = parseHeader(string(meta)); !ok {
				err = slotfile.ErrCorrupt
			}
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, slotfile.ErrCorrupt) {
		return header{}, nil
	}
	return h, err
}
