package sessions_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// The figures that the project promises: 8 processes of 8 goroutines each,
// which do 200 saves each.
const (
	processes  = 8
	goroutines = 8
	times      = 200
)

// The directory, the ID and the number of a child.
const dirVariable, idVariable, numberVariable = "SESSIONS_TEST_DIR", "SESSIONS_TEST_ID", "SESSIONS_TEST_NUMBER"

func childStore() (*sessions.FilesystemSessionStore, string, error) {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: os.Getenv(dirVariable)})
	return store, os.Getenv(idVariable), err
}

// together runs act in so many goroutines, and returns all their errors.
func together(act func(g int) error) error {
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() { errs[g] = act(g) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func childIncrement() error {
	store, id, err := childStore()
	if err != nil {
		return err
	}
	return together(func(int) error {
		for range times {
			if err := increment(store, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// childSet saves a different key each time, finds the one before where it was
// put, and removes it: a session of 12,800 values would be a test of patience.
func childSet() error {
	store, id, err := childStore()
	if err != nil {
		return err
	}
	return together(func(g int) error {
		for i := range times {
			s, err := store.Get(background, id)
			if err != nil || s.New() {
				return fmt.Errorf("Get = %v, %v", s, err)
			}
			if i > 0 {
				if v, ok := s.Pop(ownKey(os.Getenv(numberVariable), g, i-1)); !ok || v != int64(i-1) {
					return fmt.Errorf("save %d was lost: %v, %v", i-1, v, ok)
				}
			}
			s.Set(ownKey(os.Getenv(numberVariable), g, i), i)
			if err := store.Save(background, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func ownKey(process string, g, i int) string { return fmt.Sprint(process, ".", g, ".", i) }

// childRead reads until it is told to stop: there must always be a whole
// session, and its counter must never go back.
func childRead() error {
	store, id, err := childStore()
	if err != nil {
		return err
	}
	stop := make(chan bool)
	go func() { io.Copy(io.Discard, os.Stdin); close(stop) }()
	last, reads := int64(0), 0
	for ; ; reads++ {
		select {
		case <-stop:
			fmt.Println(reads)
			return nil
		default:
		}
		s, err := store.Get(background, id)
		if err != nil || s.New() || s.Get("whole") != strings.Repeat("x", 500) {
			return fmt.Errorf("read %d: %v, %v", reads, s, err)
		}
		n, ok := counter.Lookup(s)
		if !ok || n < last {
			return fmt.Errorf("read %d: the counter is %d, %v, after %d", reads, n, ok, last)
		}
		last = n
	}
}

// besideReaders runs the child in eight processes, beside two that read.
func besideReaders(t *testing.T, name string) (*sessions.FilesystemSessionStore, string) {
	t.Helper()
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := store.New()
	counter.Set(s, 0)
	s.Set("whole", strings.Repeat("x", 500))
	save(t, store, s)
	env := []string{dirVariable + "=" + dir, idVariable + "=" + s.ID()}

	var readers []func() error
	for range 2 {
		cmd := child("read", env...)
		stop, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var reads strings.Builder
		cmd.Stdout = &reads
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		readers = append(readers, func() error {
			stop.Close()
			err := cmd.Wait()
			t.Logf("a reader: %s reads", strings.TrimSpace(reads.String()))
			return err
		})
	}
	start := time.Now()
	var writers []*exec.Cmd
	for i := range processes {
		cmd := child(name, append(env, numberVariable+"="+strconv.Itoa(i))...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, cmd)
	}
	for _, cmd := range writers {
		if err := cmd.Wait(); err != nil {
			t.Errorf("a writer: %v", err)
		}
	}
	t.Logf("%d saves in %v", processes*goroutines*times, time.Since(start))
	for _, stop := range readers {
		if err := stop(); err != nil {
			t.Errorf("a reader: %v", err)
		}
	}
	return store, s.ID()
}

func TestUpdateCountsTheIncrementsOfEightProcesses(t *testing.T) {
	store, id := besideReaders(t, "increment")
	if got := counter.Get(get(t, store, id)); got != processes*goroutines*times {
		t.Errorf("the counter is %d, want %d", got, processes*goroutines*times)
	}
}

func TestSaveKeepsTheKeysOfEightProcesses(t *testing.T) {
	store, id := besideReaders(t, "set")
	s := get(t, store, id)
	for p := range processes {
		for g := range goroutines {
			if v := s.Get(ownKey(strconv.Itoa(p), g, times-1)); v != int64(times-1) {
				t.Errorf("the last save of goroutine %d of process %d was lost: %v", g, p, v)
			}
		}
	}
	if s.Len() != processes*goroutines+2 {
		t.Errorf("%d values, want the last one of each goroutine and two: a removal was lost", s.Len())
	}
}

// childLogout ends the sessions whose IDs it reads, and answers when it did.
func childLogout() error {
	store, _, err := childStore()
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		s, err := store.Get(background, in.Text())
		if err != nil || s.New() {
			return fmt.Errorf("Get = %v, %v", s, err)
		}
		s.Destroy()
		fmt.Println("loaded")
		if err := store.Save(background, s); err != nil {
			return err
		}
		fmt.Println("ended")
	}
	return in.Err()
}

func TestDestroyInAnotherProcessIsNeverUndone(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	other := startChild(t, "logout", dirVariable+"="+dir)
	refused := 0
	for i := range 1000 {
		s := saved(t, store, "user", "ann")
		slow := get(t, store, s.ID())
		fmt.Fprintln(other.In, s.ID())
		other.Line(t) // both have loaded it
		slow.Set("i", i)
		if i%3 > 0 {
			time.Sleep(time.Duration(rand.IntN(150)) * time.Microsecond)
		}
		err := store.Save(background, slow)
		if err != nil && !errors.Is(err, sessions.ErrDeleted) {
			t.Fatal(err)
		}
		if err != nil {
			refused++
		}
		if got := other.Line(t); got != "ended" {
			t.Fatalf("the other process printed %q", got)
		}
		if slow.Set("later", i); !errors.Is(store.Save(background, slow), sessions.ErrDeleted) {
			t.Fatal("a save after the logout was not refused")
		}
		gone(t, store, s.ID())
	}
	t.Logf("%d of 1000 saves came too late", refused)
	other.End(t)
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("%d files are left", len(got))
	}
}

// childHold holds the session's lock until its standard input ends.
func childHold() error {
	store, id, err := childStore()
	if err != nil {
		return err
	}
	s, err := store.Get(background, id)
	if err != nil {
		return err
	}
	return store.Update(background, s, func(*sessions.Session) error {
		fmt.Println("held")
		io.Copy(io.Discard, os.Stdin)
		return nil
	})
}

// holdElsewhere has another process hold the session's lock until release is
// called.
func holdElsewhere(t *testing.T, dir, id string) (release func()) {
	t.Helper()
	holder := startChild(t, "hold", dirVariable+"="+dir, idVariable+"="+id)
	holder.Line(t)
	return func() { holder.End(t) }
}

func TestSaveWaitsForAnotherProcessAndNoLongerThanItsContext(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := saved(t, store, "n", 0)
	release := holdElsewhere(t, dir, s.ID())
	s.Set("late", true)
	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	if err := store.Save(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Save = %v, want context.DeadlineExceeded", err)
	}
	release()
	save(t, store, s)
	if again := get(t, store, s.ID()); again.Get("late") != true {
		t.Errorf("%v after the wait", values(again))
	}
}

// childDie saves sessions of all sizes for as long as it lives.
func childDie() error {
	store, id, err := childStore()
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		s, err := store.Get(background, id)
		if err != nil || s.New() {
			return fmt.Errorf("Get = %v, %v", s, err)
		}
		value := strings.Repeat("v", rand.IntN(60_000))
		s.Set("a", value)
		s.Set("b", value)
		if i == 0 {
			fmt.Println("saving")
		}
		if err := store.Save(background, s); err != nil {
			return err
		}
	}
}

func TestSaveOfAKilledProcessLeavesTheSessionWhole(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := saved(t, store, "a", "")
	s.Set("b", "")
	save(t, store, s)
	for range 30 {
		cmd := child("die in a save", dirVariable+"="+dir, idVariable+"="+s.ID())
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if !bufio.NewScanner(out).Scan() {
			t.Fatal(cmd.Wait())
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
		again := get(t, store, s.ID())
		if again.New() || again.Get("a") != again.Get("b") || again.Len() != 2 {
			t.Fatalf("%v after a process was killed", again)
		}
		again.MarkModified()
		save(t, store, again)
	}
}
