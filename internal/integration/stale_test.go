//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

// A board is memory that two processes share: how far the acts on each session are.
type board []byte

const (
	boardSessions = 2
	boardActs     = 1024 // how many acts are remembered
	boardHead     = 3
	boardSize     = boardSessions * 8 * (boardHead + boardActs)
)

func openBoard(dir string) (board, error) {
	f, err := os.OpenFile(filepath.Join(dir, "board"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(boardSize); err != nil {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, boardSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func (b board) cell(session, i int) *atomic.Int64 {
	return (*atomic.Int64)(unsafe.Pointer(&b[(session*(boardHead+boardActs)+i)*8]))
}

// begun and done are the last act on a session that has begun, and that is done.
func (b board) begun(session int) *atomic.Int64 { return b.cell(session, 0) }
func (b board) done(session int) *atomic.Int64  { return b.cell(session, 1) }

// loads is how often the session was loaded.
func (b board) loads(session int) *atomic.Int64 { return b.cell(session, 2) }

// after is the value of a session after an act, zero when there is no session then.
func (b board) after(session int, act int64) *atomic.Int64 {
	return b.cell(session, boardHead+int(act%boardActs))
}

// meddler is a process that does all to session files that processes do, until its
// standard input ends.
var meddler = program("meddler", func() error {
	dir := os.Getenv(dirVariable)
	b, err := openBoard(dir)
	if err != nil {
		return err
	}
	store, err := openStore(sessions.FilesystemOptions{Path: filepath.Join(dir, "sessions")})
	if err != nil {
		return err
	}
	meddlers := make([]*meddling, boardSessions)
	for i := range meddlers {
		var id string
		if _, err := fmt.Scan(&id); err != nil {
			return err
		}
		meddlers[i] = &meddling{store: store, dir: filepath.Join(dir, "sessions"), id: id, session: i, board: b}
	}
	stop := make(chan bool)
	go func() {
		os.Stdin.Read(make([]byte, 1))
		close(stop)
	}()
	for {
		for _, m := range meddlers {
			if err := m.acts(); err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
})

// A meddling is with one session.
type meddling struct {
	store   *sessions.FilesystemSessionStore
	dir, id string
	session int
	board   board
	act     int64
	value   int64
}

// do notes an act, before and after it. The session has the value then. It waits for
// some loads, but no longer than a moment.
func (m *meddling) do(name string, value int64, f func() error) error {
	m.act++
	m.board.after(m.session, m.act).Store(value)
	m.board.begun(m.session).Store(m.act)
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	m.board.done(m.session).Store(m.act)
	loads := m.board.loads(m.session)
	enough := loads.Load() + 6
	for end := time.Now().Add(time.Millisecond); loads.Load() < enough && time.Now().Before(end); {
		runtime.Gosched()
	}
	return nil
}

// acts does each act once.
func (m *meddling) acts() error {
	file := filepath.Join(m.dir, "session_"+m.id+".sess")
	aside, second := file+".aside", file+".second"
	var backup []byte
	steps := []struct {
		name string
		gone bool // afterwards
		do   func() error
	}{
		{"save", false, m.set("")},
		{"move into a larger file", false, m.set(strings.Repeat("x", 6000))},
		{"move into a smaller file", false, m.set("")},
		{"mv away", true, func() error { return os.Rename(file, aside) }},
		{"mv back", false, func() error { return os.Rename(aside, file) }},
		{"backup", false, func() (err error) { backup, err = os.ReadFile(file); return err }},
		{"rm", true, func() error { return os.Remove(file) }},
		{"restore", false, func() error { return place(backup, file) }},
		{"a copy over it", false, func() error { return place(backup, file) }},
		{"ln", false, func() error { return os.Link(file, second) }},
		{"rm of one name of two", true, func() error { return os.Remove(file) }},
		{"mv of the other", false, func() error { return os.Rename(second, file) }},
		{"expiry", true, func() error { return os.Chtimes(file, time.Now(), time.Now().Add(-1000*time.Hour)) }},
		{"prune", true, func() error {
			root, err := os.OpenRoot(m.dir)
			if err != nil {
				return err
			}
			defer root.Close()
			_, err = prune.Run(background, root, prune.Options{})
			return err
		}},
		{"restore", false, func() error { return place(backup, file) }},
		{"delete", true, func() error {
			s, err := m.store.Get(background, m.id)
			if err != nil {
				return err
			}
			return m.store.Delete(background, s)
		}},
		{"restore", false, func() error { return place(backup, file) }},
	}
	m.value++
	for _, step := range steps {
		value := m.value
		if step.gone {
			value = 0
		}
		if err := m.do(step.name, value, step.do); err != nil {
			return err
		}
	}
	return nil
}

// set saves the session's value, and another one that makes it large.
func (m *meddling) set(large string) func() error {
	return func() error {
		s, err := m.store.Get(background, m.id)
		if err != nil {
			return err
		}
		counter.Set(s, m.value)
		s.Set("large", large)
		return m.store.Save(background, s)
	}
}

// place gives a new file of that content the name.
func place(content []byte, file string) error {
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

const (
	staleLoads     = 100_000
	staleLoadsLong = 10_000_000 // where SESSIONS_LONG is set
)

// A load that begins when an act of another process is done shows it, whatever the
// store has kept of the file: ten million loads beside saves, moves into other files,
// rm, mv, ln, restored backups, expiry, the pruner, and ends.
func TestGetIsNeverStaleBesideAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	b, err := openBoard(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	store := newStore(t, sessions.FilesystemOptions{Path: filepath.Join(dir, "sessions")})
	other := start(t, meddler, dir)
	ids := make([]string, boardSessions)
	for i := range ids {
		s := store.New()
		counter.Set(s, 0)
		if err := store.Save(background, s); err != nil {
			t.Fatal(err)
		}
		ids[i] = s.ID()
		fmt.Fprintln(other.In, s.ID())
	}
	loads := int64(staleLoads)
	if long(t) > 0 {
		loads = staleLoadsLong
	}
	var n, stale, seen atomic.Int64
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for i := 0; n.Add(1) <= loads && !t.Failed(); i = (i + 1) % boardSessions {
				from := b.done(i).Load()
				s, err := store.Get(background, ids[i])
				till := b.begun(i).Load()
				b.loads(i).Add(1)
				if err != nil {
					t.Error(err)
					return
				}
				if from == 0 || till-from >= boardActs/2 { // not begun, or not remembered any more
					continue
				}
				seen.Add(1)
				value := counter.Get(s)
				for act := from; act <= till && b.after(i, act).Load() != value; act++ {
					if act == till {
						stale.Add(1)
						t.Errorf("after act %d, before the end of %d: the value is %d", from, till, value)
					}
				}
			}
		})
	}
	running.Wait()
	other.End(t)
	acts := int64(0)
	for i := range ids {
		acts += b.done(i).Load()
	}
	t.Logf("%d loads, of which %d were held against %d acts: %d stale", loads, seen.Load(), acts, stale.Load())
	if acts < 100 {
		t.Error("fewer than 100 acts show nothing")
	}
}
