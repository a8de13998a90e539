package sessions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/slotfile"
)

const sha256Size = sha256.Size

// A FilesystemSessionStore keeps each session in a file of one directory. Any
// number of stores, in any number of processes of one machine, may share a
// directory. It is a [SessionStore], [Updater], [Toucher], [Clearer] and
// [OwnerStore].
type FilesystemSessionStore struct {
	timeouts       // of opts
	opts           FilesystemOptions
	files          slotfile.Files
	prefix, suffix string // of file names, around the ID or its hash

	damagedMu sync.Mutex
	damaged   map[string]bool // files that were logged
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
		dir, info, err = o.openDir()
	}
	if err != nil {
		return nil, fmt.Errorf("sessions: cannot keep sessions in files: %w", err)
	}
	o.warnOf(dir, info)
	prefix, suffix, _ := strings.Cut(o.FilenameTemplate, "%s")
	st := &FilesystemSessionStore{
		timeouts: timeouts{o.MaxAge, o.Lifetime},
		opts:     o,
		files: slotfile.Files{
			Opened:     dir,
			Mode:       o.Mode,
			Sync:       o.Sync == SyncFull,
			MaxPayload: max(o.MaxSize, minReadSize),
			TempSuffix: tempSuffix,
			Times:      o.MaxAge > 0,
			Naming:     slotfile.Naming{Lock: ownersLockName, Turn: ownersTurnName},
		},
		prefix:  prefix,
		suffix:  suffix,
		damaged: make(map[string]bool),
	}
	if o.Path != "." {
		st.files.Reopen, st.files.Reopened = st.reopenDir, st.reopened
	}
	return st, nil
}

// IsValidKey reports whether key has the form of this store's IDs; see [Keys].
func (st *FilesystemSessionStore) IsValidKey(key string) bool { return st.opts.Keys.IsValidKey(key) }

// GenerateKey makes a new ID; see [Keys].
func (st *FilesystemSessionStore) GenerateKey() string { return st.opts.Keys.GenerateKey() }

// Close releases the directory. The store cannot be used any more.
func (st *FilesystemSessionStore) Close() error { return st.files.Close() }

// New makes an empty session. No file is made before it is saved.
func (st *FilesystemSessionStore) New() *Session {
	return st.newSession(st.GenerateKey())
}

func (st *FilesystemSessionStore) newSession(id string) *Session {
	s := NewSession(id, st.opts.Codec)
	s.home = st
	return s
}

// Get loads a session, without waiting for anybody who is saving it. See
// [SessionStore] for what it does with an ID that is not stored.
func (st *FilesystemSessionStore) Get(ctx context.Context, id string) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !st.IsValidKey(id) {
		return st.New(), nil
	}
	name := st.filename(id)
	file, err := st.files.Read(ctx, name)
	if err == nil {
		var s *Session
		if s, err = st.session(id, name, file); err == nil && st.expired(s, name, file.ModTime) {
			return st.New(), nil
		} else if err == nil {
			return s, nil
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && st.opts.KeepMissingID:
		s := st.newSession(id)
		s.isNew, s.adopted, s.base.Created = false, true, s.created
		return s, nil
	case errors.Is(err, fs.ErrNotExist):
		return st.New(), nil
	case errors.Is(err, slotfile.ErrCorrupt), errors.Is(err, ErrCorrupt):
		st.logDamaged(name)
		return st.New(), nil
	}
	return nil, fmt.Errorf("sessions: load: %w", err)
}

// session makes a session of what a file holds.
func (st *FilesystemSessionStore) session(id, name string, file slotfile.Record) (*Session, error) {
	h, ok := parseHeader(file.Meta)
	if !ok {
		return nil, corrupt("the header is of no known version")
	}
	codec := CodecNamed(h.codec, st.opts.Codec)
	if codec == nil {
		return nil, fmt.Errorf("the session is encoded by codec %q, which is not this store's %q", h.codec, st.opts.Codec.Name())
	}
	rec, err := st.decode(h, file.Meta, name, file.Payload)
	if err != nil {
		return nil, err
	}
	s := loadSession(id, codec, rec) // the checksum, and the seal, vouch for the data
	s.home, s.file, s.meta = st, name, file.Meta
	return s, nil
}

// expired reports whether a session that was read from a file has ended.
func (st *FilesystemSessionStore) expired(s *Session, name string, modTime time.Time) bool {
	if s.maxAge > 0 && !st.files.Times {
		info, err := st.files.Dir().Lstat(name)
		if err != nil {
			return false // removed meanwhile: it was there when it was read
		}
		modTime = info.ModTime
	}
	return st.ended(time.Now(), s.created, modTime, s.maxAge)
}

// List returns the IDs of the stored sessions, or the hashes of IDs with
// HashNames, in no particular order, without those that have expired. It asks the
// system for the time of each file, opens those of sessions that have a timeout
// of their own (see [Session.SetMaxAge]), and, in a store with a Lifetime, all.
// After an error about one file it goes on.
func (st *FilesystemSessionStore) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var buf []byte
		for name, err := range st.names(ctx) {
			current := false
			if err == nil {
				current, err = st.isCurrent(name, &buf)
				if errors.Is(err, fs.ErrNotExist) || errors.Is(err, slotfile.ErrCorrupt) || err == nil && !current {
					continue
				}
			}
			if err != nil {
				name, err = "", fmt.Errorf("sessions: list: %w", err)
			} else {
				name = st.key(name)
			}
			if !yield(name, err) {
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
	if st.lifetime == 0 && slotfile.SizeOf(info.Size) != slotfile.MarkedSize {
		return !st.ended(time.Now(), time.Time{}, info.ModTime, 0), nil
	}
	file, err := slotfile.NewSuspect(dir, name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	if info, err = file.Info(); err != nil {
		return false, err
	}
	meta, err := file.Header(buf)
	if err != nil {
		return false, err
	}
	h, ok := parseHeader(string(meta))
	return ok && !st.ended(time.Now(), h.created, info.ModTime, h.idle), nil
}

// names gives the names of the files that can be sessions.
func (st *FilesystemSessionStore) names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		dir, err := st.files.PresentDir()
		if err != nil {
			yield("", err)
			return
		}
		st.namesIn(ctx, dir)(yield)
	}
}

func (st *FilesystemSessionStore) namesIn(ctx context.Context, dir *dirfs.Dir) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for entry, err := range dir.Entries() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield("", err)
				return
			}
			if entry.Type.IsRegular() && st.isFilename(entry.Name) && !yield(entry.Name, nil) {
				return
			}
		}
	}
}

// filename is the name of a session's file. The ID must be valid.
func (st *FilesystemSessionStore) filename(id string) string {
	if st.opts.HashNames {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:])
	}
	return st.prefix + id + st.suffix
}

// key is the part of a file's name that stands for the session.
func (st *FilesystemSessionStore) key(name string) string {
	return name[len(st.prefix) : len(name)-len(st.suffix)]
}

func (st *FilesystemSessionStore) isFilename(name string) bool {
	if len(name) < len(st.prefix)+len(st.suffix) ||
		!strings.HasPrefix(name, st.prefix) || !strings.HasSuffix(name, st.suffix) {
		return false
	}
	key := st.key(name)
	if st.opts.HashNames {
		return len(key) == 2*sha256Size && isLowerHex(key)
	}
	return st.IsValidKey(key)
}

// logDamaged reports a file once, and not without end.
func (st *FilesystemSessionStore) logDamaged(name string) {
	const most = 1000
	st.damagedMu.Lock()
	known := st.damaged[name] || len(st.damaged) >= most
	if !known {
		st.damaged[name] = true
	}
	st.damagedMu.Unlock()
	if !known {
		st.opts.Logger.Warn("sessions: a session file is damaged, and its session is lost", "file", shortHash(name))
	}
}

// shortHash stands for a file in logs: enough to see that two lines are about
// the same one, nothing to find it by.
func shortHash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:4])
}
