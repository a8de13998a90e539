//go:build linux

package slotfile_test

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkSave compares the save in place with the usual way, a temporary
// file and rename(2), with the lock and the read that a merging save needs
// either way. On /dev/shm, and on the directories of SESSIONS_BENCH_DIRS, as in
// ext4=/mnt/a,xfs=/mnt/b.
func BenchmarkSave(b *testing.B) {
	payload := strings.Repeat("x", 1000)
	dirs := map[string]string{"tmpfs": "/dev/shm"}
	for pair := range strings.SplitSeq(os.Getenv("SESSIONS_BENCH_DIRS"), ",") {
		if name, dir, ok := strings.Cut(pair, "="); ok {
			dirs[name] = dir
		}
	}
	for name, parent := range dirs {
		for _, sync := range []bool{false, true} {
			name := name
			path, err := os.MkdirTemp(parent, "slotfile-bench")
			if err != nil {
				b.Logf("not on %s: %v", name, err)
				continue
			}
			b.Cleanup(func() { os.RemoveAll(path) })
			if sync {
				name += " sync"
			}
			b.Run(name+"/slots", func(b *testing.B) {
				files := open(b, path)
				files.Sync = sync
				if err := files.Create(ctx, "slots", meta, payload, false); err != nil {
					b.Fatal(err)
				}
				defer remove(files, "slots")
				b.ReportAllocs()
				for b.Loop() {
					if err := write(files, "slots", payload); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"/rename", func(b *testing.B) { benchmarkRename(b, path, payload, sync) })
		}
	}
}

func benchmarkRename(b *testing.B, path, payload string, sync bool) {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(dir)
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	fd, err := unix.Openat(dir, "rename", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	must(err)
	_, err = unix.Pwrite(fd, []byte(payload), 0)
	must(err)
	unix.Close(fd)
	// The lock has a file of its own: the session's changes with every save.
	lock, err := unix.Openat(dir, "rename.lock", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	must(err)
	unix.Close(lock)
	buf, content := make([]byte, 4096), []byte(payload)
	b.ReportAllocs()
	for b.Loop() {
		lock, err := unix.Openat(dir, "rename.lock", unix.O_RDWR|unix.O_CLOEXEC, 0)
		must(err)
		must(unix.Flock(lock, unix.LOCK_EX))
		old, err := unix.Openat(dir, "rename", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		must(err)
		_, err = unix.Pread(old, buf, 0)
		must(err)
		unix.Close(old)
		var random [8]byte
		rand.Read(random[:])
		temp := hex.EncodeToString(random[:])
		fd, err := unix.Openat(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
		must(err)
		_, err = unix.Pwrite(fd, content, 0)
		must(err)
		if sync {
			must(unix.Fsync(fd))
		}
		unix.Close(fd)
		must(unix.Renameat(dir, temp, dir, "rename"))
		if sync {
			must(unix.Fsync(dir))
		}
		unix.Close(lock)
	}
}
