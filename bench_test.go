//go:build linux

package sessions_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

// The benchmarks run on each of these file systems: /dev/shm, which is a
// tmpfs, and those of SESSIONS_BENCH_DIRS, as in ext4=/mnt/a,xfs=/mnt/b.
// Without it the second is the temporary directory, wherever that is.
func benchDirs(b *testing.B) map[string]string {
	dirs := map[string]string{"tmpfs": "/dev/shm", "temp": os.TempDir()}
	if env := os.Getenv("SESSIONS_BENCH_DIRS"); env != "" {
		delete(dirs, "temp")
		for pair := range strings.SplitSeq(env, ",") {
			name, dir, _ := strings.Cut(pair, "=")
			dirs[name] = dir
		}
	}
	for name, parent := range dirs {
		dir, err := os.MkdirTemp(parent, "sessions-bench")
		if err != nil {
			b.Logf("not on %s: %v", name, err)
			delete(dirs, name)
			continue
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		dirs[name] = dir
	}
	return dirs
}

// oneKilobyte fills a session with ten values, about 1 KB when encoded.
func oneKilobyte(s *sessions.Session) {
	for i := range 9 {
		s.Set(fmt.Sprintf("key%d", i), strings.Repeat("v", 100))
	}
	s.Set("n", int64(0))
}

// floor are the indispensable system calls, on the descriptor of a directory and
// the file of a session.
type floor struct {
	dir  int
	name string
	buf  [4096]byte
}

func newFloor(b *testing.B, dir string) *floor {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Close(fd) })
	files := names(b, dir)
	if len(files) != 1 {
		b.Fatalf("%d files, want one session's", len(files))
	}
	return &floor{dir: fd, name: files[0]}
}

// read is openat, pread, close.
func (f *floor) read(b *testing.B) {
	fd, err := unix.Openat(f.dir, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := unix.Pread(fd, f.buf[:], 0); err != nil {
		b.Fatal(err)
	}
	unix.Close(fd)
}

// write is openat, flock, fstat, pread, pwrite over existing blocks, close.
func (f *floor) write(b *testing.B) {
	var st unix.Stat_t
	fd, err := unix.Openat(f.dir, f.name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		b.Fatal(err)
	}
	if err := unix.Fstat(fd, &st); err != nil {
		b.Fatal(err)
	}
	if _, err := unix.Pread(fd, f.buf[:], 0); err != nil {
		b.Fatal(err)
	}
	if _, err := unix.Pwrite(fd, f.buf[512:512+1200], 512); err != nil {
		b.Fatal(err)
	}
	unix.Close(fd)
}

func BenchmarkFilesystem(b *testing.B) {
	for name, dir := range benchDirs(b) {
		b.Run(name, func(b *testing.B) { benchmarkFilesystem(b, dir, sessions.FilesystemOptions{}) })
	}
}

func benchmarkFilesystem(b *testing.B, dir string, o sessions.FilesystemOptions) {
	ctx := context.Background()
	o.Path = dir
	store, err := sessions.NewFilesystemSessionStore(o)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	s := store.New()
	oneKilobyte(s)
	if err := store.Save(ctx, s); err != nil {
		b.Fatal(err)
	}
	f := newFloor(b, dir)
	for _, bench := range []struct {
		name           string
		floor, subject func(i int)
	}{
		{"Get", func(int) { f.read(b) }, func(int) {
			if _, err := store.Get(ctx, s.ID()); err != nil {
				b.Fatal(err)
			}
		}},
		{"Save", func(int) { f.write(b) }, func(i int) {
			s.Set("n", int64(i))
			if err := store.Save(ctx, s); err != nil {
				b.Fatal(err)
			}
		}},
		{"GetUseTwoSave", func(int) { f.read(b); f.write(b) }, func(i int) {
			s, err := store.Get(ctx, s.ID())
			if err != nil {
				b.Fatal(err)
			}
			if s.Get("key1") == nil {
				b.Fatal("no value")
			}
			s.Set("n", int64(i))
			if err := store.Save(ctx, s); err != nil {
				b.Fatal(err)
			}
		}},
	} {
		b.Run(bench.name, func(b *testing.B) { besideFloor(b, bench.floor, bench.subject) })
	}
}

// besideFloor measures both in turns, since machines drift, and prints the
// ratio.
func besideFloor(b *testing.B, floor, subject func(i int)) {
	const turn = 32
	var floorTime, subjectTime time.Duration
	n := 0
	for b.Loop() {
		start := time.Now()
		for i := range turn {
			floor(n + i)
		}
		between := time.Now()
		for i := range turn {
			subject(n + i)
		}
		floorTime += between.Sub(start)
		subjectTime += time.Since(between)
		n += turn
	}
	b.ReportMetric(0, "ns/op") // of both together: meaningless
	b.ReportMetric(float64(floorTime)/float64(n), "floor-ns")
	b.ReportMetric(float64(subjectTime)/float64(n), "ns")
	b.ReportMetric(float64(subjectTime)/float64(floorTime), "x-floor")
	b.ReportMetric(testing.AllocsPerRun(1000, func() { subject(n); n++ }), "allocs")
}

// A request that never touches its session, beside the bare handler.
func BenchmarkMiddlewareUntouched(b *testing.B) {
	bare, wrapped := untouched(b)
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	besideFloor(b, func(int) { bare.ServeHTTP(w, r) }, func(int) { wrapped.ServeHTTP(w, r) })
}
