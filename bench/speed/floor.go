//go:build unix

package main

import (
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// floor are the system calls without which no session in a file is loaded or
// saved safely, relative to the descriptor of a directory, on copies of a file
// that this project made. Its handler is a handler without sessions.
type floor struct {
	dir     int
	path    string
	image   []byte // of a file
	payload int    // bytes that a save writes
	stat    bool   // load asks for the time of last use
	rename  bool   // save makes a new file and waits for the disk
	names   []string
}

func openFloor(e environment) (library, error)       { return newFloor(e, floor{stat: true}) }
func openFloorNoStat(e environment) (library, error) { return newFloor(e, floor{}) }
func openRenameFloor(e environment) (library, error) { return newFloor(e, floor{rename: true}) }

func newFloor(e environment, f floor) (library, error) {
	image, err := sampleFile(e)
	if err != nil {
		return nil, err
	}
	f.image, f.path = image, filepath.Join(e.dir, "floor")
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return nil, err
	}
	return &f, f.enter(e.values)
}

// enter opens the directory.
func (f *floor) enter(v values) (err error) {
	f.payload = 64 + v.count*(v.length+10)
	f.dir, err = unix.Open(f.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// sampleFile returns the content of a session's file.
func sampleFile(e environment) ([]byte, error) {
	dir := environment{dir: filepath.Join(e.dir, "sample"), values: e.values}
	l, err := openFiles(dir)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir.dir)
	defer l.close()
	if _, err := l.fill(1); err != nil {
		return nil, err
	}
	var image []byte
	err = filepath.WalkDir(dir.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && filepath.Ext(path) == ".sess" {
			image, err = os.ReadFile(path)
		}
		return err
	})
	return image, err
}

// randomName returns a name of this project's form.
func randomName() string {
	var random [32]byte
	rand.Read(random[:])
	return "session_" + hex.EncodeToString(random[:]) + ".sess"
}

func (f *floor) fill(n int) ([]string, error) {
	for len(f.names) < n {
		name := randomName()
		if err := f.create(name, f.image); err != nil {
			return nil, err
		}
		f.names = append(f.names, name)
	}
	return f.names, nil
}

func (f *floor) adopt(handles []string) { f.names = handles }
func (f *floor) hold() holder           { return &floorHolder{floor: f, buf: make([]byte, len(f.image))} }
func (f *floor) cookie(i int) string    { return "session=" + f.names[i] } // as large as the others
func (f *floor) close() error           { return unix.Close(f.dir) }

func (f *floor) handler(bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
}

// create writes a file under a temporary name, and renames it.
func (f *floor) create(name string, content []byte) error {
	fd, err := unix.Openat(f.dir, "temporary", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	if _, err := unix.Pwrite(fd, content, 0); err != nil {
		return err
	}
	if f.rename {
		if err := unix.Fsync(fd); err != nil {
			return err
		}
	}
	if err := unix.Close(fd); err != nil {
		return err
	}
	if err := unix.Renameat(f.dir, "temporary", f.dir, name); err != nil {
		return err
	}
	if f.rename {
		return unix.Fsync(f.dir)
	}
	return nil
}

// update is openat, flock, fstat, pread, pwrite over blocks that exist, perhaps
// unlinkat, and close.
func (f *floor) update(name string, buf []byte, n int, remove bool) error {
	fd, err := unix.Openat(f.dir, name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil && err != unix.EWOULDBLOCK {
		return err
	} else if err != nil {
		if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if _, err := unix.Pread(fd, buf, 0); err != nil {
		return err
	}
	if _, err := unix.Pwrite(fd, buf[512:512+n], 512); err != nil {
		return err
	}
	if remove {
		return unix.Unlinkat(f.dir, name, 0)
	}
	return nil
}

// read is openat, fstat, pread and close.
func (f *floor) read(name string, buf []byte) error {
	fd, err := unix.Openat(f.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if f.stat {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
	}
	_, err = unix.Pread(fd, buf, 0)
	return err
}

type floorHolder struct {
	*floor
	buf   []byte
	held  [longTurn]string // names
	fresh [longTurn]bool
}

func (h *floorHolder) load(slot, i int) error {
	h.held[slot], h.fresh[slot] = h.names[i], false
	return h.floor.read(h.held[slot], h.buf)
}

func (h *floorHolder) read(int) error        { return nil }
func (h *floorHolder) change(int, int) error { return nil }

func (h *floorHolder) save(slot int) error {
	if h.fresh[slot] || h.rename {
		return h.create(h.held[slot], h.image)
	}
	return h.update(h.held[slot], h.buf, h.payload, false)
}

func (h *floorHolder) begin(slot int) error {
	h.held[slot], h.fresh[slot] = randomName(), true
	return nil
}

func (h *floorHolder) end(slot int) error { return h.update(h.held[slot], h.buf, 64, true) }
