//go:build aix || darwin || dragonfly || freebsd || linux || netbsd || openbsd || solaris

package dirfs

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Dir is an open directory. Its methods may be called by several
// goroutines at once, Close among them.
type Dir struct {
	path string

	// A closed descriptor's number is given to the next open file of the
	// process, so no call may be under way when it is closed.
	mu     sync.RWMutex
	fd     int   // -1 once closed
	closed error // of all operations from then on

	removed atomic.Bool // as Create has found

	// Relieve is called when the process has no descriptor left. It closes files that
	// are not needed, and reports whether there were any. It is set before the
	// directory is used, and may be nil.
	Relieve func() bool
}

// Open opens the directory at path, which must not be a symbolic link.
func Open(path string) (*Dir, error) {
	path = filepath.Clean(path) // "link/" and "link/." would follow the link
	d := &Dir{path: path, fd: -1, closed: fs.ErrClosed}
	err := retry(func() (err error) {
		d.fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, d.Error("open", err)
	}
	return d, nil
}

// FromRoot opens an opened directory once more.
func FromRoot(root *os.Root) (*Dir, error) {
	d := &Dir{path: filepath.Clean(root.Name()), fd: -1, closed: fs.ErrClosed}
	f, err := root.Open(".")
	if err != nil {
		return nil, d.Error("open", unwrapOS(err))
	}
	defer f.Close()
	if d.fd, err = duplicate(f.Fd()); err != nil {
		return nil, d.Error("fcntl", err)
	}
	return d, nil
}

// Root opens the directory by its path, for package os. A path that leads to
// another directory by now is an error. The Root must be closed.
func (d *Dir) Root() (*os.Root, error) {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, d.Error("open", unwrapOS(err))
	}
	if err := d.checkRoot(root); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

func (d *Dir) checkRoot(root *os.Root) error {
	named, err := FromRoot(root)
	if err != nil {
		return err
	}
	defer named.Close()
	a, err := named.Stat()
	if err != nil {
		return err
	}
	b, err := d.Stat()
	if err == nil && (a.Device != b.Device || a.Inode != b.Inode) {
		err = d.Error("open", errMoved)
	}
	return err
}

var errMoved = errors.New("the path leads to another directory by now")

// Close releases the directory. Files opened from it stay usable.
func (d *Dir) Close() error { return d.close(fs.ErrClosed) }

// Abandon releases a directory that was removed. Its operations return
// fs.ErrNotExist, as the system's do in a removed directory.
func (d *Dir) Abandon() error { return d.close(fs.ErrNotExist) }

func (d *Dir) close(closed error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return d.Error("close", d.closed)
	}
	fd := d.fd
	d.fd, d.closed = -1, closed
	return d.Error("close", File{fd: fd}.Close())
}

// at runs call with the directory's descriptor, again while a signal
// interrupts it, and names the directory in its error.
func (d *Dir) at(op string, call func(fd int) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.fd < 0 {
		return d.Error(op, d.closed)
	}
	return d.Error(op, retry(func() error { return call(d.fd) }))
}

// openat opens a name in the directory of the descriptor fd, once more if there was no
// descriptor for it and Relieve has made one free.
func (d *Dir) openat(fd int, name string, flags int, mode uint32) (int, error) {
	opened, err := unix.Openat(fd, name, flags, mode)
	if (err == unix.EMFILE || err == unix.ENFILE) && d.Relieve != nil && d.Relieve() {
		return unix.Openat(fd, name, flags, mode)
	}
	return opened, err
}

// Stat describes the directory itself.
func (d *Dir) Stat() (info Info, err error) {
	err = d.at("fstat", func(fd int) error {
		info, err = File{fd: fd}.Stat()
		return err
	})
	return info, err
}

// OpenRead opens a file for reading.
func (d *Dir) OpenRead(name string) (File, error) { return d.open(name, unix.O_RDONLY, 0) }

// OpenQuietly is OpenRead without an update of the file's access time, where the
// system can do that and the file is the process's own user's. It saves a pruner
// one write of the inode for each file, a sixth of its time.
func (d *Dir) OpenQuietly(name string) (File, error) {
	f, err := d.open(name, unix.O_RDONLY|openQuietly, 0)
	if openQuietly != 0 && errors.Is(err, unix.EPERM) { // another user's
		return d.OpenRead(name)
	}
	return f, err
}

// OpenWrite opens an existing file for reading and writing.
func (d *Dir) OpenWrite(name string) (File, error) { return d.open(name, unix.O_RDWR, 0) }

// Create makes a file that did not exist, with exactly the permission bits of
// mode, whatever the umask.
func (d *Dir) Create(name string, mode fs.FileMode) (File, error) {
	f, err := d.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, uint32(mode.Perm()))
	if errors.Is(err, fs.ErrNotExist) {
		d.removed.Store(true) // nothing else can be missing
	}
	if err != nil {
		return f, err
	}
	if err = d.Error("fchmod", f.Chmod(mode)); err != nil {
		f.Close()
		return noFile, errors.Join(err, d.Remove(name))
	}
	return f, nil
}

func (d *Dir) open(name string, flags int, mode uint32) (File, error) {
	// O_NONBLOCK: opening a FIFO in the place of a file must not wait for its
	// other end. It means nothing to a regular file.
	flags |= unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.fd < 0 {
		return noFile, d.Error("openat", d.closed)
	}
	for { // not by d.at, whose closures would cost the hottest call two allocations
		fd, err := d.openat(d.fd, name, flags, mode)
		switch err {
		case nil:
			return d.file(fd), nil
		case unix.EINTR:
			continue
		case unix.ELOOP, unix.EMLINK, unix.EISDIR, unix.ENXIO, unix.EOPNOTSUPP:
			err = ErrIrregular // the words of different systems for a link, a directory and a socket
		}
		return noFile, d.Error("openat", err)
	}
}

// Mkdir makes a directory in the directory, mode 0700 before the umask.
func (d *Dir) Mkdir(name string) error {
	return d.at("mkdirat", func(fd int) error { return unix.Mkdirat(fd, name, 0o700) })
}

// OpenDir opens a directory in the directory.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	sub := &Dir{path: d.path, fd: -1, closed: fs.ErrClosed, Relieve: d.Relieve}
	err := d.at("openat", func(fd int) (err error) {
		sub.fd, err = d.openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return sub, nil
}

// Rename renames the file old to new, and replaces a file of that name.
func (d *Dir) Rename(old, new string) error {
	return d.at("renameat", func(fd int) error { return unix.Renameat(fd, old, fd, new) })
}

// RenameNew renames the file old to new. If the name is taken, it changes nothing
// and returns fs.ErrExist.
func (d *Dir) RenameNew(old, new string) error {
	return d.at("renameat", func(fd int) error { return d.renameNew(fd, old, new) })
}

// linkNew is RenameNew in two steps, for systems and file systems that cannot
// do it in one.
func (d *Dir) linkNew(fd int, old, new string) error {
	if err := d.link(fd, old, new); err != nil {
		return err
	}
	// Not the caller's to try again: the name new is taken by now.
	err := retry(func() error { return unix.Unlinkat(fd, old, 0) })
	if err == unix.ENOENT {
		return nil // a pruner of unfinished files was faster
	}
	if err != nil {
		retry(func() error { return unix.Unlinkat(fd, new, 0) })
	}
	return err
}

// Remove removes a file. It does not remove directories.
func (d *Dir) Remove(name string) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	err := d.closed
	for d.fd >= 0 { // not by d.at: see open
		if err = unix.Unlinkat(d.fd, name, 0); err != unix.EINTR {
			break
		}
	}
	return d.Error("unlinkat", err)
}

// Lstat describes a file, or the symbolic link that has the name.
func (d *Dir) Lstat(name string) (Info, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var st unix.Stat_t
	err := d.closed
	for d.fd >= 0 { // not by d.at: see open
		if err = unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return Info{}, d.Error("fstatat", err)
	}
	return infoOf(&st), nil
}

// SetModTime sets the modification time of a file, and its access time with it.
func (d *Dir) SetModTime(name string, t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	return d.at("utimensat", func(fd int) error {
		return unix.UtimesNanoAt(fd, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// self opens the directory once more: the position in it belongs to the open
// file, so that each List needs one of its own.
func (d *Dir) self() (f *os.File, err error) {
	err = d.at("openat", func(fd int) error {
		own, err := d.openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			f = os.NewFile(uintptr(own), d.path)
		}
		return err
	})
	return f, err
}

// Sync waits until the directory's names are on the disk. In an abandoned
// directory there is nothing to wait for.
func (d *Dir) Sync() error {
	err := d.at("fsync", unix.Fsync)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

var noFile = File{fd: -1}

// ReadAt reads once from the offset on. Fewer bytes than len(p) are not an error.
// No bytes mean the end of the file.
func (f File) ReadAt(p []byte, offset int64) (int, error) {
	for {
		n, err := unix.Pread(f.fd, p, offset)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
			continue
		case unix.ESPIPE, unix.EISDIR: // a FIFO, a directory
			err = ErrIrregular
		}
		return 0, err
	}
}

// WriteAt writes all of p at the offset, or returns an error.
func (f File) WriteAt(p []byte, offset int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(f.fd, p, offset)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}

// Truncate makes the file so many bytes long.
func (f File) Truncate(size int64) error {
	return retry(func() error { return unix.Ftruncate(f.fd, size) })
}

// Stat describes the file.
func (f File) Stat() (Info, error) {
	var st unix.Stat_t
	for { // not by retry, whose closure would be an allocation
		switch err := unix.Fstat(f.fd, &st); err {
		case nil:
			return infoOf(&st), nil
		case unix.EINTR:
		default:
			return Info{}, err
		}
	}
}

// Chmod sets the file's permission bits.
func (f File) Chmod(mode fs.FileMode) error {
	return retry(func() error { return unix.Fchmod(f.fd, uint32(mode.Perm())) })
}

// SyncData waits until the file's bytes are on the disk.
func (f File) SyncData() error { return retry(func() error { return fdatasync(f.fd) }) }

// Close closes the file and releases its lock.
func (f File) Close() error {
	f.closing()
	// Not again after EINTR: the descriptor is gone on Linux and the BSDs,
	// and its number may be another file's by now. See close(2).
	if err := unix.Close(f.fd); err != unix.EINTR {
		return err
	}
	return nil
}

// retry calls again while a signal interrupts the call: the Go runtime
// installs its handlers with SA_RESTART, other code in the process may not.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func infoOf(st *unix.Stat_t) Info {
	mode := fs.FileMode(st.Mode & 0o777)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	if st.Mode&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return Info{
		Mode:    mode,
		Size:    st.Size,
		ModTime: time.Unix(st.Mtim.Unix()),
		Links:   uint64(st.Nlink),
		UID:     st.Uid,
		Device:  uint64(st.Dev),
		Inode:   uint64(st.Ino),
		Changed: time.Unix(st.Ctim.Unix()),
	}
}

// Spare returns how many files like f the process can keep open without being short of
// descriptors: a quarter of those that it may have, and none when half of them seem to
// be in use. Systems give out the lowest number that is free.
func (f File) Spare() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	most := int(min(uint64(limit.Cur), math.MaxInt32))
	if f.fd >= most/2 {
		return 0
	}
	return most / 4
}
