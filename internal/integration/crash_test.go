package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

const (
	// shortCrashes is how many processes the short mode kills. With the race
	// detector, under which their starts take most of the time, it is a tenth.
	shortCrashes = 1000
	crashLanes   = 4 // sessions at a time
)

// saver is a process that saves a session for as long as it lives, and reports
// each save that has returned.
var saver = program("saver", func() error {
	store, id, err := storeAndID()
	if err != nil {
		return err
	}
	s, err := store.Get(background, id)
	if err != nil || s.New() {
		return fmt.Errorf("Get = %v, %v", s, err)
	}
	for n := counter.Get(s) + 1; ; n++ {
		counter.Set(s, n)
		s.Set("text", crashText(n))
		if err := store.Save(background, s); err != nil {
			return err
		}
		fmt.Println(n)
		if n%5 == 0 {
			if s, err = store.Get(background, id); err != nil {
				return err
			}
		}
	}
})

// crashText is the nth value: of some hundred bytes, of several pages, and now
// and then too large for the file.
func crashText(n int64) string {
	text := strconv.FormatInt(n, 10) + ","
	r := rand.New(rand.NewPCG(uint64(n), 0))
	size := r.IntN(1200)
	switch n % 7 {
	case 3:
		size *= 8
	case 5:
		size *= 1 + int(n%64)
	}
	return strings.Repeat(text, 1+size/len(text))
}

// Processes are killed at random moments while they save. No session is
// unreadable, none is older than the last acknowledged save, and no lock is stuck.
func TestKillAtAnyMomentLeavesSessionsWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	until, crashes := time.Now().Add(long(t)), int64(shortCrashes)
	if raceDetector {
		crashes /= 10
	}
	var killed, saves, inFlight atomic.Int64
	var lanes sync.WaitGroup
	for range crashLanes {
		lanes.Go(func() {
			var s *sessions.Session
			for i := 0; (killed.Load() < crashes || time.Now().Before(until)) && !t.Failed(); i++ {
				if i%8 == 0 { // a new one, for the saves of a small file
					s = store.New()
					counter.Set(s, 0)
					s.Set("text", crashText(0))
					if err := store.Save(background, s); err != nil {
						t.Error(err)
						return
					}
				}
				first := counter.Get(s)
				last := killASaver(t, dir, s.ID())
				killed.Add(1)
				if s = afterCrash(t, store, s.ID(), last); s == nil {
					return
				}
				saves.Add(max(0, last-first))
				inFlight.Add(counter.Get(s) - 1 - last)
			}
		})
	}
	lanes.Wait()
	temps := pruneLater(t, store, dir)
	t.Logf("%d processes killed, %d saves acknowledged, %d not acknowledged but done, %d unfinished files", killed.Load(), saves.Load(), inFlight.Load(), temps)
}

// killASaver lets a process save for a moment and returns the last save that it
// acknowledged.
func killASaver(t *testing.T, dir, id string) (last int64) {
	t.Helper()
	p := start(t, saver, dir)
	fmt.Fprintln(p.In, id)
	for acknowledged := 0; p.Out.Scan(); acknowledged++ {
		last, _ = strconv.ParseInt(p.Out.Text(), 10, 64)
		if acknowledged == 0 {
			time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { p.Process.Kill() })
		}
	}
	if p.Wait(); p.ProcessState.Exited() {
		t.Errorf("a process ended by itself: %v", p.ProcessState)
	}
	return last
}

// afterCrash checks the session and saves it with the next number: its lock must be
// free.
func afterCrash(t *testing.T, store *sessions.FilesystemSessionStore, id string, last int64) *sessions.Session {
	t.Helper()
	s, err := store.Get(background, id)
	if err != nil || s.New() {
		t.Errorf("after save %d the session is lost: %v, %v", last, s, err)
		return nil
	}
	n := counter.Get(s)
	if n != last && n != last+1 || s.Get("text") != crashText(n) {
		t.Errorf("save %d was acknowledged, save %d is there, whole: %v", last, n, s.Get("text") == crashText(n))
		return nil
	}
	counter.Set(s, n+1)
	s.Set("text", crashText(n+1))
	ctx, cancel := deadline(10 * time.Second)
	defer cancel()
	if err := store.Save(ctx, s); err != nil {
		t.Errorf("a save after save %d: %v", last, err)
		return nil
	}
	return s
}

// pruneLater makes all unfinished files older than an hour, and prunes. It
// returns how many those were.
func pruneLater(t *testing.T, store *sessions.FilesystemSessionStore, dir string) int {
	t.Helper()
	temps := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "tmp-*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	past, found := time.Now().Add(-2*time.Hour), temps()
	for _, name := range found {
		if err := os.Chtimes(name, past, past); err != nil {
			t.Error(err)
		}
	}
	if _, err := store.Prune(background, prune.Options{}); err != nil {
		t.Error(err)
	}
	if left := temps(); len(left) > 0 {
		t.Errorf("after a pruning %d of %d unfinished files are left", len(left), len(found))
	}
	return len(found)
}
