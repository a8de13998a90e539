//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package integration

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

const (
	stormWorkers    = 4
	stormIncrements = 3000 // of a worker
)

// incrementer is a process that counts in the session whose ID it reads.
var incrementer = program("incrementer", func() error {
	store, id, err := storeAndID()
	if err != nil {
		return err
	}
	errs := make([]error, stormWorkers)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for range stormIncrements {
				s, err := store.Get(background, id)
				if err == nil {
					err = store.Update(background, s, func(s *sessions.Session) error {
						counter.Set(s, counter.Get(s)+1)
						return nil
					})
				}
				if err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
})

// Signals at a high rate interrupt a process that waits for locks and saves, and
// no save notices.
func TestSaveIsNotDisturbedByAStormOfSignals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := store.New()
	counter.Set(s, 0)
	if err := store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	hit, calm := start(t, incrementer, dir), start(t, incrementer, dir)
	fmt.Fprintln(hit.In, s.ID())
	fmt.Fprintln(calm.In, s.ID())
	stop, sent := make(chan bool), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				sent <- n
				return
			default:
			}
			hit.Process.Signal(unix.SIGURG)
			hit.Process.Signal(unix.SIGCHLD)
		}
	}()
	hit.Out.Scan() // ends with the process, which until Wait can be sent signals
	close(stop)
	n := 2 * <-sent
	hit.End(t)
	calm.End(t)
	got, err := store.Get(background, s.ID())
	if want := int64(2 * stormWorkers * stormIncrements); err != nil || counter.Get(got) != want {
		t.Errorf("the counter is %d (%v), want %d", counter.Get(got), err, want)
	}
	t.Logf("%d signals", n)
	if n < 100 {
		t.Error("fewer than 100 signals are no storm")
	}
}
