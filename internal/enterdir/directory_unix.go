//go:build darwin || freebsd || linux || netbsd || openbsd

// Package enterdir opens the directories that a command works in, with the rights of their
// owners.
package enterdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Enter opens and checks a directory, makes it the current one and, as root, takes on
// the rights of its owner until restore is called.
func Enter(path string) (restore func() error, err error) {
	fd, err := openDirectory(path)
	if err != nil {
		return nil, whatToDo(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	euid := os.Geteuid()
	switch {
	case st.Mode&0o022 != 0:
		return nil, fmt.Errorf("refused, since others may write to it (mode %04o): chmod go-w it", st.Mode&0o7777)
	case euid != 0 && int64(st.Uid) != int64(euid):
		return nil, fmt.Errorf("refused, since it belongs to the user %d and not to %d, who runs this: run it as that user, or as root", st.Uid, euid)
	}
	if err := unix.Fchdir(fd); err != nil {
		return nil, err
	}
	if euid != 0 || st.Uid == 0 {
		return func() error { return nil }, nil
	}
	restore, err = becomeUser(int(st.Uid), int(st.Gid))
	if err != nil {
		return nil, fmt.Errorf("refused, since root cannot take on the rights of its owner, the user %d (%w): run it as that user", st.Uid, err)
	}
	return restore, nil
}

// openDirectory opens a directory that is no symbolic link itself.
func openDirectory(path string) (int, error) {
	if os.Geteuid() == 0 {
		return openAsRoot(path)
	}
	return unix.Open(path, openFlags, 0)
}

const (
	openFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

	// maxLinks is how many symbolic links a path may lead over, as in Linux.
	maxLinks = 40
)

var (
	errForeignHands = errors.New("a part of its path is in the hands of another user than its owner, who could make it lead anywhere")
	errOpenToAll    = errors.New("may be written to by everybody and has no sticky bit, so that anybody could make the path lead anywhere")
	errLink         = errors.New("it is a symbolic link; name the directory itself")
)

// openAsRoot opens a directory step by step from the root, so that no other user can
// make root work in a directory that is not theirs. All elements behind a directory
// that a user owns must be owned by the same user, who can put anything there. No
// directory on the way may be open to everybody, unless its sticky bit protects the
// others' names. Only root's own symbolic links are followed. (See systemd's
// CVE-2018-6954 for the consequences of less.)
func openAsRoot(path string) (int, error) {
	w := walk{fd: -1, links: maxLinks}
	if err := w.restart(); err != nil {
		return -1, err
	}
	rest := strings.Split(path, "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		target, err := w.step(name, len(rest) == 0)
		if err == nil && strings.HasPrefix(target, "/") {
			err = w.restart()
		}
		if err != nil {
			unix.Close(w.fd)
			return -1, err
		}
		if target != "" {
			rest = append(strings.Split(target, "/"), rest...)
		}
	}
	return w.fd, nil
}

// A walk is the state of following a path.
type walk struct {
	fd    int    // the directory
	owner uint32 // who controls the next element; 0 while only root does
	links int    // the number of symbolic links that may still come
}

// restart goes to the root. The owner stays: they control the way there.
func (w *walk) restart() error {
	fd, err := unix.Open("/", openFlags, 0)
	if err != nil {
		return err
	}
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
	w.fd = fd
	return nil
}

// step goes on to a name, or returns the target of the symbolic link of that name.
// The ".." in a link's target is a step like any other.
func (w *walk) step(name string, last bool) (target string, err error) {
	var st unix.Stat_t
	fd, err := unix.Openat(w.fd, name, openFlags, 0)
	if err == unix.ELOOP || err == unix.ENOTDIR || err == unix.EMLINK {
		// A link, in the words of different systems, or something else.
		if err := unix.Fstatat(w.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return "", err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return "", unix.ENOTDIR
		}
		if w.links--; last || w.links < 0 {
			return "", errLink
		}
		if st.Uid != 0 || w.owner != 0 {
			return "", errForeignHands
		}
		return readlinkat(w.fd, name)
	}
	if err != nil {
		return "", err
	}
	unix.Close(w.fd)
	w.fd = fd
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	if !last && st.Mode&unix.S_IWOTH != 0 && st.Mode&unix.S_ISVTX == 0 {
		return "", fmt.Errorf("the directory %q on its path %w", name, errOpenToAll)
	}
	return "", w.pass(st.Uid)
}

// pass notes the owner of an element, or refuses a second one.
func (w *walk) pass(owner uint32) error {
	if w.owner != 0 && owner != w.owner {
		return errForeignHands
	}
	w.owner = owner
	return nil
}

func readlinkat(fd int, name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Readlinkat(fd, name, buf)
	if err == nil && (n == 0 || n == len(buf)) {
		err = unix.ENAMETOOLONG
	}
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// whatToDo returns an error that names the remedy.
func whatToDo(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("does not exist: check the path, or let the application make it first")
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EMLINK), errors.Is(err, errLink):
		return errors.New("is not a directory, or is a symbolic link: name the directory itself")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("cannot be opened, permission denied: run it as the directory's owner, or as root")
	case errors.Is(err, errForeignHands):
		return fmt.Errorf("refused, since %w: run it as the directory's owner", err)
	case errors.Is(err, errOpenToAll):
		return fmt.Errorf("refused, since %w: chmod o-w or +t it", err)
	}
	return err
}
