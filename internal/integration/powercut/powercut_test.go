//go:build linux

// Package powercut tests a store without power, room or rights, on file systems of
// its own, and compares the remains with the acknowledged saves. A cut is the file
// system's shutdown ioctl: its memory is lost. Losses and reordering by a disk's own
// cache are not part of it.
package powercut

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

// cuts returns the number of cuts for each mode: 100, or SESSIONS_POWERCUTS.
func cuts(t *testing.T) int {
	if env := os.Getenv("SESSIONS_POWERCUTS"); env != "" {
		n, err := strconv.Atoi(env)
		if err != nil || n < 1 {
			t.Fatalf("SESSIONS_POWERCUTS=%q is no number of cuts", env)
		}
		return n
	}
	if testing.Short() {
		return 10
	}
	return 100
}

func TestSyncFullLosesNothingThatWasAcknowledged(t *testing.T) {
	everyMode(t, sessions.SyncFull)
}

func TestSyncNoneNeverMakesAWrongSession(t *testing.T) {
	everyMode(t, sessions.SyncNone)
}

func everyMode(t *testing.T, sync sessions.SyncMode) {
	for _, f := range []fileSystem{ext4, ext4NoAlloc, xfs} {
		for _, how := range []cut{logFlushed, logLost} {
			t.Run(fmt.Sprintf("%s, %v", f.name, how), func(t *testing.T) {
				t.Parallel()
				cutAgainAndAgain(t, newDisk(t, f), how, sync)
			})
		}
	}
}

func cutAgainAndAgain(t *testing.T, d *disk, how cut, sync sessions.SyncMode) {
	var c counts
	for range cuts(t) {
		c.cuts++
		if wrong := cutOnce(t, d, how, sync, &c); len(wrong) > 0 {
			for _, err := range wrong {
				t.Errorf("cut %d: %v", c.cuts, err)
			}
			break
		}
	}
	t.Logf("%v", c)
	if c.acks == 0 || sync == sessions.SyncFull && c.damaged > 0 {
		t.Errorf("got %d acknowledged and %d damaged files", c.acks, c.damaged)
	}
	if sync == sessions.SyncNone && c.earlier+c.missing+c.revived == 0 && c.cuts >= 100 {
		t.Error("the cuts took nothing away: they are none")
	}
}

// cutOnce starts writers in a fresh directory, cuts the power under them and
// compares.
func cutOnce(t *testing.T, d *disk, how cut, sync sessions.SyncMode, c *counts) []error {
	dir := filepath.Join(d.dir, fmt.Sprint("sessions", c.cuts))
	rec := newRecords()
	writers := startWriters(t, dir, rec, sync)
	// The index of owners is whole, and the cut takes away what comes after it. Without
	// SyncFull nothing at all would be on the disk, half a minute before the kernel
	// begins to write.
	for _, owner := range owners {
		for range writers[0].store.ListOwner(background, owner) {
		}
	}
	syncDisk(t, d)
	wrong := runWriters(t, d, how, sync, rec, writers)
	for _, w := range writers {
		c.acks += w.acks
		w.store.Close()
	}
	if err := d.restart(); err != nil {
		t.Fatalf("mounting again: %v", err)
	}
	var log damageLog
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	wrong = append(wrong, compare(store, rec, sync == sessions.SyncFull, c)...)
	c.damaged += log.damaged()
	if sync == sessions.SyncFull {
		wrong = append(wrong, compareOwners(store)...)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	return wrong
}

// startWriters returns two writers for each of two stores, which know nothing of
// each other, like those of two processes.
func startWriters(t *testing.T, dir string, rec *records, sync sessions.SyncMode) (writers []*writer) {
	for range 2 {
		// A failure because the power is gone is no news.
		quiet := slog.New(slog.DiscardHandler)
		store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, Sync: sync, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			writers = append(writers, &writer{number: len(writers), store: store, rec: rec})
		}
	}
	var shared []string
	for range 3 {
		if err := writers[0].make(); err != nil {
			t.Fatal(err)
		}
	}
	shared, writers[0].own = writers[0].own, nil
	for _, w := range writers {
		w.shared = shared
		for range 2 {
			if err := w.make(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return writers
}

func runWriters(t *testing.T, d *disk, how cut, mode sessions.SyncMode, rec *records, writers []*writer) (wrong []error) {
	var wg sync.WaitGroup
	errs := make([]error, len(writers))
	for i, w := range writers {
		wg.Go(func() { errs[i] = w.run() })
	}
	if mode == sessions.SyncNone {
		wg.Go(func() { writeBack(d, &rec.gone) })
	}
	time.Sleep(rand.N(16 * time.Millisecond))
	rec.gone.Store(true)
	if err := d.cutPower(how); err != nil {
		t.Skipf("this kernel's %s cannot be shut down: %v", d.kind, err)
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			wrong = append(wrong, fmt.Errorf("before the cut: %w", err))
		}
	}
	return wrong
}

// syncDisk has everything written that is in memory.
func syncDisk(t *testing.T, d *disk) {
	f, err := os.Open(d.dir)
	if err == nil {
		err = unix.Syncfs(int(f.Fd()))
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// writeBack does the kernel's work of every few seconds, and whenever it needs
// memory: at random moments some page of a file goes to the disk, and now and
// then all of one, with the log.
func writeBack(d *disk, gone *atomic.Bool) {
	for !gone.Load() {
		files, _ := filepath.Glob(filepath.Join(d.dir, "*", "*"))
		for _, name := range files {
			if rand.N(2) == 0 {
				continue
			}
			f, err := os.Open(name)
			if err != nil {
				continue // it was ended, or the power is gone
			}
			if rand.N(200) == 0 {
				f.Sync()
			} else {
				unix.SyncFileRange(int(f.Fd()), 4096*rand.Int64N(4), 4096, unix.SYNC_FILE_RANGE_WRITE)
			}
			f.Close()
		}
		time.Sleep(rand.N(time.Millisecond))
	}
}
