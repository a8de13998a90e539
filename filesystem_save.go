package sessions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sessfs/sessions/internal/slotfile"
)

// Save stores the session. It waits for others who save the same session, but
// no longer than ctx; see [SessionStore] for the rest.
func (st *FilesystemSessionStore) Save(ctx context.Context, s *Session) error {
	return st.save(ctx, s, nil)
}

// SaveIfModified is Save when [Session.ShouldSave].
func (st *FilesystemSessionStore) SaveIfModified(ctx context.Context, s *Session) error {
	if !s.ShouldSave() {
		return nil
	}
	return st.save(ctx, s, nil)
}

// Update reads, changes and saves the session under its lock; see [Updater].
// update is called once. A new session has no lock: when one of its ID was
// stored while update ran, the error is [ErrExists].
func (st *FilesystemSessionStore) Update(ctx context.Context, s *Session, update func(*Session) error) error {
	return st.save(ctx, s, update)
}

func (st *FilesystemSessionStore) save(ctx context.Context, s *Session, update func(*Session) error) error {
	if err := s.acquire(ctx, st); err != nil {
		return err
	}
	defer s.release()
	for {
		err := st.saveOnce(ctx, s, update)
		// Two requests that both adopted a missing ID: the second finds what
		// the first has stored, and adds to it. But update is called once.
		if !s.adopted || update != nil || !errors.Is(err, ErrExists) {
			return err
		}
	}
}

func (st *FilesystemSessionStore) saveOnce(ctx context.Context, s *Session, update func(*Session) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := st.filenameOf(s)
	if err != nil {
		return err
	}
	t := &transaction{FilesystemSessionStore: st, ctx: ctx, s: s, name: name}
	if s.stored || s.adopted {
		if err := t.lock(ctx); err != nil {
			return fmt.Errorf("sessions: save: %w", err)
		}
		defer t.unlock()
	}
	stored, err := t.stored()
	if errors.Is(err, ErrDeleted) {
		return err
	}
	if err != nil {
		return fmt.Errorf("sessions: save: %w", err)
	}
	if err = s.save(stored, update, t); err == nil {
		s.mu.Lock()
		s.file, s.meta = t.name, t.meta
		s.mu.Unlock()
	}
	return err
}

// filenameOf is the name of a session's file.
func (st *FilesystemSessionStore) filenameOf(s *Session) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(st); err != nil {
		return "", err
	}
	if s.file != "" {
		return s.file, nil
	}
	return st.filename(s.id), nil
}

// A transaction is one save, from lock to unlock.
type transaction struct {
	*FilesystemSessionStore
	ctx    context.Context // of the save, which a saver's write has no argument for
	s      *Session
	name   string // of the session's file; after write, of the file it then has
	meta   string // the text of that file's header, "" for none
	file   slotfile.Lock
	locked bool   // file is a lock; otherwise the session has no file
	record Record // what is stored
	text   [256]byte
}

// lock locks the session's file. Without one that is no error.
func (t *transaction) lock(ctx context.Context) error {
	err := t.files.Lock(ctx, t.name, &t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return damagedError(err)
	}
	if errors.Is(t.file.Err(), fs.ErrNotExist) {
		// Ended, by somebody who was stopped before the name was gone.
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

func damagedError(err error) error {
	if errors.Is(err, slotfile.ErrCorrupt) {
		return ErrCorrupt
	}
	return err
}

// stored returns what the file holds now, nil when there is none. The error is
// ErrDeleted when that has expired, unless the save ends it anyway.
func (t *transaction) stored() (*Record, error) {
	if !t.locked {
		return nil, nil
	}
	if err := t.file.Err(); err != nil {
		if t.s.isDestroyed() {
			t.record.Created = t.s.base.Created
			return &t.record, nil // whatever it was, it ends
		}
		return nil, damagedError(err)
	}
	if err := t.read(); err != nil {
		return nil, err
	}
	if t.ended(time.Now(), t.record.Created, t.file.ModTime(), t.record.MaxAge) && !t.s.isDestroyed() {
		return nil, ErrDeleted
	}
	return &t.record, nil
}

// read fills in what the file holds.
func (t *transaction) read() (err error) {
	if t.unchanged() {
		// Nobody saved since: no copy to make, and nothing to take apart.
		t.meta, t.record = t.s.meta, t.s.base
		return nil
	}
	t.meta = string(t.file.Meta())
	h, ok := parseHeader(t.meta)
	if !ok {
		return ErrCorrupt
	}
	t.record, err = t.decode(h, t.meta, t.name, string(t.file.Payload()))
	return err
}

// unchanged says whether the file holds what the session was loaded from.
func (t *transaction) unchanged() bool {
	data := t.file.Payload()
	if t.s.base.Owner != "" {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return t.opts.Sealer == nil && string(t.file.Meta()) == t.s.meta && string(data) == t.s.base.Data
}

// write carries out a save.
func (t *transaction) write(c Change) error {
	err := t.put(c)
	if err == nil && c.Ended != "" && t.locked {
		err = t.end(c)
	}
	if err != nil && !errors.Is(err, ErrExists) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrDeleted) {
		return fmt.Errorf("sessions: save: %w", err)
	}
	return err
}

// put stores the change's record and notes what file it is in.
func (t *transaction) put(c Change) error {
	if c.Record == nil {
		t.name, t.meta = "", ""
		return nil
	}
	meta := t.newMeta(c)
	if string(meta) != t.meta {
		t.meta = string(meta)
	} else if c.Same {
		if err := t.file.Confirm(); err != nil {
			return err
		}
		return t.file.SetModTime(time.Now())
	}
	if c.ID != t.s.id {
		t.name = t.filename(c.ID)
	}
	payload, err := t.payload(c.Record, t.meta, t.name)
	if err != nil {
		return err
	}
	marked := c.Record.MaxAge > 0
	switch {
	case !c.Fresh:
		err = endedError(t.file.Write(t.ctx, meta, payload, marked))
	case c.Ended != "" && t.locked && !t.s.isDestroyed():
		err = endedError(t.files.CreateFor(t.ctx, &t.file, t.name, meta, payload, marked))
	default:
		err = t.files.Create(t.ctx, t.name, meta, payload, marked)
	}
	if errors.Is(err, fs.ErrExist) {
		return ErrExists
	}
	return err
}

// endedError is for what is done to a session that is locked: that its file is
// gone means that somebody has ended it who did not wait for the lock.
func endedError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrDeleted
	}
	return err
}

// newMeta returns the header's text after the change. The stores' timeouts in a
// file only grow: two stores of different ones would otherwise make it anew at
// each turn, and what a pruner is told there has to hold for both.
func (t *transaction) newMeta(c Change) []byte {
	h := t.header(c.Record, t.s.codec.Name())
	meta := h.append(t.text[:0])
	if c.Fresh || string(meta) == t.meta {
		return meta
	}
	if old, ok := parseHeader(t.meta); ok {
		h.timeouts = h.longest(old.timeouts)
	}
	return h.append(t.text[:0])
}

// end removes the session that the save ends. If that fails before anything is
// changed, the session under the new ID goes again.
func (t *transaction) end(c Change) error {
	gone, err := t.bury(&t.file)
	if !gone && c.Record != nil {
		err = errors.Join(err, t.files.Dir().Remove(t.name))
	}
	return err
}

// bury removes a session and its file.
func (st *FilesystemSessionStore) bury(file *slotfile.Lock) (gone bool, err error) {
	return st.buried(file.Remove())
}

// buried takes what a removal returned. That the file stays although the session
// is gone is nothing that a caller could act on.
func (st *FilesystemSessionStore) buried(gone bool, err error) (bool, error) {
	if gone && err != nil {
		st.opts.Logger.Warn("sessions: the file of an ended session could not be removed", "error", err)
		err = nil
	}
	return gone, err
}

// Delete ends the session at once.
func (st *FilesystemSessionStore) Delete(ctx context.Context, s *Session) error {
	if err := s.acquire(ctx, st); err != nil {
		return err
	}
	defer s.release()
	name, err := st.filenameOf(s)
	if err != nil {
		return err
	}
	_, err = st.remove(ctx, name)
	return err
}

// remove ends the session of that file, and reports whether there was one.
func (st *FilesystemSessionStore) remove(ctx context.Context, name string) (bool, error) {
	var file slotfile.Lock
	err := st.files.Lock(ctx, name, &file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("sessions: delete: %w", damagedError(err))
	}
	defer file.Unlock()
	gone, err := st.bury(&file)
	if err != nil {
		return gone, fmt.Errorf("sessions: delete: %w", err)
	}
	return gone, nil
}

// Touch restarts the idle timeout of a stored session; see [Toucher].
func (st *FilesystemSessionStore) Touch(ctx context.Context, s *Session, interval time.Duration) (bool, error) {
	name, err := st.filenameOf(s)
	if err != nil {
		return false, err
	}
	// Without the lock first: most touches come too early to do anything. A file
	// that is dated in the future gets the right time at once.
	info, err := st.files.Dir().Lstat(name)
	now := time.Now()
	if idle := now.Sub(info.ModTime); err == nil && 0 <= idle && idle < interval &&
		!st.ended(now, s.Created(), info.ModTime, s.MaxAge()) {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	var file slotfile.Lock
	locked, err := st.files.TryLock(name, &file)
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
		return false, fmt.Errorf("sessions: touch: %w", damagedError(err))
	}
	return true, nil
}

// touch is Touch for a file whose lock is held. What the file says counts:
// another request may have changed the session's timeout.
func (st *FilesystemSessionStore) touch(ctx context.Context, file *slotfile.Lock, name string) error {
	now, meta := time.Now(), string(file.Meta())
	h, ok := parseHeader(meta)
	if !ok {
		return ErrCorrupt
	}
	if st.ended(now, h.created, file.ModTime(), h.idle) {
		return ErrDeleted
	}
	longest := h.longest(st.timeouts)
	if longest == h.timeouts {
		return file.SetModTime(now)
	}
	rec, err := st.decode(h, meta, name, string(file.Payload()))
	if err != nil {
		return err
	}
	h.timeouts = longest
	grown := h.append(nil)
	payload, err := st.payload(&rec, string(grown), name)
	if err != nil {
		return err
	}
	return file.Write(ctx, grown, payload, h.idle > 0)
}
