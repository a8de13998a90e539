package sessions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"time"

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
			var rec *Record
			if err == nil {
				rec, err = o.load(ctx, name)
			}
			if err != nil {
				if !yield(SessionInfo{}, fmt.Errorf("sessions: list: %w", err)) {
					return
				}
			} else if rec != nil && !yield(st.base.Info(st.publicID(name), rec), nil) {
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
	match := func(publicID string) bool { return !slices.Contains(keep, publicID) }
	return st.deleteOwned(ctx, owner, match, &endMark{keep})
}

// DeleteOne ends one session of an owner; see [OwnerStore].
func (st *FilesystemSessionStore) DeleteOne(ctx context.Context, owner, publicID string) (bool, error) {
	if owner == "" {
		return false, nil
	}
	n, err := st.deleteOwned(ctx, owner, func(id string) bool { return id == publicID }, nil)
	return n > 0, err
}

// An endMark is left in the index by an end of an owner's sessions.
type endMark struct{ keep []string }

// deleteOwned ends the sessions of an owner whose public IDs match, and leaves a mark,
// if there is one.
func (st *FilesystemSessionStore) deleteOwned(ctx context.Context, owner string, match func(publicID string) bool, mark *endMark) (int, error) {
	if mark != nil {
		if err := st.makeOwnerKey(ctx); err != nil {
			return 0, deleteError(err)
		}
	}
	o, err := st.ownerSearch(ctx, owner)
	if err != nil {
		return 0, deleteError(err)
	}
	started, n := st.base.now(), 0
	matches := func(dir *dirfs.Dir, name sessionfile.Name) (bool, error) {
		if !match(st.publicID(name)) {
			return false, nil
		}
		found, err := o.owns(dir, name)
		return found.is, err
	}
	if o.secret == nil {
		n, err = st.walkAlone(ctx, matches)
	} else {
		n, err = o.deleteListed(ctx, matches, mark)
	}
	for range n {
		st.base.observe(ctx, started, nil, EventEnded, EndedByOwner)
	}
	return n, deleteError(errors.Join(err, o.err()))
}

// publicID returns the public ID of the session of a file.
func (st *FilesystemSessionStore) publicID(name sessionfile.Name) string {
	if st.opts.HashNames {
		return name.Key
	}
	return PublicID(name.Key)
}

// deleteError puts one prefix before all errors of a DeleteAll or DeleteOwner.
func deleteError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sessions: delete: %w", err)
}

// An ownerSearch finds the sessions of an owner.
type ownerSearch struct {
	*FilesystemSessionStore
	owner  string
	secret *ownerKey // nil when the directory has none that can be read
	tag    string    // of the owner, under the secret
	buf    []byte
	missed int  // sessions that may be the owner's
	lost   bool // the last file was gone: its session may have been renewed
}

func (st *FilesystemSessionStore) ownerSearch(ctx context.Context, owner string) (*ownerSearch, error) {
	o := &ownerSearch{FilesystemSessionStore: st, owner: owner}
	var err error
	if o.secret, err = st.ownerKey(ctx, false); o.secret != nil {
		o.tag = o.secret.tag(owner)
	}
	return o, err
}

// tagged reports whether a header is that of a session of the owner, and whether
// its tag tells. It does not when it was made under another key.
func (o *ownerSearch) tagged(h sessionfile.Header) (is, certain bool) {
	return h.Owner != "" && h.Owner == o.tag, h.Owner == "" || o.secret.made(h.Owner)
}

// load returns the record of that file if it is a session of the owner's that has
// not expired.
func (o *ownerSearch) load(ctx context.Context, name sessionfile.Name) (*Record, error) {
	file, err := o.files.Read(ctx, name.File)
	if o.lost = errors.Is(err, fs.ErrNotExist); isMissingOrDamaged(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h, ok := sessionfile.ParseHeader(file.Meta)
	is, certain := o.tagged(h)
	if !ok || certain && !is {
		return nil, nil
	}
	rec, err := o.record(name, file)
	switch {
	case isSealError(err):
		if info, err := o.files.Dir().Lstat(name.File); err == nil {
			o.miss(h, info.ModTime)
		}
		return nil, nil
	case err != nil, rec.Owner != o.owner, o.base.Expired(&rec): // err is ErrCorrupt
		return nil, nil
	}
	return &rec, nil
}

// An ownedFile is the answer of owns.
type ownedFile struct {
	is, ended bool
	created   time.Time
}

// owns reports whether the session of that file is the owner's. It waits for no
// lock.
func (o *ownerSearch) owns(dir *dirfs.Dir, name sessionfile.Name) (found ownedFile, err error) {
	h, info, err := readHeader(dir, name.File, &o.buf)
	if isMissingOrDamaged(err) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	found.created, found.ended = h.Created, o.hasEnded(h, info.ModTime)
	is, certain := o.tagged(h)
	if certain {
		found.is = is
		return found, nil
	}
	file, err := o.files.ReadNow(dir, name.File)
	if isMissingOrDamaged(err) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	rec, err := o.decode(h, name, file)
	if isSealError(err) {
		o.miss(h, info.ModTime)
	}
	found.is = err == nil && rec.Owner == o.owner
	return found, nil
}

func (st *FilesystemSessionStore) hasEnded(h sessionfile.Header, modTime time.Time) bool {
	return st.timeouts.With(h.Own).Ended(time.Now(), h.Created, modTime)
}

// miss counts a session that may be the owner's, unless it has ended.
func (o *ownerSearch) miss(h sessionfile.Header, modTime time.Time) {
	if !o.hasEnded(h, modTime) {
		o.missed++
	}
}

// err counts the sessions that were missed; nil for none.
func (o *ownerSearch) err() error {
	if o.missed == 0 {
		return nil
	}
	return fmt.Errorf("%d sessions that may be the owner's do not open with this store's Sealer", o.missed)
}
