package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A write that is cut short, which RLIMIT_FSIZE does for real: the system
// writes as far as it may, and refuses the rest.
func TestAShortWriteLeavesTheSessionWhole(t *testing.T) {
	s := newScene(t)
	short := 0
	for _, name := range []string{"save new", "save changed", "save grown", "save shrunk", "renew", "destroy", "delete"} {
		for size := uint64(1); size < 32<<10; size += 1 + size/37 {
			if a := s.try(deed{Name: name, FileSize: size}); a.Err != "" {
				short++
			}
		}
	}
	s.victim.end(t)
	t.Logf("%d deeds were cut short", short)
	if short < 100 {
		t.Error("fewer than 100: the limit does not limit")
	}
}

// A write that was cut short, and goes on: the system takes a part of it, as it
// may, and then the rest. The victim's limit is lifted while strace holds up the
// second write.
func TestAShortWriteIsGoneOnWith(t *testing.T) {
	needStrace(t)
	continued := 0
	for _, name := range []string{"save new", "save changed", "save grown"} {
		for _, size := range []uint64{100, 512, 600, 2000} {
			s := newScene(t)
			d := deed{Name: name}
			s.prepare(&d)
			attach(t, s.pid, "/dev/null", "-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=150000:when=2")
			if s.goOn(d, size) {
				continued++
			}
		}
	}
	t.Logf("%d of 12 writes went on", continued)
	if continued < 4 {
		t.Error("fewer than 4: the limit comes and goes at the wrong time")
	}
}

// goOn does a deed under a limit that is lifted as soon as a part is written,
// and reports whether the deed then succeeded.
func (s *scene) goOn(d deed, size uint64) bool {
	s.Helper()
	before := s.content()
	prlimit(s.T, s.pid, size)
	over, lifted := make(chan bool), make(chan bool)
	go func() {
		defer close(lifted)
		for s.content() == before {
			select {
			case <-over: // nothing could be written at all
				return
			case <-time.After(time.Millisecond):
			}
		}
		prlimit(s.T, s.pid, ^uint64(0))
	}()
	a := s.tell(d)
	close(over)
	<-lifted
	state := s.state(d, a)
	if a.Err == "" && state != done || state != done && state != untouched {
		s.Errorf("%s, cut at %d: the session is %s (the error was %q)", d.Name, size, state, a.Err)
	}
	s.victim.end(s.T)
	return a.Err == ""
}

// content is all that the files hold which have something in them.
func (s *scene) content() string {
	var all strings.Builder
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		text, _ := os.ReadFile(filepath.Join(s.dir, e.Name()))
		all.Write(text)
	}
	return all.String()
}

func prlimit(t *testing.T, pid int, size uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		t.Error(err)
	}
	limit.Cur = min(size, limit.Max)
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Error(err)
	}
}

// Somebody removes the file of a session while a larger one is made for it:
// it does not come back. The victim waits where its unfinished file is there.
func TestAGrowingSaveDoesNotBringBackWhatSomebodyRemoved(t *testing.T) {
	needStrace(t)
	s := newScene(t)
	d := deed{Name: "save grown"}
	s.prepare(&d)
	attach(t, s.pid, "/dev/null", "-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=300000:when=1")
	removed := make(chan error, 1)
	go func() {
		for end := time.Now().Add(10 * time.Second); len(s.temps()) == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		removed <- os.Remove(s.file(d.ID))
	}()
	a := s.tell(d)
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if !a.Ended {
		t.Errorf("got the error %q, want sessions.ErrDeleted", a.Err)
	}
	if files := s.names(); len(files) != 0 {
		t.Errorf("%d files are left, want none", len(files))
	}
	s.victim.end(t)
}
