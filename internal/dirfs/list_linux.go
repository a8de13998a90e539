package dirfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// listBuffer is the size of the buffer for getdents64(2), in bytes: some 600 names
// of sessions. Package os has an eighth of it, and makes two more allocations a
// name; larger buffers bring nothing.
const listBuffer = 64 << 10

// next reads the entries of struct linux_dirent64: 8 bytes inode, 8 bytes
// position, 2 bytes length of the entry, 1 byte type, the name and a NUL.
func (l *List) next(dst []Entry) ([]Entry, error) {
	const nameAt = 19
	if l.buf == nil {
		l.buf = make([]byte, listBuffer)
	}
	for start := len(dst); len(dst) == start; { // again when there were only . and ..
		var n int
		err := retry(func() (err error) {
			n, err = unix.Getdents(int(l.f.Fd()), l.buf)
			return err
		})
		if err != nil || n == 0 {
			return dst, err
		}
		for b := l.buf[:n]; len(b) > nameAt; {
			size := int(binary.NativeEndian.Uint16(b[16:]))
			name, _, _ := bytes.Cut(b[nameAt:size], []byte{0})
			if string(name) != "." && string(name) != ".." {
				entry := Entry{Name: string(name), Inode: binary.NativeEndian.Uint64(b)}
				entry.Type, err = l.typeOf(entry.Name, b[18])
				if err == nil {
					dst = append(dst, entry)
				} else if !errors.Is(err, fs.ErrNotExist) { // which it may be by now
					return dst, err
				}
			}
			b = b[size:]
		}
	}
	return dst, nil
}

func (l *List) typeOf(name string, kind byte) (fs.FileMode, error) {
	switch kind {
	case unix.DT_REG:
		return 0, nil
	case unix.DT_DIR:
		return fs.ModeDir, nil
	case unix.DT_LNK:
		return fs.ModeSymlink, nil
	case unix.DT_UNKNOWN: // some file systems do not say
		info, err := l.dir.Lstat(name)
		return info.Mode.Type(), err
	}
	return fs.ModeIrregular, nil
}
