package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/sessfs/sessions/internal/sessionfile"
)

var _ Mover = (*FilesystemSessionStore)(nil)

// ErrHashedNames is the error of an Export from a directory whose files are named by hashes
// of IDs (see [FilesystemOptions].HashNames), in a store that is to have IDs.
var ErrHashedNames = errors.New("sessions: the files are named by hashes of IDs, and the store has no HashNames")

// Key returns the part of a file's name that stands for the session of an ID: the ID
// or, with HashNames, its [PublicID].
func (st *FilesystemSessionStore) Key(id string) string { return st.base.Key(id) }

// Import makes the file of a session that comes from another store; see [Mover].
func (st *FilesystemSessionStore) Import(ctx context.Context, key string, rec Record) error {
	if !st.form.Matches(key) {
		return errors.New("sessions: save: the key has not the form of this store's")
	}
	return st.base.Import(ctx, key, rec)
}

// Export passes on a session, and ends it; see [Mover]. It holds the session's lock
// and those of its owner and of names in the directory, so that other processes, a
// DeleteOwner and a DeleteAll wait for f.
//
// The error is [ErrHashedNames] for a file that is named by the hash of an ID when the
// store has no HashNames: its key would be taken for an ID.
func (st *FilesystemSessionStore) Export(ctx context.Context, key string, f func(rec Record) error) error {
	if !st.form.Matches(key) {
		return ErrNotStored
	}
	t := &transaction{FilesystemSessionStore: st, ctx: ctx, name: st.template.Name(key)}
	if err := t.lock(ctx); err != nil || !t.locked {
		return exportError(cmp.Or(err, ErrNotStored))
	}
	defer t.unlock()
	if err := t.readToExport(); err != nil {
		return exportError(err)
	}
	var own error
	gone, err := st.logLeftover(t.file.RemoveAfter(ctx, func() error {
		own = f(t.record)
		return own
	}))
	switch {
	case own != nil:
		return own
	case errors.Is(err, fs.ErrNotExist): // before f
		return ErrNotStored
	case gone:
		return nil
	}
	return exportError(err)
}

// readToExport reads the locked file, and has the lock take that of the owner.
func (t *transaction) readToExport() error {
	if err := t.file.Err(); err != nil {
		return storeError(err)
	}
	file := t.file.Record()
	h, ok := sessionfile.ParseHeader(file.Meta)
	switch {
	case !ok:
		return corrupt("the header is of no known version")
	case h.Hashed && !t.hashed:
		return ErrHashedNames
	}
	var err error
	if t.record, err = t.decode(&h, t.name, file); err != nil {
		return err
	}
	if t.record.Used = t.file.ModTime(); t.base.Expired(&t.record) {
		return ErrNotStored
	}
	if owner := t.record.Owner; owner != "" {
		n := &naming{FilesystemSessionStore: t.FilesystemSessionStore, ctx: t.ctx, name: t.name, before: t.name, owner: ownerTag{owner, h.Owner}}
		t.file.By = n.run
	}
	return nil
}

func exportError(err error) error {
	if errors.Is(err, ErrNotStored) || errors.Is(err, ErrCorrupt) {
		return err
	}
	return fmt.Errorf("sessions: export: %w", err)
}
