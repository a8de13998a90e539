package main

import (
	"bufio"
	"context"
	"errors"
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

// many returns a number of repetitions: the usual one, or the variable's in the long
// mode.
func many(t *testing.T, variable string, usual int) int {
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || n <= 0 {
		n = usual
	}
	t.Logf("%s=%d", variable, n)
	return n
}

var liveOptions = sessions.FilesystemOptions{IdleTimeout: time.Hour}

// Processes save sessions that are just about to expire while the directory is pruned
// without a pause. A save that returned nil is readable afterwards; one that came too
// late is ErrDeleted. SESSPRUNE_SAVES=1000000 is the long mode.
func TestSesspruneNeverLosesASessionThatWasSaved(t *testing.T) {
	const processes = 3
	saves := many(t, "SESSPRUNE_SAVES", 15000)
	dir := filepath.Join(t.TempDir(), "sessions")
	o := liveOptions
	o.Path = dir
	store, err := sessions.NewFilesystemSessionStore(o)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()

	var running sync.WaitGroup
	var late, kept atomic.Int64
	for range processes {
		cmd := program("saver", dir, strconv.Itoa(saves/processes))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if n, m := 0, 0; scan(lines.Text(), &n, &m) {
					kept.Add(int64(n))
					late.Add(int64(m))
					continue
				}
				t.Error(lines.Text())
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	removed, rounds, busy := 0, 0, 0
	for ; ; rounds++ {
		report, err := store.Prune(context.Background(), prune.Options{})
		if err != nil {
			t.Error(err)
		}
		removed += report.Removed
		busy += report.Busy
		select {
		case <-done:
			t.Logf("%d saves and touches were in time, %d too late; %d prunes removed %d sessions and met %d in use",
				kept.Load(), late.Load(), rounds+1, removed, busy)
			if kept.Load() == 0 || late.Load() == 0 || removed == 0 {
				t.Error("the two hardly met: this has shown nothing")
			}
			return
		default:
		}
	}
}

func scan(line string, n, m *int) bool {
	_, err := fmt.Sscanf(line, "kept %d late %d", n, m)
	return err == nil
}

// saver is one of the processes. All lines that it prints but the last are failures.
func saver() {
	o := liveOptions
	o.Path = os.Args[1]
	saves, err := strconv.Atoi(os.Args[2])
	must(err)
	store, err := sessions.NewFilesystemSessionStore(o)
	must(err)
	const goroutines = 4
	var running sync.WaitGroup
	var kept, late atomic.Int64
	for range goroutines {
		running.Go(func() {
			var s *sessions.Session
			for i := range saves / goroutines {
				if s == nil {
					s = store.New()
					s.Set("n", -1)
					must(store.Save(context.Background(), s))
				}
				ok, err := saveLate(store, o, s, i)
				if err != nil {
					fmt.Println(err)
				}
				if ok {
					kept.Add(1)
				} else {
					late.Add(1)
					s = nil
				}
			}
		})
	}
	running.Wait()
	fmt.Printf("kept %d late %d\n", kept.Load(), late.Load())
}

// saveLate makes the session so old that it is about to expire, or has just expired,
// then saves it or touches it, and checks whether it is there.
func saveLate(store *sessions.FilesystemSessionStore, o sessions.FilesystemOptions, s *sessions.Session, i int) (ok bool, err error) {
	ctx := context.Background()
	file := filepath.Join(o.Path, "session_"+s.ID()+".sess")
	when := time.Now().Add(-o.IdleTimeout + time.Duration(rand.IntN(600)-300)*time.Microsecond)
	if err := os.Chtimes(file, when, when); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	if spin := rand.IntN(3); spin > 0 { // let the pruner have a look first
		for end := time.Now().Add(time.Duration(rand.IntN(100)) * time.Microsecond); time.Now().Before(end); {
		}
	}
	touched := i%4 == 0
	switch {
	case touched:
		var done bool
		if done, err = store.Touch(ctx, s, 0); !done && err == nil {
			return false, nil // the pruner had the lock: nothing was promised
		}
	case i%16 == 1: // out of its slots, into a new file
		s.Set("large", strings.Repeat("x", 1000*rand.IntN(20)))
		s.Set("n", i)
		err = store.Save(ctx, s)
	case i%16 == 2: // a time that is shifted back, or not any more
		s.SetIdleTimeout(time.Duration(rand.IntN(2)) * 10 * time.Minute)
		s.Set("n", i)
		err = store.Save(ctx, s)
	default:
		s.Set("n", i)
		err = store.Save(ctx, s)
	}
	if err != nil && !errors.Is(err, sessions.ErrDeleted) {
		return false, err
	}
	there, getErr := store.Get(ctx, s.ID())
	switch {
	case getErr != nil:
		return false, getErr
	case err != nil && !there.New():
		return false, errors.New("a session is there that was ended")
	case err == nil && there.New():
		return false, fmt.Errorf("LOST: a session that was just saved (touched: %v)", touched)
	case err == nil && !touched && there.Get("n") != int64(i):
		return false, errors.New("LOST: a value that was just saved")
	}
	return err == nil, nil
}
