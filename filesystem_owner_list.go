package sessions

import (
	"context"
	"errors"
	"io/fs"
	"iter"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/ownerindex"
	"github.com/sessfs/sessions/internal/sessionfile"
)

// names returns the names of files among which those of the owner's sessions are.
func (o *ownerSearch) names(ctx context.Context) iter.Seq2[sessionfile.Name, error] {
	if o.secret == nil {
		return o.FilesystemSessionStore.names(ctx)
	}
	return func(yield func(sessionfile.Name, error) bool) {
		dir, err := o.files.PresentDir()
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
				name, ok := o.template.ParseForm(file, o.form)
				if !ok || seen[file] {
					continue
				}
				seen[file] = true
				if !yield(name, ctx.Err()) || ctx.Err() != nil {
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

// deleteListed ends the sessions that match, with the owner's lock, and leaves the
// mark. When the index was begun anew meanwhile, in which a session may have been
// entered beside it, it begins again.
func (o *ownerSearch) deleteListed(ctx context.Context, match func(*dirfs.Dir, sessionfile.Name) (bool, error), mark *endMark) (n int, err error) {
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
		m, errs, err := o.deleteLocked(ctx, x, ok, match, mark)
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
func (o *ownerSearch) deleteLocked(ctx context.Context, x *ownerIndex, whole bool, match func(*dirfs.Dir, sessionfile.Name) (bool, error), mark *endMark) (n int, errs, err error) {
	var l ownerindex.Lock
	if err := x.Lock(ctx, o.tag, &l); err != nil {
		return 0, nil, err
	}
	defer l.Unlock()
	if mark != nil {
		l.AddEnd(mark.keep)
	}
	names := o.namesIn(ctx, x.dir)
	if whole {
		names = o.parsed(ctx, l.Files)
	}
	gone := make(map[string]bool)
	for name, err := range names {
		is := false
		if err == nil {
			is, err = match(x.dir, name)
		}
		if is {
			// Without waiting for its lock, whose holder may be waiting for the owner's.
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
			name, ok := st.template.ParseForm(file, st.form)
			if err := ctx.Err(); ok && (!yield(name, err) || err != nil) {
				return
			}
		}
	}
}

// makeOwnerKey makes the directory's secret where there is none, and leaves one that
// cannot be read alone.
func (st *FilesystemSessionStore) makeOwnerKey(ctx context.Context) error {
	dir, err := st.files.PresentDir()
	if err != nil {
		return err
	}
	if _, err = dir.Lstat(sessionfile.OwnersKey); errors.Is(err, fs.ErrNotExist) {
		_, err = st.ownerKey(ctx, true)
	}
	return err
}
