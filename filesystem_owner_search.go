package sessions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/ownerindex"
	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
)

// An ownerSearch finds the sessions of an owner.
type ownerSearch struct {
	*FilesystemSessionStore
	owner  string
	secret *ownerKey                  // nil when the directory has none that can be read
	tag    string                     // of the owner, under the secret
	match  func(publicID string) bool // nil for all sessions
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

// names returns the names of files among which those of the owner's sessions are.
func (o *ownerSearch) names(ctx context.Context) iter.Seq2[sessionfile.Name, error] {
	if o.secret == nil {
		return o.FilesystemSessionStore.names(ctx)
	}
	return func(yield func(sessionfile.Name, error) bool) {
		dir, err := o.files.PresentDir()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(sessionfile.Name{}, err)
			return
		}
		x := o.index(dir)
		seen := make(map[string]bool)
		for again := true; again; {
			files, ok, err := o.listed(ctx, x)
			if err != nil {
				yield(sessionfile.Name{}, err)
				return
			}
			if !ok {
				o.FilesystemSessionStore.names(ctx)(yield)
				return
			}
			again = false
			for _, file := range files {
				name, ok := o.parse(file)
				if !ok || seen[file] {
					continue
				}
				seen[file] = true
				err := ctx.Err()
				if !yield(name, err) || err != nil {
					return
				}
				again = again || o.lost
			}
		}
	}
}

// listed returns the owner's files by the index. It reports false when that cannot be
// made whole.
func (o *ownerSearch) listed(ctx context.Context, x *ownerIndex) (files []string, ok bool, err error) {
	for {
		since, ok, err := o.whole(ctx, x)
		if err != nil || !ok {
			return nil, false, err
		}
		e, err := x.Read(ctx, o.tag)
		if err != nil {
			return nil, false, err
		}
		if is, err := x.StillIs(ctx, since); is || err != nil {
			return e.Files, true, err
		}
	}
}

// whole is complete for the owner's tag, which it makes under the secret that the index
// has.
func (o *ownerSearch) whole(ctx context.Context, x *ownerIndex) (since ownerindex.State, ok bool, err error) {
	since, ok, err = x.Current(ctx)
	if err == nil && (!ok || since.Key != o.secret.id) {
		if o.secret, err = o.indexKey(ctx, x); err == nil {
			o.tag = o.secret.tag(o.owner)
		}
	}
	if err != nil {
		return since, false, err
	}
	return o.complete(ctx, x, o.secret)
}

// load describes the session of that file if it is one of the owner's that has not
// expired.
func (o *ownerSearch) load(ctx context.Context, name sessionfile.Name) (*SessionInfo, error) {
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
	info := o.base.Info(publicID(name, h.Hashed), &rec)
	return &info, nil
}

// An ownedFile is the answer of owns.
type ownedFile struct {
	is, ended bool
	created   time.Time
}

// owns reports whether the session of that file is the owner's and matches. It waits
// for no lock.
func (o *ownerSearch) owns(dir *dirfs.Dir, name sessionfile.Name) (found ownedFile, err error) {
	h, info, err := readHeader(dir, name.File, &o.buf)
	if isMissingOrDamaged(err) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	if o.match != nil && !o.match(publicID(name, h.Hashed)) {
		return found, nil
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
	rec, err := o.decode(&h, name, file)
	if isSealError(err) {
		o.miss(h, info.ModTime)
	}
	found.is = err == nil && rec.Owner == o.owner
	return found, nil
}

// tagged reports whether a header is that of a session of the owner, and whether
// its tag tells. It does not when it was made under another key.
func (o *ownerSearch) tagged(h sessionfile.Header) (is, certain bool) {
	return h.Owner != "" && h.Owner == o.tag, h.Owner == "" || o.secret.made(h.Owner)
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
	return fmt.Errorf("sessions that may be the owner's do not open with this store's Sealer: %d", o.missed)
}

// matches reports whether the session of that file is the owner's and matches.
func (o *ownerSearch) matches(dir *dirfs.Dir, name sessionfile.Name) (bool, error) {
	found, err := o.owns(dir, name)
	return found.is, err
}

// deleteOne ends the session of that file, under its lock, if it is the owner's and
// matches.
func (o *ownerSearch) deleteOne(ctx context.Context, name sessionfile.Name) (bool, error) {
	var file slotfile.Lock
	err := o.files.Lock(ctx, name.File, &file)
	if isMissingOrDamaged(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Unlock()
	if file.Err() != nil {
		return false, nil // damaged, or ended
	}
	stored := slotfile.Record{Meta: string(file.Meta()), Payload: string(file.Payload())}
	h, ok := sessionfile.ParseHeader(stored.Meta)
	is, certain := o.tagged(h)
	if ok && !certain {
		rec, err := o.decode(&h, name, stored)
		if isSealError(err) {
			o.miss(h, file.ModTime())
		}
		is = err == nil && rec.Owner == o.owner
	}
	if !ok || !is || !o.match(publicID(name, h.Hashed)) {
		return false, nil
	}
	return o.logLeftover(file.Remove())
}

// deleteListed ends the sessions but for those to keep, with the owner's lock, and leaves the
// mark. When the index was begun anew meanwhile, in which a session may have been
// entered beside it, it begins again.
func (o *ownerSearch) deleteListed(ctx context.Context, keep []string) (n int, err error) {
	dir, err := o.files.PresentDir()
	if err != nil {
		return 0, err
	}
	x := o.index(dir)
	for {
		since, ok, err := o.whole(ctx, x)
		if err != nil {
			return n, err
		}
		m, errs, err := o.deleteLocked(ctx, x, ok, keep)
		n += m
		if err != nil {
			return n, errors.Join(errs, err)
		}
		if is, err := x.StillIs(ctx, since); is || err != nil {
			return n, errors.Join(errs, err)
		}
	}
}

// deleteLocked is deleteListed for one trial, by the index or, where that is not whole,
// by a walk through the directory. The first error is that of sessions which stay.
func (o *ownerSearch) deleteLocked(ctx context.Context, x *ownerIndex, whole bool, keep []string) (n int, errs, err error) {
	var l ownerindex.Lock
	if err := x.Lock(ctx, o.tag, &l); err != nil {
		return 0, nil, err
	}
	defer l.Unlock()
	l.AddEnd(keep)
	names := o.namesIn(ctx, x.dir)
	if whole {
		names = o.parsed(ctx, l.Files)
	}
	gone := make(map[string]bool)
	for name, err := range names {
		is := false
		if err == nil {
			is, err = o.matches(x.dir, name)
		}
		if is {
			// Without waiting for its lock, whose holder may be waiting for the
			// owner's.
			gone[name.File], err = o.logLeftover(o.files.RemoveNow(x.dir, name.File))
		}
		if gone[name.File] {
			n++
		}
		if err != nil {
			errs = errors.Join(errs, storeError(err))
		}
	}
	left := l.Files
	l.Files = nil
	for _, file := range left {
		if !gone[file] {
			l.Files = append(l.Files, file)
		}
	}
	_, err = l.Write(ctx)
	return n, errs, err
}

// parsed returns those of some files that can be sessions of the store.
func (st *FilesystemSessionStore) parsed(ctx context.Context, files []string) iter.Seq2[sessionfile.Name, error] {
	return func(yield func(sessionfile.Name, error) bool) {
		for _, file := range files {
			name, ok := st.parse(file)
			if err := ctx.Err(); ok && (!yield(name, err) || err != nil) {
				return
			}
		}
	}
}
