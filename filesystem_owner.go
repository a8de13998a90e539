package sessions

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
)

// DeleteAll ends every stored session; see [Clearer]. No session begins
// meanwhile: a save of one that is new, or gets a new ID or another owner, waits
// until all files were looked at. DeleteAll does not wait for saves and updates
// that are under way.
func (st *FilesystemSessionStore) DeleteAll(ctx context.Context) (int, error) {
	started := st.base.now()
	n, err := st.walkAlone(ctx, func(*dirfs.Dir, sessionfile.Name) (bool, error) { return true, nil })
	for range n {
		st.base.observe(ctx, started, nil, EventEnded, EndedByOwner)
	}
	return n, deleteError(err)
}

// walkAlone ends the sessions of the files that match, and goes on after errors. While
// it runs no file gets the name of a session: one that renews itself would otherwise
// pass from a name that is still to come to one that the walk through the directory
// has left behind.
func (st *FilesystemSessionStore) walkAlone(ctx context.Context, match func(dir *dirfs.Dir, name sessionfile.Name) (bool, error)) (n int, err error) {
	dir, release, err := st.files.Exclude(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	var errs []error
	for name, err := range st.namesIn(ctx, dir) {
		gone := false
		if err == nil {
			gone, err = match(dir, name)
		}
		if gone {
			// Without waiting for its lock, whose holder may be waiting for release.
			gone, err = st.logLeftover(st.files.RemoveNow(dir, name.File))
		}
		if gone {
			n++
		}
		if err != nil {
			errs = append(errs, storeError(err))
		}
	}
	return n, errors.Join(errs...)
}

// ListOwner returns the sessions of an owner; see [OwnerStore]. It reads the files that
// the index names. The first one after the index was lost makes it anew from the files
// of all sessions, some microseconds for each.
//
// The last error counts the sessions that the Sealer does not open and that may
// be the owner's.
func (st *FilesystemSessionStore) ListOwner(ctx context.Context, owner string) iter.Seq2[SessionInfo, error] {
	return func(yield func(SessionInfo, error) bool) {
		if owner == "" {
			return // sessions without an owner are not those of the owner ""
		}
		o, err := st.ownerSearch(ctx, owner)
		if err != nil {
			yield(SessionInfo{}, fmt.Errorf("sessions: list: %w", err))
			return
		}
		for name, err := range o.names(ctx) {
			var info *SessionInfo
			if err == nil {
				info, err = o.load(ctx, name)
			}
			if err != nil {
				if !yield(SessionInfo{}, fmt.Errorf("sessions: list: %w", err)) {
					return
				}
			} else if info != nil && !yield(*info, nil) {
				return
			}
		}
		if err := o.err(); err != nil {
			yield(SessionInfo{}, fmt.Errorf("sessions: list: %w", err))
		}
	}
}

// DeleteOwner ends the sessions of an owner, those that have expired among them;
// see [OwnerStore]. It leaves a mark in the index: a login that began before, by the
// time of [Session.Login] or [Session.SetOwner], is [ErrDeleted] when it is saved
// afterwards, unless the public ID of its session, as it was then, is one to keep.
// DeleteOwner waits for no save and no update.
//
// It ends sessions that the Sealer does not open as well, unless the secret in the
// file .owners.key was lost: then only the seal tells whose they are. The error
// counts those that may be the owner's and stay.
func (st *FilesystemSessionStore) DeleteOwner(ctx context.Context, owner string, keep ...string) (int, error) {
	if owner == "" {
		return 0, nil
	}
	if err := st.makeOwnerKey(ctx); err != nil {
		return 0, deleteError(err)
	}
	o, err := st.ownerSearch(ctx, owner)
	if err != nil {
		return 0, deleteError(err)
	}
	o.match = func(publicID string) bool { return !slices.Contains(keep, publicID) }
	started, n := st.base.now(), 0
	if o.secret == nil {
		n, err = st.walkAlone(ctx, o.matches)
	} else {
		n, err = o.deleteListed(ctx, keep)
	}
	for range n {
		st.base.observe(ctx, started, nil, EventEnded, EndedByOwner)
	}
	return n, deleteError(errors.Join(err, o.err()))
}

// DeleteOne ends one session of an owner; see [OwnerStore]. It waits for a save or an
// update of the session that is under way, but no longer than ctx. When that renews the
// session, DeleteOne reports false.
func (st *FilesystemSessionStore) DeleteOne(ctx context.Context, owner, publicID string) (bool, error) {
	if owner == "" {
		return false, nil
	}
	o, err := st.ownerSearch(ctx, owner)
	if err != nil {
		return false, deleteError(err)
	}
	o.match = func(id string) bool { return id == publicID }
	for name, err := range o.names(ctx) {
		if err != nil {
			return false, deleteError(err)
		}
		if !o.match(name.Key) && !o.match(PublicID(name.Key)) {
			continue
		}
		started := st.base.now()
		ended, err := o.deleteOne(ctx, name)
		if ended {
			st.base.observe(ctx, started, nil, EventEnded, EndedByOwner)
		}
		return ended, deleteError(errors.Join(err, o.err()))
	}
	return false, nil
}

// deleteError puts one prefix before all errors of a DeleteAll or DeleteOwner.
func deleteError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sessions: delete: %w", err)
}
