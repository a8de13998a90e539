package sessions

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/ownerindex"
	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
)

const (
	// smallDirectory is how many names a directory has whose index is made whole by
	// the login that begins it.
	smallDirectory = 256

	// entriesAtOnce bounds the memory of enterAll.
	entriesAtOnce = 64 << 10

	// retryAfter is when a search for owners is tried again that some sessions did
	// not open for.
	retryAfter = time.Hour
)

// An ownerIndex is the index of an opened directory.
type ownerIndex struct {
	*ownerindex.Index
	dir *dirfs.Dir

	rebuilding chan struct{} // has one element while a goroutine does
	unknownAt  time.Time     // when sessions of unknown owners were found
	unknownIn  ownerindex.State
}

// index returns the index of a directory.
func (st *FilesystemSessionStore) index(dir *dirfs.Dir) *ownerIndex {
	was := st.indexed.Load()
	if was != nil && was.dir == dir {
		return was
	}
	x := &ownerIndex{Index: ownerindex.New(dir, st.files.Sync), dir: dir, rebuilding: make(chan struct{}, 1)}
	if dir == st.files.Dir() && !st.indexed.CompareAndSwap(was, x) {
		return st.index(dir)
	}
	return x
}

// indexKey returns the directory's secret, read anew where the index has another one.
func (st *FilesystemSessionStore) indexKey(ctx context.Context, x *ownerIndex) (*ownerKey, error) {
	key, err := st.ownerKey(ctx, true)
	if err != nil {
		return nil, err
	}
	if s, ok, err := x.Current(ctx); err != nil || !ok || s.Key == key.id {
		return key, err
	}
	st.owners.Store(nil)
	return st.ownerKey(ctx, true)
}

// begin returns the State that holds for a key. An index that begins in a small
// directory, and one that has to be whole, is made so.
func (st *FilesystemSessionStore) begin(ctx context.Context, x *ownerIndex, key *ownerKey, login bool) (ownerindex.State, error) {
	s, begun, err := x.Begin(ctx, key.id)
	if err != nil || s.Complete || !login || st.opts.MaxSessions == 0 && !(begun && isSmall(x.dir)) {
		return s, err
	}
	whole, _, err := st.complete(ctx, x, key)
	return whole, err
}

func isSmall(dir *dirfs.Dir) bool {
	n := 0
	for range dir.Entries() {
		if n++; n > smallDirectory {
			return false
		}
	}
	return true
}

// complete returns the State of the index when that is whole, and makes it whole where
// it is not. It reports false when some sessions cannot be entered, since their owner
// is not to be found out.
func (st *FilesystemSessionStore) complete(ctx context.Context, x *ownerIndex, key *ownerKey) (s ownerindex.State, ok bool, err error) {
	if s, _, err = x.Begin(ctx, key.id); err != nil || s.Complete {
		return s, s.Complete, err
	}
	select {
	case x.rebuilding <- struct{}{}:
		defer func() { <-x.rebuilding }()
	case <-ctx.Done():
		return s, false, ctx.Err()
	}
	for range 3 {
		if s, _, err = x.Begin(ctx, key.id); err != nil || s.Complete {
			return s, s.Complete, err
		}
		if s.Is(x.unknownIn) && time.Since(x.unknownAt) < retryAfter {
			return s, false, nil
		}
		unknown, err := st.enterAll(ctx, x, key)
		if err != nil {
			return s, false, err
		}
		if unknown > 0 {
			x.unknownAt, x.unknownIn = time.Now(), s
			return s, false, nil
		}
		if s.Complete, err = x.SetComplete(ctx, s); err != nil || s.Complete {
			return s, s.Complete, err
		}
	}
	return s, false, errors.New("the index of owners is removed by another process again and again")
}

// enterAll enters every session of an owner into the index, and counts those of which
// the owner is not to be found out. Sessions that begin meanwhile are entered by their
// logins.
func (st *FilesystemSessionStore) enterAll(ctx context.Context, x *ownerIndex, key *ownerKey) (unknown int, err error) {
	var buf []byte
	found, n := make(map[string][]string), 0
	for entry, err := range x.dir.Entries() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return unknown, err
		}
		if sessionfile.IsOwn(entry.Name) || strings.HasSuffix(entry.Name, sessionfile.TempSuffix) || !entry.Type.IsRegular() {
			continue
		}
		tag, known, err := st.tagIn(x.dir, entry.Name, key, &buf)
		switch {
		case err != nil:
			return unknown, err
		case !known:
			unknown++
		case tag != "":
			found[tag] = append(found[tag], entry.Name)
			n++
		}
		if n >= entriesAtOnce {
			if err := enter(ctx, x, found); err != nil {
				return unknown, err
			}
			clear(found)
			n = 0
		}
	}
	return unknown, enter(ctx, x, found)
}

// tagIn returns the tag of the owner of the session in a file, "" for none. It reports
// false for one whose owner this store cannot read.
func (st *FilesystemSessionStore) tagIn(dir *dirfs.Dir, file string, key *ownerKey, buf *[]byte) (tag string, known bool, err error) {
	h, info, err := readHeader(dir, file, buf)
	if isMissingOrDamaged(err) || err == nil && h.Owner == "" {
		return "", true, nil
	}
	if err != nil || key.made(h.Owner) {
		return h.Owner, true, err
	}
	ended := st.hasEnded(h, info.ModTime)
	name, ok := st.parse(file)
	if !ok {
		return "", ended, nil
	}
	stored, err := st.files.ReadNow(dir, file)
	if isMissingOrDamaged(err) {
		return "", true, nil
	}
	if err != nil {
		return "", false, err
	}
	rec, err := st.decode(&h, name, stored)
	switch {
	case isSealError(err):
		return "", ended, nil
	case err != nil || rec.Owner == "":
		return "", true, nil
	}
	return key.tag(rec.Owner), true, nil
}

// enter enters files under their tags.
func enter(ctx context.Context, x *ownerIndex, found map[string][]string) error {
	for tag, files := range found {
		var l ownerindex.Lock
		if err := x.Lock(ctx, tag, &l); err != nil {
			return err
		}
		l.Files = append(l.Files, files...)
		slices.Sort(l.Files)
		l.Files = slices.Compact(l.Files)
		_, err := l.Write(ctx)
		l.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
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

// ownerTag returns the tag of an owner, "" for none.
func (st *FilesystemSessionStore) ownerTag(ctx context.Context, owner string) (string, error) {
	if owner == "" {
		return "", nil
	}
	key, err := st.ownerKey(ctx, true)
	if err != nil {
		return "", err
	}
	return key.tag(owner), nil
}

// ownerKey returns the directory's key. Without one that can be read, a new one is
// written, or nil returned. It is remembered when it was written, or could have
// been: until then it may have to be sealed anew.
//
// A process may go on with a key whose file was lost or replaced. A header names
// the key that it was made under, and where that is not the one at hand, the
// owner is found in the payload. So no session is missed.
func (st *FilesystemSessionStore) ownerKey(ctx context.Context, write bool) (*ownerKey, error) {
	if key := st.owners.Load(); key != nil {
		return key, nil
	}
	dir, err := st.files.PresentDir()
	if err != nil {
		return nil, err
	}
	file := ownerKeyFile{format: &st.fileFormat, log: st.opts.Logger, files: slotfile.Files{
		Opened:     dir,
		Mode:       ownersKeyMode,
		Sync:       st.files.Sync,
		MaxPayload: ownersKeyMax,
		TempSuffix: sessionfile.TempSuffix,
	}}
	key, err := file.load(ctx, write)
	if err == nil && key != nil && write {
		st.owners.Store(key)
	}
	return key, err
}
