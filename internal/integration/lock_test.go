package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

func deadline(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(background, d)
}

// holder is a process that locks the sessions whose IDs it reads, each until the
// next line.
var holder = program("holder", func() error {
	store, err := openStore(sessions.FilesystemOptions{Path: os.Getenv(dirVariable)})
	if err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		s, err := store.Get(background, in.Text())
		if err != nil || s.New() {
			return fmt.Errorf("Get = %v, %v", s, err)
		}
		err = store.Update(background, s, func(s *sessions.Session) error {
			fmt.Println("held")
			if !in.Scan() {
				return io.ErrUnexpectedEOF
			}
			s.Set("held", true)
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Println("let go")
	}
	return nil
})

// Another process holds the lock. A deadline of 50 ms ends the wait within 100 ms,
// and leaves nothing held and nothing open.
func TestLockWaitEndsWithItsContext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	other := newStore(t, sessions.FilesystemOptions{Path: dir})
	first := store.New()
	first.Set("n", 0)
	if err := store.Save(background, first); err != nil {
		t.Fatal(err)
	}
	p := start(t, holder, dir)
	for name, wait := range waitsFor(store, other) {
		goroutines, files := runtime.NumGoroutine(), openFiles(t)
		fmt.Fprintln(p.In, first.ID())
		p.Line(t) // held
		fastest := time.Hour
		for range 5 { // the machine may be busy with others
			s, err := store.Get(background, first.ID())
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now() // before the deadline is set, or less than 50 ms may be left of it
			ctx, cancel := deadline(50 * time.Millisecond)
			err = waited(t, name, func() error { return wait(ctx, s) })
			fastest = min(fastest, time.Since(begin))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s = %v, want context.DeadlineExceeded", name, err)
			}
		}
		if fastest < 50*time.Millisecond || fastest > 100*time.Millisecond {
			t.Errorf("%s returned after %v, want 50 to 100 ms", name, fastest)
		}
		fmt.Fprintln(p.In)
		p.Line(t) // let go
		eventually(t, name+": goroutines", goroutines, runtime.NumGoroutine)
		eventually(t, name+": descriptors", files+1, func() int { return openFiles(t) }) // the session's file is kept
		s, err := other.Get(background, first.ID())
		if err != nil || s.New() || s.Get("late") != nil {
			t.Fatalf("after %s the session is %v, %v", name, s, err)
		}
		s.Set("n", name)
		ctx, cancel := deadline(10 * time.Second)
		if err := other.Save(ctx, s); err != nil {
			t.Errorf("after %s somebody still has the lock: %v", name, err)
		}
		cancel()
	}
	p.End(t)
}

// Touch does not wait for the lock: its holder is about to restart the idle timeout.
func TestTouchLeavesOutASessionThatAnotherProcessHolds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := store.New()
	s.Set("n", 0)
	if err := store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	p := start(t, holder, dir)
	for _, held := range []bool{true, false} {
		if held {
			fmt.Fprintln(p.In, s.ID())
		} else {
			fmt.Fprintln(p.In)
		}
		p.Line(t)
		err := waited(t, "Touch", func() error {
			touched, err := store.Touch(background, s, 0)
			if touched == held {
				t.Errorf("held: %v; touched: %v", held, touched)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	p.End(t)
}

// waitsFor are the ways to wait for a session's lock.
func waitsFor(store, other *sessions.FilesystemSessionStore) map[string]func(context.Context, *sessions.Session) error {
	return map[string]func(context.Context, *sessions.Session) error{
		"Save":   func(ctx context.Context, s *sessions.Session) error { s.Set("late", 1); return store.Save(ctx, s) },
		"Delete": store.Delete,
		"Update": func(ctx context.Context, s *sessions.Session) error {
			return store.Update(ctx, s, func(*sessions.Session) error { return errors.New("called without the lock") })
		},
		"Save after another in this process": func(ctx context.Context, s *sessions.Session) error {
			s.Set("late", 1)
			before := make(chan error)
			rival, err := other.Get(ctx, s.ID())
			if err != nil {
				return err
			}
			go func() { before <- other.Save(ctx, rival) }()
			err = store.Save(ctx, s)
			<-before
			return err
		},
	}
}

// waited ends the test when the wait does not end.
func waited(t *testing.T, name string, wait func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s still waits after 20 s", name)
		return nil
	}
}

// openFiles counts descriptors, where the system shows them.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// eventually waits until count is at most want: an abandoned wait ends when the
// system returns from it.
func eventually(t *testing.T, what string, want int, count func() int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); count() > want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: %d, before %d", what, count(), want)
		}
	}
}
