package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
	"github.com/sessfs/sessions/prune"
)

// A FilesystemSessionStore keeps each session in a file of one directory. Any
// number of stores, in any number of processes of one machine, may share a
// directory. It is a [SessionStore], [Updater], [Toucher], [Clearer] and
// [OwnerStore].
//
// The files of sessions in use stay open, up to 2048 of them. All stores of a process
// keep a quarter of the descriptors that it may have (RLIMIT_NOFILE) at most, and a
// store closes its own when none is left. Such a file, removed by a pruner or another
// process, takes up its 4096 bytes of the disk until about a hundred other sessions have
// come into use. While it is open, its file system cannot be remounted read-only.
// Windows keeps none open.
type FilesystemSessionStore struct {
	fileFormat
	base     *Base
	opts     FilesystemOptions
	files    slotfile.Files
	template sessionfile.Template
	form     sessionfile.Form // of the part of a file's name that stands for the session

	owners  atomic.Pointer[ownerKey] // nil until it is needed
	indexed atomic.Pointer[ownerIndex]

	damagedMu sync.Mutex
	damaged   map[string]bool // files, and other causes, that were logged
}

var (
	_ SessionStore = (*FilesystemSessionStore)(nil)
	_ Updater      = (*FilesystemSessionStore)(nil)
	_ Toucher      = (*FilesystemSessionStore)(nil)
	_ Clearer      = (*FilesystemSessionStore)(nil)
	_ OwnerStore   = (*FilesystemSessionStore)(nil)
)

// NewFilesystemSessionStore opens the directory, and makes it if there is
// none. The error lists all that is wrong with the options and the directory.
func NewFilesystemSessionStore(o FilesystemOptions) (*FilesystemSessionStore, error) {
	o, err := o.withDefaults()
	var dir *dirfs.Dir
	var info dirfs.Info
	if err == nil {
		dir, info, err = openDir(o.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("sessions: cannot keep sessions in files: %w", err)
	}
	warnOfDir(o.Logger, dir, info, o.HashNames)
	st, err := newFilesystemStore(o, dir)
	if err == nil && o.Path != "." {
		st.files.Reopen, st.files.Reopened = st.reopenDir, st.reopened
	}
	return st, err
}

// newFilesystemStore makes the store of an opened directory, of options withDefaults.
// After an error the directory is closed.
func newFilesystemStore(o FilesystemOptions, dir *dirfs.Dir) (*FilesystemSessionStore, error) {
	template, _ := o.template() // withDefaults has checked it
	st := &FilesystemSessionStore{
		opts: o,
		files: slotfile.Files{
			Opened:     dir,
			Mode:       o.Mode,
			Sync:       o.Sync == SyncFull,
			MaxPayload: max(o.MaxSize, minReadSize),
			TempSuffix: sessionfile.TempSuffix,
			Kept:       new(slotfile.Kept),
			Naming:     slotfile.Naming{Lock: sessionfile.OwnersLock, Turn: sessionfile.OwnersTurn},
		},
		template: template,
		form:     o.IDs.form,
		damaged:  make(map[string]bool),
	}
	key := func(id string) string { return id }
	if o.HashNames {
		key, st.form = PublicID, sessionfile.Hash
	}
	var err error
	st.base, err = NewBase(fileBackend{st}, BaseOptions{
		IDs: o.IDs, Codec: o.Codec, IdleTimeout: o.IdleTimeout, Lifetime: o.Lifetime, KeepMissingID: o.KeepMissingID,
		Key:     key,
		Intact:  true, // a checksum, and the seal, vouch for the values
		Damaged: st.logUnreadable,
		Observe: o.Observe,
	})
	if err != nil {
		return nil, errors.Join(err, st.files.Close())
	}
	st.fileFormat = fileFormat{timeouts: st.base.timeouts, sealer: o.Sealer, maxSize: o.MaxSize, hashed: o.HashNames}
	st.files.Times = st.timeouts.Idle > 0
	dir.Relieve = st.files.Relieve
	return st, nil
}

// reopenDir is openDir for a directory that was removed under the store. Its
// error is never fs.ErrNotExist, which would be taken for a missing session.
func (st *FilesystemSessionStore) reopenDir() (*dirfs.Dir, error) {
	dir, _, err := openDir(st.opts.Path)
	switch {
	case err == nil:
		dir.Relieve = st.files.Relieve
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("the directory was removed, and cannot be made again: %v", err)
	case err != nil:
		err = fmt.Errorf("the directory was removed, and what its path leads to now is refused: %w", err)
	}
	return dir, err
}

// reopened logs that the directory was removed under the store.
func (st *FilesystemSessionStore) reopened(dir *dirfs.Dir) {
	st.owners.Store(nil)
	st.opts.Logger.Warn("sessions: the session directory was removed with all sessions; the store goes on with a new one")
	if info, err := dir.Stat(); err == nil {
		warnOfDir(st.opts.Logger, dir, info, st.opts.HashNames)
	}
}

// Close releases the directory and the files in it. Every later call of the store is
// an error, and so is a second Close.
func (st *FilesystemSessionStore) Close() error { return st.files.Close() }

// IsValidKey reports whether key has the form of this store's IDs; see [IDs].
func (st *FilesystemSessionStore) IsValidKey(key string) bool { return st.base.IsValidKey(key) }

// GenerateKey makes a new ID; see [IDs].
func (st *FilesystemSessionStore) GenerateKey() string { return st.base.GenerateKey() }

// New makes an empty session of a new ID. No file is made before it is saved.
func (st *FilesystemSessionStore) New() *Session { return st.base.New() }

// Get loads a session, without waiting for a save of it that is under way. See
// [SessionStore] for an ID that is not stored.
func (st *FilesystemSessionStore) Get(ctx context.Context, id string) (*Session, error) {
	return st.base.Get(ctx, id)
}

// Save stores the session. It waits for other saves of the same session, but no
// longer than ctx; see [SessionStore] for the rest.
func (st *FilesystemSessionStore) Save(ctx context.Context, s *Session) error {
	return st.base.Save(ctx, s)
}

// SaveIfModified is Save when [Session.ShouldSave].
func (st *FilesystemSessionStore) SaveIfModified(ctx context.Context, s *Session) error {
	return st.base.SaveIfModified(ctx, s)
}

// Update reads, changes and saves the session under its lock; see [Updater].
// update is called once. A new session has no lock: when one of its ID was
// stored while update ran, the error is [ErrExists].
func (st *FilesystemSessionStore) Update(ctx context.Context, s *Session, update func(*Session) error) error {
	return st.base.Update(ctx, s, update)
}

// Delete ends the session at once; see [SessionStore]. It waits for saves of the
// session, but no longer than ctx.
func (st *FilesystemSessionStore) Delete(ctx context.Context, s *Session) error {
	return st.base.Delete(ctx, s)
}

// A fileBackend keeps the records of a FilesystemSessionStore.
type fileBackend struct{ *FilesystemSessionStore }

// Load reads the record of a key, which is the part of its file's name that
// stands for the session.
func (st fileBackend) Load(ctx context.Context, key string) (Record, error) {
	name := st.template.Name(key)
	file, err := st.files.Read(ctx, name.File)
	if err != nil {
		return Record{}, storeError(err)
	}
	if file.Derived == nil || st.sealer != nil { // a seal is opened for each load
		return st.record(name, file)
	}
	if rec, ok := file.Derived.Load().(*Record); ok {
		rec := *rec
		rec.Used = file.ModTime
		return rec, nil
	}
	rec, err := st.record(name, file)
	if err == nil {
		rec.parsed = &parsedData{data: rec.Data}
		kept := rec
		file.Derived.Store(&kept)
	}
	return rec, err
}

// record returns the record of a file.
func (st *FilesystemSessionStore) record(name sessionfile.Name, file slotfile.Record) (Record, error) {
	h, ok := st.headers.Parse(file.Meta)
	if !ok {
		return Record{}, corrupt("the header is of no known version")
	}
	rec, err := st.decode(&h, name, file)
	rec.Used = file.ModTime
	if rec.IdleTimeout > 0 && file.ModTime.IsZero() {
		// In a store without an idle timeout, for sessions alone that have one.
		if info, err := st.files.Dir().Lstat(name.File); err == nil {
			rec.Used = info.ModTime
		} else {
			rec.Used = time.Now() // removed meanwhile: it was there when it was read
		}
	}
	return rec, err
}

// storeError translates the errors of package slotfile.
func storeError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotStored
	case errors.Is(err, slotfile.ErrCorrupt):
		return ErrCorrupt
	}
	return err
}

// List returns the IDs of the stored sessions, or the hashes of IDs with
// HashNames, in no particular order, without those that have expired. It asks the
// system for the time of each file, opens those of sessions that have a timeout
// of their own (see [Session.SetIdleTimeout]), and, in a store with a Lifetime, all.
func (st *FilesystemSessionStore) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var buf []byte
		for name, err := range st.names(ctx) {
			current := false
			if err == nil {
				current, err = st.isCurrent(name.File, &buf)
				if isMissingOrDamaged(err) || err == nil && !current {
					continue
				}
			}
			if err != nil {
				name.Key, err = "", fmt.Errorf("sessions: list: %w", err)
			}
			if !yield(name.Key, err) {
				return
			}
		}
	}
}

// isCurrent reports whether the session of a file has not expired, with a look
// into the file only where its time and size do not tell.
func (st *FilesystemSessionStore) isCurrent(name string, buf *[]byte) (bool, error) {
	dir := st.files.Dir()
	info, err := dir.Lstat(name)
	if err != nil {
		return false, err
	}
	if st.timeouts.Lifetime == 0 && slotfile.SizeOf(info.Size) != slotfile.MarkedSize {
		return !st.timeouts.Ended(time.Now(), time.Time{}, info.ModTime), nil
	}
	h, info, err := readHeader(dir, name, buf)
	return err == nil && !st.timeouts.With(h.Own).Ended(time.Now(), h.Created, info.ModTime), err
}

// names returns the names of the files that can be sessions.
func (st *FilesystemSessionStore) names(ctx context.Context) iter.Seq2[sessionfile.Name, error] {
	return func(yield func(sessionfile.Name, error) bool) {
		dir, err := st.files.PresentDir()
		if err != nil {
			yield(sessionfile.Name{}, err)
			return
		}
		st.namesIn(ctx, dir)(yield)
	}
}

func (st *FilesystemSessionStore) namesIn(ctx context.Context, dir *dirfs.Dir) iter.Seq2[sessionfile.Name, error] {
	return func(yield func(sessionfile.Name, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(sessionfile.Name{}, err)
			return
		}
		for entry, err := range dir.Entries() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(sessionfile.Name{}, err)
				return
			}
			if name, ok := st.parse(entry.Name); ok && entry.Type.IsRegular() && !yield(name, nil) {
				return
			}
		}
	}
}

// logUnreadable reports a damaged file once, and not without end. Files
// that the Sealer does not open are reported once for all: the cause is one, a key.
func (st *FilesystemSessionStore) logUnreadable(key string, err error) {
	const most = 1000
	name := st.template.Name(key).File
	cause, message, attrs := name, "sessions: a session file is damaged, and its session is lost", []any{"file", sessionfile.ShortHash(name)}
	if isSealError(err) {
		cause, attrs = err.Error(), nil
		message = "sessions: a session does not open, and is a new one to this process; this is said once. " + likelyCause(err)
	}
	st.damagedMu.Lock()
	known := st.damaged[cause] || len(st.damaged) >= most
	if !known {
		st.damaged[cause] = true
	}
	st.damagedMu.Unlock()
	if !known {
		st.opts.Logger.Warn(message, attrs...)
	}
}

// likelyCause is the likely act of an operator.
func likelyCause(err error) string {
	switch {
	case errors.Is(err, errSealed):
		return "It is sealed, and the store has no Sealer: was the Sealer switched off?"
	case errors.Is(err, errNotSealed):
		return "It is not sealed, and the store has a Sealer: was the Sealer switched on?"
	}
	return "It was sealed under a key that the Sealer does not have, or the file was changed: was a key dropped, or does this process not have the newest one yet?"
}

// Prune clears ended sessions away; see [prune.Run], which has all of it. The
// options' Template, IdleTimeout and Lifetime are the store's where they are not
// given.
func (st *FilesystemSessionStore) Prune(ctx context.Context, o prune.Options) (prune.Report, error) {
	o.Template = cmp.Or(o.Template, st.opts.FilenameTemplate)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, st.timeouts.Idle, prune.Never)
	o.Lifetime = cmp.Or(o.Lifetime, st.timeouts.Lifetime, prune.Never)
	dir, err := st.files.PresentDir()
	if err != nil {
		return prune.Report{}, fmt.Errorf("sessions: prune: %w", err)
	}
	root, err := dir.Root()
	if err != nil {
		return prune.Report{}, fmt.Errorf("sessions: prune: %w", err)
	}
	defer root.Close()
	report, err := prune.Run(ctx, root, o)
	if err != nil {
		err = fmt.Errorf("sessions: %w", err)
	}
	return report, err
}

// parse returns the name of a file that can be a session of the store.
func (st *FilesystemSessionStore) parse(file string) (sessionfile.Name, bool) {
	if st.anyStore {
		return st.template.Parse(file)
	}
	return st.template.ParseForm(file, st.form)
}

// publicID returns the public ID of the session of a file.
func publicID(name sessionfile.Name, hashed bool) string {
	if hashed {
		return name.Key
	}
	return PublicID(name.Key)
}

// logLeftover takes the outcome of a removal. A file that stays although its session
// is gone is logged: no caller could act on it.
func (st *FilesystemSessionStore) logLeftover(gone bool, err error) (bool, error) {
	if gone && err != nil {
		st.opts.Logger.Warn("sessions: the file of an ended session could not be removed", "error", err)
		err = nil
	}
	return gone, err
}
