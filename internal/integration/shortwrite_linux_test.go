package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A write is cut short by RLIMIT_FSIZE: the system writes as far as the limit
// allows, and refuses the rest.
func TestShortWriteLeavesTheSessionWhole(t *testing.T) {
	h := newHarness(t)
	short := 0
	for _, name := range []string{"save new", "save changed", "save grown", "save shrunk", "renew", "destroy", "delete", "save changed in use"} {
		for size := uint64(1); size < 32<<10; size += 1 + size/37 {
			if a := h.try(deed{Name: name, FileSize: size}); a.Err != "" {
				short++
			}
		}
	}
	h.subject.End(t)
	t.Logf("%d deeds were cut short", short)
	if short < 100 {
		t.Error("fewer than 100: the limit does not limit")
	}
}

// A write is cut short and continued: the system takes a part of it, and then the
// rest. The subject's limit is lifted while strace holds up the second write.
func TestShortWriteIsContinued(t *testing.T) {
	needStrace(t)
	continued := 0
	for _, name := range []string{"save new", "save changed", "save grown"} {
		for _, size := range []uint64{100, 512, 600, 2000} {
			h := newHarness(t)
			d := deed{Name: name}
			h.prepare(&d)
			attach(t, h.pid, "/dev/null", "-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=150000:when=2")
			if h.goOn(d, size) {
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
func (h *harness) goOn(d deed, size uint64) bool {
	h.Helper()
	before := h.content()
	prlimit(h.T, h.pid, size)
	over, lifted := make(chan bool), make(chan bool)
	go func() {
		defer close(lifted)
		for h.content() == before {
			select {
			case <-over: // nothing could be written at all
				return
			case <-time.After(time.Millisecond):
			}
		}
		prlimit(h.T, h.pid, ^uint64(0))
	}()
	a := h.tell(d)
	close(over)
	<-lifted
	state := h.state(d, a)
	if a.Err == "" && state != done || state != done && state != untouched {
		h.Errorf("%s, cut at %d: the session is %s (the error was %q)", d.Name, size, state, a.Err)
	}
	h.subject.End(h.T)
	return a.Err == ""
}

// content returns the content of all files.
func (h *harness) content() string {
	var all strings.Builder
	entries, _ := os.ReadDir(h.dir)
	for _, e := range entries {
		text, _ := os.ReadFile(filepath.Join(h.dir, e.Name()))
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

// An operator removes the file of a session while a larger one is made for it: the
// session does not come back. The subject waits while its unfinished file is there.
func TestGrowingSaveDoesNotBringBackARemovedSession(t *testing.T) {
	needStrace(t)
	h := newHarness(t)
	d := deed{Name: "save grown"}
	h.prepare(&d)
	attach(t, h.pid, "/dev/null", "-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=300000:when=1")
	removed := make(chan error, 1)
	go func() {
		for end := time.Now().Add(10 * time.Second); len(h.temps()) == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		removed <- os.Remove(h.file(d.ID))
	}()
	a := h.tell(d)
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if !a.Ended {
		t.Errorf("got the error %q, want sessions.ErrDeleted", a.Err)
	}
	if files := h.names(); len(files) != 0 {
		t.Errorf("%d files are left, want none", len(files))
	}
	h.subject.End(t)
}
