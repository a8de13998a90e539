package sessions

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
)

// FilesystemOwnersOptions are the options of [OpenFilesystemOwners].
type FilesystemOwnersOptions struct {
	_ struct{} // no literal without names

	// Path is the directory, which must exist and fulfil the conditions of
	// [FilesystemOptions].Path.
	Path string

	// FilenameTemplate is that of the stores. The default is "session_%s.sess".
	FilenameTemplate string

	// Sealer is that of the stores, nil for none.
	Sealer Sealer
}

// FilesystemOwners lists and ends the sessions of owners in a directory, for a
// command that does not know all options of the directory's stores: IDs of each form
// are found, hashed or not. It uses the stores' index and locks, and may run beside
// them. It is an [OwnerStore].
//
// The timeouts of a session are those of its file, the longest of all stores that
// wrote it. A store of shorter ones may have ended a session that is listed. The ends
// survive a power cut.
type FilesystemOwners struct{ st *FilesystemSessionStore }

var _ OwnerStore = (*FilesystemOwners)(nil)

// ErrOwnersSealed is the error of [OpenFilesystemOwners] for a directory whose owners
// are sealed under a key that the Sealer does not have.
var ErrOwnersSealed = errors.New("sessions: the names of the owners do not open with this Sealer")

// OpenFilesystemOwners opens a directory of sessions. The error lists all that is wrong
// with the options or the directory, or is [ErrOwnersSealed].
func OpenFilesystemOwners(o FilesystemOwnersOptions) (*FilesystemOwners, error) {
	st, err := openAnyStore(o)
	if err == nil {
		if err = st.checkOwnerKey(); err != nil {
			err = errors.Join(err, st.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sessions: cannot open the owners: %w", err)
	}
	return &FilesystemOwners{st}, nil
}

func openAnyStore(o FilesystemOwnersOptions) (*FilesystemSessionStore, error) {
	if o.Path == "" {
		return nil, errors.New("no Path")
	}
	opts, err := FilesystemOptions{
		Path: o.Path, FilenameTemplate: o.FilenameTemplate, Sealer: o.Sealer, Sync: SyncFull, MaxSize: maxMaxSize,
		IdleTimeout: Never, Lifetime: Never, // the files' own count
		Logger: slog.New(slog.DiscardHandler), // all is in the errors
	}.withDefaults()
	if err != nil {
		return nil, err
	}
	dir, err := dirfs.Open(opts.Path)
	if dir, _, err = checkedDir(opts.Path, dir, err); err != nil {
		return nil, err
	}
	st, err := newFilesystemStore(opts, dir)
	if err == nil {
		st.anyStore, st.files.Times = true, true
	}
	return st, err
}

// checkOwnerKey refuses a secret that is whole, sealed, and does not open: this is not
// the stores' Sealer. One in clear that has to be sealed counts as lost, as for a store.
func (st *FilesystemSessionStore) checkOwnerKey() error {
	rec, err := st.files.Read(context.Background(), sessionfile.OwnersKey)
	switch {
	case isMissingOrDamaged(err):
		return nil // the payloads tell
	case err != nil:
		return err
	}
	for _, format := range []*fileFormat{&st.fileFormat, {}} {
		file := ownerKeyFile{format: format}
		if key, _ := file.open(rec.Payload); key != nil {
			return nil
		}
	}
	return ErrOwnersSealed
}

// ListOwner returns the sessions of an owner; see [OwnerStore] and
// [FilesystemSessionStore.ListOwner].
func (f *FilesystemOwners) ListOwner(ctx context.Context, owner string) iter.Seq2[SessionInfo, error] {
	return f.st.ListOwner(ctx, owner)
}

// DeleteOwner ends the sessions of an owner; see [OwnerStore] and
// [FilesystemSessionStore.DeleteOwner].
func (f *FilesystemOwners) DeleteOwner(ctx context.Context, owner string, keep ...string) (int, error) {
	return f.st.DeleteOwner(ctx, owner, keep...)
}

// DeleteOne ends one session of an owner; see [OwnerStore].
func (f *FilesystemOwners) DeleteOne(ctx context.Context, owner, publicID string) (bool, error) {
	return f.st.DeleteOne(ctx, owner, publicID)
}

// Close releases the directory. Every later call is an error.
func (f *FilesystemOwners) Close() error { return f.st.Close() }
