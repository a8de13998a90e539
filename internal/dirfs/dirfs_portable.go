//go:build !(aix || darwin || dragonfly || freebsd || linux || netbsd || openbsd || solaris)

package dirfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A Dir is an open directory. Its methods may be called by several
// goroutines at once, Close among them.
type Dir struct {
	path string
	root *os.Root

	Relieve func() bool // not called
}

// Open opens the directory at path, which must not be a symbolic link.
func Open(path string) (*Dir, error) {
	path = filepath.Clean(path) // "link/" and "link/." would follow the link
	d := &Dir{path: path}
	fi, err := os.Lstat(path)
	if err != nil {
		return nil, d.wrapOS("lstat", err)
	}
	if !fi.IsDir() {
		return nil, d.Error("open", errors.New("not a directory"))
	}
	d.root, err = os.OpenRoot(path)
	if err != nil {
		return nil, d.wrapOS("open", err)
	}
	return d, nil
}

// FromRoot opens an opened directory once more.
func FromRoot(root *os.Root) (*Dir, error) {
	d := &Dir{path: filepath.Clean(root.Name())}
	own, err := root.OpenRoot(".")
	if err != nil {
		return nil, d.wrapOS("open", err)
	}
	d.root = own
	return d, nil
}

// Root returns the directory, opened once more. The Root must be closed.
func (d *Dir) Root() (*os.Root, error) {
	root, err := d.root.OpenRoot(".")
	if err != nil {
		return nil, d.wrapOS("open", err)
	}
	return root, nil
}

// wrapOS is Error for errors of package os, which carry the name of the file.
func (d *Dir) wrapOS(op string, err error) error { return d.Error(op, unwrapOS(err)) }

// Close releases the directory. Files opened from it stay usable.
func (d *Dir) Close() error { return d.wrapOS("close", d.root.Close()) }

// Stat describes the directory itself.
func (d *Dir) Stat() (Info, error) {
	fi, err := d.root.Stat(".")
	if err != nil {
		return Info{}, d.wrapOS("stat", err)
	}
	return infoOf(fi), nil
}

// Removed reports false: not every system here tells a removed directory.
func (d *Dir) Removed() (bool, error) { return false, nil }

// Abandon is Close.
func (d *Dir) Abandon() error { return d.Close() }

// CheckWritable reports nil: not every system here can be asked.
func (d *Dir) CheckWritable() error { return nil }

// InPrivate reports false: not every system here has permission bits.
func (d *Dir) InPrivate() bool { return false }

// OpenRead opens a file for reading.
func (d *Dir) OpenRead(name string) (File, error) { return d.open(name, os.O_RDONLY, 0) }

// OpenQuietly is OpenRead.
func (d *Dir) OpenQuietly(name string) (File, error) { return d.OpenRead(name) }

// OpenWrite opens an existing file for reading and writing.
func (d *Dir) OpenWrite(name string) (File, error) { return d.open(name, os.O_RDWR, 0) }

// Create makes a file that did not exist.
func (d *Dir) Create(name string, mode fs.FileMode) (File, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode.Perm())
}

func (d *Dir) open(name string, flag int, mode fs.FileMode) (File, error) {
	// Without O_NOFOLLOW, look first. A link that is put there in between
	// still cannot lead out of the directory: os.Root sees to that.
	if flag&os.O_CREATE == 0 {
		fi, err := d.root.Lstat(name)
		if err != nil {
			return File{}, d.wrapOS("lstat", err)
		}
		if !fi.Mode().IsRegular() {
			return File{}, d.Error("open", ErrIrregular)
		}
	}
	f, err := d.root.OpenFile(name, flag, mode)
	if err != nil {
		return File{}, d.wrapOS("open", err)
	}
	return File{f: f, dir: d, name: name}, nil
}

// Mkdir makes a directory in the directory.
func (d *Dir) Mkdir(name string) error { return d.wrapOS("mkdir", d.root.Mkdir(name, 0o700)) }

// OpenDir opens a directory in the directory.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, d.wrapOS("open", err)
	}
	return &Dir{path: d.path, root: root}, nil
}

// Rename renames the file old to new, and replaces a file of that name.
func (d *Dir) Rename(old, new string) error { return d.wrapOS("rename", d.root.Rename(old, new)) }

// RenameNew renames the file old to new. If the name is taken, it changes nothing
// and returns fs.ErrExist.
func (d *Dir) RenameNew(old, new string) error {
	if err := d.root.Link(old, new); err != nil {
		return d.wrapOS("link", err)
	}
	return d.Remove(old)
}

// Remove removes a file.
func (d *Dir) Remove(name string) error { return d.wrapOS("remove", d.root.Remove(name)) }

// Lstat describes a file, or the symbolic link that has the name.
func (d *Dir) Lstat(name string) (Info, error) {
	fi, err := d.root.Lstat(name)
	if err != nil {
		return Info{}, d.wrapOS("lstat", err)
	}
	return infoOf(fi), nil
}

// SetModTime sets the modification time of a file, and its access time with it.
func (d *Dir) SetModTime(name string, t time.Time) error {
	return d.wrapOS("chtimes", d.root.Chtimes(name, t, t))
}

// self opens the directory itself, for a List.
func (d *Dir) self() (*os.File, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, d.wrapOS("open", err)
	}
	return f, nil
}

// Sync does nothing: a directory cannot be flushed here.
func (d *Dir) Sync() error { return nil }

// A File is an open regular file. It must be closed exactly once; no method
// may run beside Close.
type File struct {
	f    *os.File
	dir  *Dir
	name string
}

// ReadAt reads once from the offset on. Fewer bytes than len(p) are not an error.
// No bytes mean the end of the file.
func (f File) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.f.ReadAt(p, offset)
	if err == io.EOF {
		err = nil
	}
	return n, unwrapOS(err)
}

// WriteAt writes all of p at the offset, or returns an error.
func (f File) WriteAt(p []byte, offset int64) error {
	_, err := f.f.WriteAt(p, offset)
	return unwrapOS(err)
}

// Truncate makes the file so many bytes long.
func (f File) Truncate(size int64) error { return unwrapOS(f.f.Truncate(size)) }

// Stat describes the file. Not every system here counts links, so Links depends on
// which file has the name now.
func (f File) Stat() (Info, error) {
	fi, err := f.f.Stat()
	if err != nil {
		return Info{}, unwrapOS(err)
	}
	info := infoOf(fi)
	named, err := f.dir.root.Lstat(f.name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(fi, named):
		info.Links = 0
	case err != nil:
		return Info{}, unwrapOS(err)
	}
	return info, nil
}

// Chmod sets the file's permission bits, as far as the system has them.
func (f File) Chmod(mode fs.FileMode) error { return unwrapOS(f.f.Chmod(mode.Perm())) }

// SyncData waits until the file's bytes are on the disk.
func (f File) SyncData() error { return unwrapOS(f.f.Sync()) }

// Close closes the file and releases its lock.
func (f File) Close() error {
	return errors.Join(f.Unlock(), unwrapOS(f.f.Close()))
}

func infoOf(fi fs.FileInfo) Info {
	return Info{Mode: fi.Mode(), Size: fi.Size(), ModTime: fi.ModTime(), Links: 1}
}

// Spare returns zero: an open file cannot be told from another one here.
func (f File) Spare() int { return 0 }
