//go:build unix

package slotfile_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadOfAnIrregularFileIsErrCorrupt(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, path string) error{
		"fifo":      func(t *testing.T, path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(t *testing.T, path string) error { return os.Mkdir(path, 0o700) },
		"socket": func(t *testing.T, path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
		"dangling link": func(t *testing.T, path string) error { return os.Symlink("nowhere", path) },
		"link to a record": func(t *testing.T, path string) error {
			create(t, open(t, filepath.Dir(path)), "record", "x")
			return os.Symlink("record", path)
		},
		"link to itself": func(t *testing.T, path string) error { return os.Symlink("a", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path, err := os.MkdirTemp("", "irregular") // short enough for a socket
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(path)
			if err := make(t, filepath.Join(path, "a")); err != nil {
				t.Skip(err)
			}
			wantCorrupt(t, open(t, path))
		})
	}
}
