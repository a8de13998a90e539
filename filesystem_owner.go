package sessions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/sessfs/sessions/internal/slotfile"
)

// DeleteAll ends every stored session; see [Clearer].
func (st *FilesystemSessionStore) DeleteAll(ctx context.Context) (int, error) {
	return st.removeWhere(ctx, func(string) (bool, error) { return true, nil })
}

// removeWhere ends the sessions of the files that match, and goes on after errors.
func (st *FilesystemSessionStore) removeWhere(ctx context.Context, match func(name string) (bool, error)) (n int, err error) {
	var errs []error
	for name, err := range st.names(ctx) {
		matches := false
		if err == nil {
			matches, err = match(name)
		}
		if matches {
			matches, err = st.remove(ctx, name)
		}
		if matches {
			n++
		}
		if err != nil {
			errs = append(errs, err)
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
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, slotfile.ErrCorrupt) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if h, ok := parseHeader(file.Meta); !ok || h.owner != ownerHash(owner) {
		return nil, nil
	}
	s, err := st.session(st.key(name), name, file)
	if errors.Is(err, ErrCorrupt) || err == nil && st.expired(s, name, file.ModTime) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// DeleteOwner ends the sessions of an owner; see [OwnerStore].
func (st *FilesystemSessionStore) DeleteOwner(ctx context.Context, owner string, keep ...string) (int, error) {
	if owner == "" {
		return 0, nil
	}
	return st.removeWhere(ctx, func(name string) (bool, error) {
		s, err := st.ownedBy(ctx, name, owner)
		kept := slices.ContainsFunc(keep, func(id string) bool {
			return st.filename(id) == name || id == st.key(name) // with HashNames, as ListOwner gives it
		})
		return s != nil && !kept, err
	})
}
