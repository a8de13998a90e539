package sessions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
)

// Commit carries out a change.
func (st fileBackend) Commit(ctx context.Context, c *Change) error {
	t := transactions.Get().(*transaction)
	defer func() {
		*t = transaction{}
		transactions.Put(t)
	}()
	t.FilesystemSessionStore, t.ctx, t.c, t.name = st.FilesystemSessionStore, ctx, c, st.template.Name(c.Key())
	if !c.New() {
		if err := t.lock(ctx); err != nil {
			return err
		}
		defer t.unlock()
	}
	stored, err := t.stored()
	if err != nil {
		return err
	}
	if err := c.Apply(stored); err != nil {
		return err
	}
	if c.NewKey() != "" {
		if err := t.put(c.Record()); err != nil {
			return err
		}
		c.SetVersion(t.version)
	}
	if c.Ended() != "" {
		return t.end()
	}
	return nil
}

// A transaction is one change, from lock to unlock.
type transaction struct {
	*FilesystemSessionStore
	ctx     context.Context // of the change
	c       *Change
	name    sessionfile.Name // of the session's file; after put, of the file it then has
	meta    string           // the text of that file's header, "" for none
	file    slotfile.Lock
	locked  bool           // file is a lock; otherwise the session has no file
	version string         // of the record in that file, like meta
	record  Record         // the stored one
	by      slotfile.Namer // of a new file
	text    [256]byte
}

// transactions are for the next changes. A Namer brings them to the heap, and they have a
// kilobyte.
var transactions = sync.Pool{New: func() any { return new(transaction) }}

// lock locks the session's file. Without one that is no error.
func (t *transaction) lock(ctx context.Context) error {
	err := t.files.Lock(ctx, t.name.File, &t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return storeError(err)
	}
	if errors.Is(t.file.Err(), fs.ErrNotExist) {
		// Ended, by a process that was stopped before the name was gone.
		_, err := t.file.Remove()
		t.file.Unlock()
		return err
	}
	t.locked = true
	return nil
}

func (t *transaction) unlock() {
	if t.locked {
		t.file.Unlock()
	}
}

// stored returns the file's record, nil when there is none.
func (t *transaction) stored() (*Record, error) {
	if !t.locked {
		return nil, nil
	}
	err := t.file.Err()
	if err == nil {
		err = t.read()
	}
	switch err = storeError(err); {
	case errors.Is(err, ErrCorrupt):
		t.record.Damaged = true
	case err != nil:
		return nil, err
	}
	t.record.Used = t.file.ModTime()
	return &t.record, nil
}

// read fills in the file's record.
func (t *transaction) read() (err error) {
	if base := t.c.Base(); base != nil && t.unchanged(base) {
		// No save since: no copy to make, and nothing to take apart.
		t.meta, t.version, t.record = base.Version[:len(t.file.Meta())], base.Version, *base
		return nil
	}
	file := t.file.Record()
	t.meta = file.Meta
	h, ok := t.headers.Parse(t.meta)
	if !ok {
		return ErrCorrupt
	}
	t.record, err = t.decode(&h, t.name, file)
	t.version = t.record.Version
	return err
}

// unchanged reports whether the file holds the record that the session was loaded from.
func (t *transaction) unchanged(base *Record) bool {
	meta, payload := t.file.Meta(), t.file.Payload()
	if !t.hidesChanges(base) {
		return string(meta) == base.Version && string(payload) == base.Data
	}
	return len(meta)+len(payload) == len(base.Version) &&
		string(meta) == base.Version[:len(meta)] && string(payload) == base.Version[len(meta):]
}

// put stores a record under the change's key.
func (t *transaction) put(rec *Record) error {
	if key := t.c.NewKey(); key != t.c.Key() {
		t.name = t.template.Name(key)
	}
	tag, err := t.tag(rec.Owner)
	if err != nil {
		return err
	}
	t.setNaming(rec, tag)
	h := t.header(rec, tag)
	meta := h.Append(t.text[:0])
	if t.c.Fresh() {
		return t.create(rec, meta)
	}
	if string(meta) == t.meta {
		return t.overwrite(rec, meta)
	}
	// The stores' timeouts in a file only grow: two stores of different ones would
	// otherwise make it anew at each turn, and a pruner that goes by the file has to
	// leave the sessions of both.
	kept := h.Timeouts
	if old, ok := sessionfile.ParseHeader(t.meta); ok {
		kept = old.Timeouts
	}
	h.Timeouts = h.Longest(kept)
	err = t.overwrite(rec, h.Append(t.text[:0]))
	if err != nil && h.Timeouts != kept && !t.file.Moved() && !errors.Is(err, ErrDeleted) {
		// The disk is full, say. The session goes on without.
		h.Timeouts = kept
		err = t.overwrite(rec, h.Append(t.text[:0]))
	}
	return err
}

// tag is ownerTag. That of an owner who stays is the one that the file has, so
// that only those saves need the key that set an owner.
func (t *transaction) tag(owner string) (string, error) {
	if owner == "" || owner != t.record.Owner {
		return t.ownerTag(t.ctx, owner)
	}
	return t.storedTag(), nil
}

// storedTag returns the tag of the owner in the header of the stored record.
func (t *transaction) storedTag() string {
	_, rest, _ := strings.Cut(t.meta, " owner=")
	tag, _, _ := strings.Cut(rest, " ")
	return tag
}

// setNaming sets how a new file for the record gets its name.
func (t *transaction) setNaming(rec *Record, tag string) {
	if rec.Owner == "" && t.record.Owner == "" {
		return
	}
	n := &naming{
		FilesystemSessionStore: t.FilesystemSessionStore,
		ctx:                    t.ctx,
		name:                   t.name,
		before:                 t.template.Name(t.c.Key()),
		owner:                  ownerTag{rec.Owner, tag},
	}
	if n.login, _ = t.c.Login(); t.record.Owner != "" {
		n.was = ownerTag{t.record.Owner, t.storedTag()}
	}
	t.by = n.run
}

// overwrite stores the record in place of the stored one.
func (t *transaction) overwrite(rec *Record, meta []byte) error {
	text := t.meta
	if string(meta) != text {
		text = string(meta)
	} else if t.c.Same() && t.isSealedNow(t.file.Payload()) {
		if err := t.file.EnsureDurable(); err != nil {
			return err
		}
		return t.file.SetModTime(time.Now())
	}
	payload, err := t.payload(rec, text, t.name)
	if err != nil {
		return err
	}
	was := t.file.Derived()
	t.file.By = t.by
	if err := t.file.Write(t.ctx, meta, payload, hasOwnTimeouts(rec)); err != nil {
		return endedError(err)
	}
	t.noteStored(rec, text, payload)
	t.hand(was, rec)
	return nil
}

// hand has the next load of a file that stays open find the record as it would have
// taken it apart: as the one before of the same header, with other values and Meta.
func (t *transaction) hand(was any, rec *Record) {
	text := ""
	if t.hidesChanges(rec) {
		text = t.version
	}
	old, ok := was.(*Record)
	if !ok {
		t.file.SetDerived(nil, text)
		return
	}
	now := *old
	now.Data, now.parsed = rec.Data, rec.parsed
	if text != "" {
		now.Version = text
	}
	if now.Meta != rec.Meta {
		now.Meta = strings.Clone(rec.Meta) // which may be a part of a large text
	}
	if now.parsed == nil {
		now.parsed = &parsedData{data: rec.Data}
	}
	t.file.SetDerived(&now, text)
}

// noteStored notes the text of a file that was written.
func (t *transaction) noteStored(rec *Record, meta, payload string) {
	t.meta, t.version = meta, meta
	if t.hidesChanges(rec) {
		t.version = meta + payload
	}
}

// create stores the record where nothing is.
func (t *transaction) create(rec *Record, meta []byte) error {
	text := string(meta)
	payload, err := t.payload(rec, text, t.name)
	if err != nil {
		return err
	}
	t.noteStored(rec, text, payload)
	if t.c.Renewed() {
		t.file.By = t.by
		err = endedError(t.files.CreateFor(t.ctx, &t.file, t.name.File, meta, payload, hasOwnTimeouts(rec)))
	} else {
		err = t.files.CreateBy(t.ctx, t.by, t.name.File, meta, payload, hasOwnTimeouts(rec), rec.Used)
	}
	if errors.Is(err, fs.ErrExist) {
		return ErrExists
	}
	return err
}

// hasOwnTimeouts reports whether the file of a record is marked.
func hasOwnTimeouts(rec *Record) bool { return rec.IdleTimeout > 0 || rec.Lifetime > 0 }

// endedError translates the errors of operations on a locked session: its file is
// gone when a DeleteAll or the like, which waits for no lock, has ended it.
func endedError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrDeleted
	}
	return err
}

// end removes the session that the change ends. If that fails before anything is
// changed, the session under the new ID goes again.
func (t *transaction) end() error {
	gone, err := t.logLeftover(t.file.Remove())
	if !gone && t.c.NewKey() != "" {
		err = errors.Join(err, t.files.Dir().Remove(t.name.File))
	}
	return err
}

// Touch restarts the idle timeout of a stored session; see [Toucher].
func (st *FilesystemSessionStore) Touch(ctx context.Context, s *Session, interval time.Duration) (bool, error) {
	key, err := st.base.KeyOf(s)
	if err != nil {
		return false, err
	}
	name := st.template.Name(key)
	// Without the lock first: most touches come too early to do anything. A file
	// that is dated in the future gets the right time at once.
	info, err := st.files.Dir().Lstat(name.File)
	now := time.Now()
	if idle := now.Sub(info.ModTime); err == nil && 0 <= idle && idle < interval &&
		!st.timeouts.With(sessionfile.Timeouts{Idle: s.IdleTimeout(), Lifetime: s.Lifetime()}).Ended(now, s.Created(), info.ModTime) {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	var file slotfile.Lock
	locked, err := st.files.TryLock(name.File, &file)
	switch {
	case locked:
		defer file.Unlock()
		if err = file.Err(); err == nil {
			err = st.touch(ctx, &file, name)
		}
	case err == nil:
		return false, nil
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDeleted) {
		return false, ErrDeleted
	}
	if err != nil {
		return false, fmt.Errorf("sessions: touch: %w", storeError(err))
	}
	return true, nil
}

// touch is Touch for a file whose lock is held. The timeouts in the file count:
// another request may have changed the session's timeout.
func (st *FilesystemSessionStore) touch(ctx context.Context, file *slotfile.Lock, name sessionfile.Name) error {
	now := time.Now()
	h, ok := sessionfile.ParseHeader(string(file.Meta()))
	if !ok {
		return ErrCorrupt
	}
	if st.hasEnded(h, file.ModTime()) {
		return ErrDeleted
	}
	var wanted []sessionfile.Header // the better first
	if longest := h.Longest(st.timeouts); longest != h.Timeouts {
		grown := h
		grown.Timeouts = longest
		wanted = append(wanted, grown)
	}
	if !st.isSealedNow(file.Payload()) {
		wanted = append(wanted, h)
	}
	for _, h := range wanted {
		err := st.remake(ctx, file, h, name)
		if err == nil || file.Moved() || errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return file.SetModTime(now)
}

// remake writes the session of a file whose lock is held anew, into that file or,
// with another header, into a new one. It waits for nothing before that has its name.
func (st *FilesystemSessionStore) remake(ctx context.Context, file *slotfile.Lock, h sessionfile.Header, name sessionfile.Name) error {
	rec, err := st.decode(&h, name, file.Record())
	if err != nil {
		return err
	}
	meta := h.Append(nil)
	payload, err := st.sealed(&rec, string(meta), name)
	if err != nil {
		return err
	}
	atOnce, cancel := context.WithCancel(ctx)
	cancel()
	if rec.Owner != "" {
		owner := ownerTag{rec.Owner, h.Owner}
		file.By = (&naming{FilesystemSessionStore: st, ctx: atOnce, after: ctx, name: name, owner: owner, was: owner}).run
	}
	return file.Write(atOnce, meta, payload, hasOwnTimeouts(&rec))
}
