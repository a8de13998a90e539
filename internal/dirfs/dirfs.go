// Package dirfs does file operations relative to one directory that was
// opened once: no path is walked twice, a name cannot lead out of the
// directory, and symbolic links are never followed.
//
// It works on bare descriptors where the system has the *at calls, because
// an [os.File] costs more than the operation itself for files of a few
// kilobytes (a poller registration and a finalizer for each), and on
// [os.Root] elsewhere.
//
// Errors are [fs.PathError]s that carry the path of the directory, never the
// name of the file: the names that this module's stores use are secrets.
package dirfs

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"
)

// ErrIrregular is the error for a name that is no regular file's: of a symbolic
// link, a directory, a FIFO, a socket or a device.
var ErrIrregular = errors.New("not a regular file")

// LockName is the name of the file by which processes exclude each other where a
// file has no lock of its own.
const LockName = ".sessions.lock"

// Info is a file's metadata, from stat(2).
type Info struct {
	Mode    fs.FileMode
	Size    int64 // bytes
	ModTime time.Time
	Links   uint64 // number of names; zero when the file was removed or replaced

	// Zero where the system has nothing of the kind.
	UID     uint32 // owner
	Device  uint64 // with Inode: the file's identity
	Inode   uint64
	Changed time.Time // of the last change of the content or of any of these
}

// Entry is one name in a directory.
type Entry struct {
	Name  string
	Type  fs.FileMode // the type bits alone
	Inode uint64      // zero where a directory does not tell
}

// Error returns err as a PathError with the directory's path. A nil err stays nil.
func (d *Dir) Error(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: d.path, Err: err}
}

// HasName reports whether the open file that info describes has the name.
func (d *Dir) HasName(info Info, name string) (bool, error) {
	named, err := d.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return named.Device == info.Device && named.Inode == info.Inode, err
}

// unwrapOS returns the system's error in an error of package os, which names the
// file.
func unwrapOS(err error) error {
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	switch {
	case errors.As(err, &pathErr):
		return pathErr.Err
	case errors.As(err, &linkErr):
		return linkErr.Err
	}
	return err
}

// A List goes through the names in a directory, some hundreds at a time. It is
// for one goroutine.
type List struct {
	dir *Dir
	f   *os.File // with a position of its own
	buf []byte   // for systems where the names are read without package os
}

// List returns a List at the beginning of the directory. It must be closed.
func (d *Dir) List() (*List, error) {
	f, err := d.self()
	if err != nil {
		return nil, err
	}
	return &List{dir: d, f: f}, nil
}

// Next appends the next entries to dst, in no particular order. At the end, or
// when the directory was removed, it returns dst as it was and io.EOF. Files made
// or removed meanwhile may or may not be among the entries.
func (l *List) Next(dst []Entry) ([]Entry, error) {
	n := len(dst)
	dst, err := l.next(dst)
	switch {
	case err == io.EOF || errors.Is(err, fs.ErrNotExist) || err == nil && len(dst) == n:
		return dst, io.EOF
	case err != nil:
		return dst, l.dir.Error("getdents", unwrapOS(err))
	}
	return dst, nil
}

// NextByInode is Next for callers that change every file. It gathers about most
// entries and sorts them by inode. If the first ones come sorted, upwards or, as
// on tmpfs, downwards, it returns those at once. ext4 lists names by their hashes,
// an order in which neighbouring names have inodes in different blocks. Beside an
// error other than io.EOF it returns the entries gathered before.
func (l *List) NextByInode(dst []Entry, most int) ([]Entry, error) {
	start := len(dst)
	dst, err := l.Next(dst)
	if err != nil || slices.IsSortedFunc(dst[start:], byInode) || slices.IsSortedFunc(dst[start:], byInodeDown) {
		return dst, err
	}
	for err == nil && len(dst)-start < most {
		dst, err = l.Next(dst)
	}
	slices.SortFunc(dst[start:], byInode)
	if err == io.EOF {
		err = nil // the next call returns it
	}
	return dst, err
}

func byInode(a, b Entry) int     { return cmp.Compare(a.Inode, b.Inode) }
func byInodeDown(a, b Entry) int { return byInode(b, a) }

// Close ends the List.
func (l *List) Close() error { return l.dir.Error("close", unwrapOS(l.f.Close())) }

// Entries returns the directory's entries, in no particular order. Files made or
// removed meanwhile may or may not be among them. A removed directory is empty.
func (d *Dir) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		list, err := d.List()
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer list.Close()
		var batch []Entry
		for {
			batch, err = list.Next(batch[:0])
			for _, e := range batch {
				if !yield(e, nil) {
					return
				}
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
		}
	}
}
