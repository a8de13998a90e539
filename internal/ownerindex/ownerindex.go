// Package ownerindex is the index of a directory's sessions by their owners: a
// directory .owners with one file an owner. The file is a record of package slotfile,
// named by the owner's tag, with the names of the owner's session files and the times
// at which all of them were ended.
//
// A writer that gives a session's file its name, or a new file the name of a session,
// enters the name before, and holds the lock of the owner's file until the file
// has it. So the index names every session, and perhaps some that are gone: entries
// are taken out when a file would grow, and by Tidy. A [State] tells whether the
// index is whole.
package ownerindex

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
)

const (
	dirName   = sessionfile.OwnersDir
	ownerMeta = "owner 1" // the text of the header of an owner's file
	mode      = 0o600     // of files

	// tries is how often an operation is repeated in which another process has
	// removed files of the index.
	tries = 10

	// endsKept is how long the time of an end is kept: longer than a login takes.
	endsKept = 24 * time.Hour

	// maxEnds is how many ends an entry has.
	maxEnds = 16
)

// errRemoved is not fs.ErrNotExist, which would be taken for a missing session.
var errRemoved = errors.New("the directory " + dirName + " is being removed by another process")

// An Index is the index of a directory, safe for concurrent use.
type Index struct {
	dir      *dirfs.Dir
	files    slotfile.Files // of owners
	unsynced slotfile.Files // of the State, which need not survive a power cut
	known    atomic.Pointer[State]
}

// New returns the index of an opened directory. With sync, entries survive a power
// cut.
func New(dir *dirfs.Dir, sync bool) *Index {
	x := &Index{dir: dir}
	for _, files := range []*slotfile.Files{&x.files, &x.unsynced} {
		files.Opened, files.Mode, files.MaxPayload, files.TempSuffix, files.Strict = dir, mode, 1<<30, sessionfile.TempSuffix, true
	}
	x.files.Sync = sync
	return x
}

func path(name string) string { return dirName + "/" + name }

// lock is Files.Lock. With a context that has ended it takes a lock that is free.
func (x *Index) lock(ctx context.Context, files *slotfile.Files, name string, l *slotfile.Lock) error {
	if ctx.Err() == nil {
		return files.Lock(ctx, path(name), l)
	}
	locked, err := files.TryLock(path(name), l)
	if err == nil && !locked {
		err = ctx.Err()
	}
	return err
}

// An Entry is an owner's file.
type Entry struct {
	Files []string // the names of session files, some of which may be gone
	Ends  []End    // of the last day
}

// An End is an end of all sessions of an owner but for some.
type End struct {
	At   time.Time
	Keep []string // public IDs
}

// Ended reports whether a login that began at that time was ended since, under all of
// the public IDs. An end in the future was noted before the clock was set back.
func (e *Entry) Ended(login time.Time, publicIDs ...string) bool {
	return slices.ContainsFunc(e.Ends, func(end End) bool {
		keeps := slices.ContainsFunc(publicIDs, func(id string) bool { return slices.Contains(end.Keep, id) })
		return !keeps && login.Before(end.At) && !end.At.After(time.Now())
	})
}

// AddEnd adds an end of now, and takes out those that it covers. Of too many, the two
// oldest become one that keeps fewer.
func (e *Entry) AddEnd(keep []string) {
	without := func(from, kept []string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(id string) bool { return slices.Contains(kept, id) })
	}
	e.Ends = slices.DeleteFunc(e.Ends, func(old End) bool { return len(without(keep, old.Keep)) == 0 })
	e.Ends = append(e.Ends, End{time.Now(), keep})
	if len(e.Ends) > maxEnds {
		oldest, next := e.Ends[0], &e.Ends[1]
		next.Keep = without(next.Keep, without(next.Keep, oldest.Keep))
		e.Ends = e.Ends[1:]
	}
}

// text returns the payload of an owner's file.
func (e *Entry) text() string {
	var b strings.Builder
	for _, end := range e.Ends {
		if time.Since(end.At) < endsKept {
			b.WriteString("ended " + strconv.FormatInt(end.At.UnixNano(), 10))
			for _, id := range end.Keep {
				b.WriteString(" " + strconv.Quote(id))
			}
			b.WriteByte('\n')
		}
	}
	for _, name := range e.Files {
		b.WriteString("session " + name + "\n")
	}
	return b.String()
}

// parseEntry is the inverse of text.
func parseEntry(meta, text string) (e Entry, ok bool) {
	if meta != ownerMeta {
		return e, false
	}
	for line := range strings.Lines(text) {
		line, ok := strings.CutSuffix(line, "\n")
		kind, rest, _ := strings.Cut(line, " ")
		switch {
		case ok && kind == "session" && rest != "":
			e.Files = append(e.Files, rest)
		case ok && kind == "ended":
			end, ok := parseEnd(rest)
			if !ok {
				return e, false
			}
			e.Ends = append(e.Ends, end)
		default:
			return e, false
		}
	}
	return e, true
}

func parseEnd(text string) (end End, ok bool) {
	nano, rest, _ := strings.Cut(text, " ")
	at, err := strconv.ParseInt(nano, 10, 64)
	for err == nil && rest != "" {
		var quoted, id string
		if quoted, err = strconv.QuotedPrefix(rest); err == nil {
			id, err = strconv.Unquote(quoted)
			end.Keep, rest = append(end.Keep, id), strings.TrimPrefix(rest[len(quoted):], " ")
		}
	}
	end.At = time.Unix(0, at)
	return end, err == nil
}

// Read returns an owner's entry, without waiting for its lock. It is to be asked
// before the State that it goes with.
func (x *Index) Read(ctx context.Context, tag string) (Entry, error) {
	rec, err := x.files.Read(ctx, path(tag))
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, nil
	}
	if err == nil {
		if e, ok := parseEntry(rec.Meta, rec.Payload); ok {
			return e, nil
		}
	} else if !errors.Is(err, slotfile.ErrCorrupt) {
		return Entry{}, err
	}
	var l Lock // which begins the index anew
	if err := x.Lock(ctx, tag, &l); err != nil {
		return Entry{}, err
	}
	defer l.Unlock()
	return l.Entry, nil
}

// A Lock is the lock of an owner's file. It is for one goroutine and one Write.
type Lock struct {
	Entry
	index *Index
	file  slotfile.Lock
	was   string // the payload
}

// Lock takes the lock of an owner's file into l, and makes the file if there is none.
// A damaged file is removed, and the index begins anew.
func (x *Index) Lock(ctx context.Context, tag string, l *Lock) error {
	for range tries {
		err := x.lock(ctx, &x.files, tag, &l.file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = x.change(ctx, func() error { return x.files.Create(ctx, path(tag), []byte(ownerMeta), "", false) })
			if err != nil && !errors.Is(err, fs.ErrExist) {
				return x.gone(err)
			}
			continue
		case errors.Is(err, slotfile.ErrCorrupt):
			return errors.New("a file of " + dirName + " is not a regular one")
		case err != nil:
			return err
		}
		l.index = x
		removal := x.change
		if err := l.file.Err(); err == nil {
			l.was = string(l.file.Payload())
			e, ok := parseEntry(string(l.file.Meta()), l.was)
			if ok {
				l.Entry = e
				return nil
			}
			removal = x.invalidate
		} else if errors.Is(err, slotfile.ErrCorrupt) {
			removal = x.invalidate
		}
		err = removal(ctx, func() error { _, err := l.file.Remove(); return err })
		l.file.Unlock()
		if err != nil {
			return err
		}
	}
	return errRemoved
}

// gone keeps fs.ErrNotExist for a directory of sessions that was removed.
func (x *Index) gone(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if removed, statErr := x.dir.Removed(); !removed {
		return errors.Join(errRemoved, statErr)
	}
	return err
}

// Unlock releases the lock.
func (l *Lock) Unlock() { l.file.Unlock() }

// Write writes the entry. It reports false when the file was replaced by a larger one,
// of which l is not the lock.
func (l *Lock) Write(ctx context.Context) (locked bool, err error) {
	text := l.text()
	if text == l.was {
		return true, nil
	}
	meta := []byte(ownerMeta)
	if !l.file.Fits(meta, text) {
		l.dropGone()
		text = l.text()
	}
	if l.file.Fits(meta, text) {
		return true, l.index.gone(l.file.WriteInPlace(text))
	}
	err = l.index.change(ctx, func() error { return l.file.Write(ctx, meta, text, false) })
	return !l.file.Moved(), l.index.gone(err)
}

// dropGone takes out the sessions whose files are gone. The last one may not have its
// file yet.
func (l *Lock) dropGone() {
	if last := len(l.Files) - 1; last > 0 {
		l.Files = append(slices.DeleteFunc(l.Files[:last:last], l.isGone), l.Files[last])
	}
}

func (l *Lock) isGone(name string) bool {
	_, err := l.index.dir.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}
