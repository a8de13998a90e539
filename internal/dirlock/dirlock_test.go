package dirlock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/dirlock"
	"github.com/sessfs/sessions/internal/processtest"
)

const lockName, turnName = ".test.lock", ".test.turn"

// dirVariable has the directory of a process that streams.
const dirVariable = "DIRLOCK_TEST_DIR"

func TestMain(m *testing.M) { processtest.Main(m, map[string]func() error{"stream": childStream}) }

// childStream streams until its standard input ends.
func childStream() error {
	dir, err := dirfs.Open(os.Getenv(dirVariable))
	if err != nil {
		return err
	}
	end := stream(dirlock.New(dir, lockName, turnName), func(err error) { fmt.Fprintln(os.Stderr, err) })
	fmt.Println("streaming")
	io.Copy(io.Discard, os.Stdin)
	end()
	return nil
}

// open opens the lock of a directory as one process would.
func open(t testing.TB, path string) *dirlock.Lock {
	t.Helper()
	dir, err := dirfs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dirlock.New(dir, lockName, turnName)
}

func share(t testing.TB, l *dirlock.Lock) dirlock.Hold {
	t.Helper()
	h, err := l.Share(soon(t))
	if err != nil {
		t.Fatalf("Share = %v", err)
	}
	return h
}

func exclude(t testing.TB, l *dirlock.Lock) (release func()) {
	t.Helper()
	release, err := l.Exclude(soon(t))
	if err != nil {
		t.Fatalf("Exclude = %v", err)
	}
	return release
}

// soon is a context for calls that must not wait for ever.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// briefly is a context for calls that must wait.
func briefly(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func mustWait(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s = %v, want context.DeadlineExceeded", what, err)
	}
}

// stream shares the lock without a gap, eight goroutines in turn, until end is
// called.
func stream(l *dirlock.Lock, failed func(error)) (end func()) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				h, err := l.Share(context.Background())
				if err != nil {
					failed(err)
					return
				}
				time.Sleep(time.Millisecond)
				h.Release()
			}
		})
	}
	return func() {
		stop.Store(true)
		wg.Wait()
	}
}

func TestShareAndExcludeKeepEachOtherOut(t *testing.T) {
	path := t.TempDir()
	a, b := open(t, path), open(t, path)
	for _, other := range []*dirlock.Lock{a, b} {
		h := share(t, a)
		share(t, other).Release()
		_, err := other.Exclude(briefly(t))
		mustWait(t, "Exclude beside Share", err)
		h.Release()

		release := exclude(t, a)
		_, err = other.Exclude(briefly(t))
		mustWait(t, "Exclude beside Exclude", err)
		_, err = other.Share(briefly(t))
		mustWait(t, "Share beside Exclude", err)
		release()

		exclude(t, other)()
		share(t, other).Release()
	}
}

func TestExcludeIsAloneInAStorm(t *testing.T) {
	path := t.TempDir()
	locks := []*dirlock.Lock{open(t, path), open(t, path), open(t, path)}
	var sharing, alone atomic.Int32
	var wg sync.WaitGroup
	for i := range 12 {
		l := locks[i%len(locks)]
		wg.Go(func() {
			for n := range 100 {
				if (n+i)%10 > 0 {
					h := share(t, l)
					sharing.Add(1)
					if alone.Load() > 0 {
						t.Error("shared, while somebody is alone")
					}
					runtime.Gosched()
					sharing.Add(-1)
					h.Release()
					continue
				}
				release := exclude(t, l)
				if alone.Add(1) > 1 || sharing.Load() > 0 {
					t.Error("not alone")
				}
				runtime.Gosched()
				alone.Add(-1)
				release()
			}
		})
	}
	wg.Wait()
}

func TestExcludeIsNotStarvedByAStreamOfThoseWhoShare(t *testing.T) {
	l := open(t, t.TempDir())
	defer stream(l, func(err error) { t.Error(err) })()
	for range 20 {
		exclude(t, l)()
	}
}

func TestExcludeIsNotStarvedByAStreamInOtherProcesses(t *testing.T) {
	path := t.TempDir()
	for range 2 {
		defer startStream(t, path)()
	}
	l := open(t, path)
	for range 20 {
		exclude(t, l)()
	}
}

// startStream starts a process that streams.
func startStream(t *testing.T, path string) (end func()) {
	t.Helper()
	p := processtest.Start(t, processtest.Command("stream", []string{dirVariable + "=" + path}))
	p.Line(t)
	return func() { p.End(t) }
}

func TestShareIsNotStarvedByAStreamOfExcludes(t *testing.T) {
	l := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				release, err := l.Exclude(ctx)
				if err != nil {
					return
				}
				time.Sleep(time.Millisecond)
				release()
			}
		})
	}
	for range 20 {
		share(t, l).Release()
	}
	cancel()
	wg.Wait()
}

// A process that is stopped while it shares the lock keeps those who wait to be
// alone, and others no longer than those do.
func TestExcludeThatIsGivenUpLetsOthersShare(t *testing.T) {
	path := t.TempDir()
	stopped, l := share(t, open(t, path)), open(t, path)
	_, err := l.Exclude(briefly(t))
	mustWait(t, "Exclude beside Share", err)
	share(t, l).Release()
	share(t, open(t, path)).Release()
	stopped.Release()
	exclude(t, l)()
}

func TestWaitsThatAreGivenUpLeaveTwoGoroutinesAtMost(t *testing.T) {
	path := t.TempDir()
	before := runtime.NumGoroutine()
	release, l := exclude(t, open(t, path)), open(t, path)
	var wg sync.WaitGroup
	for range 50 {
		ctx := briefly(t)
		wg.Go(func() {
			_, err := l.Share(ctx)
			mustWait(t, "Share beside Exclude", err)
			_, err = l.Exclude(ctx)
			mustWait(t, "Exclude beside Exclude", err)
		})
	}
	wg.Wait()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines more than before", runtime.NumGoroutine()-before)
		}
	}
	release()
	share(t, l).Release()
	exclude(t, l)()
}

func TestExcludeOfADeadProcessKeepsNobodyOut(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, lockName), []byte{0}, 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, path)
	share(t, l).Release()
	if info, err := os.Stat(filepath.Join(path, lockName)); err != nil || info.Size() != 0 {
		t.Errorf("%v, %v: the next one looks again", info, err)
	}
	exclude(t, l)()
}

func TestFilesThatWereRemovedAreMadeAgain(t *testing.T) {
	path := t.TempDir()
	a, b := open(t, path), open(t, path)
	remove := func() {
		for _, name := range []string{lockName, turnName} {
			if err := os.Remove(filepath.Join(path, name)); err != nil {
				t.Error(err)
			}
		}
	}
	exclude(t, a)()
	remove()
	release := exclude(t, a)
	_, err := b.Share(briefly(t))
	mustWait(t, "Share beside Exclude", err)
	release()

	// Who waits for the files that are gone goes on to those that are there.
	release = exclude(t, a)
	shared, alone := make(chan dirlock.Hold), make(chan func())
	go func() { shared <- share(t, b) }()
	time.Sleep(20 * time.Millisecond)
	remove()
	release()
	h := <-shared
	_, err = open(t, path).Exclude(briefly(t))
	mustWait(t, "Exclude beside Share", err)

	go func() { alone <- exclude(t, a) }()
	time.Sleep(20 * time.Millisecond)
	remove()
	h.Release()
	release = <-alone
	_, err = open(t, path).Share(briefly(t))
	mustWait(t, "Share beside Exclude", err)
	release()
}

func TestWhatIsNoFileIsAnError(t *testing.T) {
	path := t.TempDir()
	if err := os.Mkdir(filepath.Join(path, lockName), 0o700); err != nil {
		t.Fatal(err)
	}
	l := open(t, path)
	if h, err := l.Share(t.Context()); err == nil {
		h.Release()
		t.Error("Share of a directory: no error")
	}
	if release, err := l.Exclude(t.Context()); err == nil {
		release()
		t.Error("Exclude of a directory: no error")
	}
}

func BenchmarkShare(b *testing.B) {
	l := open(b, b.TempDir())
	for b.Loop() {
		h, err := l.Share(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		h.Release()
	}
}
