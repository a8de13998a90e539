//go:build linux

package sessions_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

// benchOwned is how many sessions there are beside those of the owner. With the
// environment variable SESSIONS_BENCH_OWNED it is another number, 1000000 for example.
const benchOwned = 10_000

// BenchmarkOwner lists and ends the five sessions of one owner among many others, five
// of each owner. The floor is the indispensable system calls.
func BenchmarkOwner(b *testing.B) {
	many := benchOwned
	if n, err := strconv.Atoi(os.Getenv("SESSIONS_BENCH_OWNED")); err == nil {
		many = n
	}
	for fs, dir := range benchDirs(b) {
		dir = filepath.Join(dir, "sessions")
		store := newStore(b, sessions.FilesystemOptions{Path: dir})
		for i := range many {
			login(b, store, strconv.Itoa(i/5))
		}
		var own []*sessions.Session
		begin := func() {
			own = own[:0]
			for range 5 {
				own = append(own, login(b, store, "ann"))
			}
		}
		begin()
		tag := tagOf(b, fileOf(b, dir, own[0]))
		listOwner(b, store, "ann") // makes the index whole, if it is not
		b.Run(fs+"/list/floor", func(b *testing.B) {
			fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			must(b, err)
			defer unix.Close(fd)
			var buf [4096]byte
			read := func(name string) {
				f, err := unix.Openat(fd, name, unix.O_RDONLY, 0)
				must(b, err)
				unix.Pread(f, buf[:], 0)
				unix.Close(f)
			}
			for b.Loop() {
				read(".owners/" + tag)
				for _, s := range own {
					read("session_" + s.ID() + ".sess")
				}
			}
		})
		b.Run(fs+"/list", func(b *testing.B) {
			for b.Loop() {
				if got := len(listOwner(b, store, "ann")); got != 5 {
					b.Fatalf("%d sessions", got)
				}
			}
		})
		b.Run(fs+"/end", func(b *testing.B) {
			for b.Loop() {
				if n, err := store.DeleteOwner(background, "ann"); n != 5 || err != nil {
					b.Fatalf("%d, %v", n, err)
				}
				b.StopTimer()
				begin()
				b.StartTimer()
			}
		})
		b.Run(fs+"/login", func(b *testing.B) {
			for b.Loop() {
				s := login(b, store, "carl")
				b.StopTimer()
				must(b, store.Delete(background, s))
				b.StartTimer()
			}
		})
	}
}
