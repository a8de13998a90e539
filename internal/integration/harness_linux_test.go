package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/processtest"
	"github.com/sessfs/sessions/prune"
)

// A harness is a directory in which a subject does one deed at a time, and a store
// without faults by which the results are checked.
type harness struct {
	*testing.T
	dir     string
	store   *sessions.FilesystemSessionStore
	subject *processtest.Process
	pid     int
}

func newHarness(t *testing.T, inject ...string) *harness {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sessions")
	h := &harness{T: t, dir: dir, store: newStore(t, subjectOptions(dir, sessions.SyncNone))}
	var wrap []string
	if len(inject) > 0 {
		wrap = traced(inject...)
	}
	h.subject = start(t, subject, dir, wrap...)
	var err error
	if h.pid, err = strconv.Atoi(h.subject.Line(t)); err != nil {
		t.Fatal(err)
	}
	return h
}

// prepare makes the session that a deed is done to, half an hour ago.
func (h *harness) prepare(d *deed) {
	h.Helper()
	switch d.Name {
	case "open", "save new":
		return
	case "load removed", "save removed":
		// Under the stores that have it open.
		if err := os.RemoveAll(h.dir); err != nil {
			h.Fatal(err)
		}
		return
	}
	store := h.store
	if strings.HasSuffix(d.Name, "lengthened") {
		o := subjectOptions(h.dir, sessions.SyncNone)
		o.IdleTimeout /= 2
		var err error
		if store, err = openStore(o); err != nil {
			h.Fatal(err)
		}
		defer store.Close()
	}
	session := store.New()
	session.SetIdleTimeout(subjectIdleTimeout)
	value := oldValue
	if d.Name == "save shrunk" {
		value = strings.Repeat(oldValue, 40)
	}
	session.Set("a", value)
	session.Set("b", value)
	if err := store.Save(background, session); err != nil {
		h.Fatal(err)
	}
	d.ID = session.ID()
	if _, used := d.base(); used {
		if a := h.tell(deed{Name: "use", ID: d.ID, Sync: d.Sync}); a.Err != "" || a.Leaked != 0 {
			h.Fatalf("%s: before: %q, %d descriptors are left", d.Name, a.Err, a.Leaked)
		}
	}
	past := time.Now().Add(-30 * time.Minute)
	if err := os.Chtimes(h.file(d.ID), past, past); err != nil {
		h.Fatal(err)
	}
}

func (h *harness) file(id string) string { return filepath.Join(h.dir, "session_"+id+".sess") }

// tell has the subject do a deed, and returns its answer.
func (h *harness) tell(d deed) (a answer) {
	h.Helper()
	order, err := json.Marshal(d)
	if err != nil {
		h.Fatal(err)
	}
	// A subject that waits for a lock for ever is killed.
	defer time.AfterFunc(time.Minute, func() { unix.Kill(h.pid, unix.SIGKILL) }).Stop()
	fmt.Fprintf(h.subject.In, "%s\n", order)
	if err := json.Unmarshal([]byte(h.subject.Line(h.T)), &a); err != nil {
		h.Fatal(err)
	}
	return a
}

// try does a deed under a fault and checks the result.
func (h *harness) try(d deed) answer {
	h.Helper()
	h.prepareAll(&d)
	a := h.tell(d)
	wrong := func(format string, args ...any) {
		h.Helper()
		h.Errorf("%s, sync %d, %s %d: %v, file size %d: %s (the error was %q)",
			d.Name, d.Sync, d.Call, d.N, d.Error, d.FileSize, fmt.Sprintf(format, args...), a.Err)
	}
	state := h.state(d, a)
	switch {
	case a.Err == "" && state != done:
		wrong("no error, and the session is %s", state)
	case a.Err != "" && state != done && state != untouched:
		wrong("the session is %s", state)
	case a.Ended && state == untouched:
		wrong("the session is there, and has ended for the subject")
	case a.Failed && a.Err == "" && !mayPass(d):
		wrong("no error")
	case a.Err != "" && d.Error == unix.EINTR:
		wrong("EINTR was not tried again")
	case a.Leaked != 0:
		wrong("%d descriptors are left", a.Leaked)
	}
	if d.Call != "unlinkat" {
		for _, name := range h.temps() {
			wrong("the file %s is left", name)
		}
	}
	id := a.ID
	if a.Err != "" {
		again := h.tell(deed{Again: true})
		if err := h.checkAgain(d, again, state); err != nil {
			wrong("tried again: %v", err)
		}
		id = again.ID
	}
	if _, used := d.base(); used {
		if err := h.takeTurns(d, id); err != nil {
			wrong("afterwards: %v", err)
		}
	}
	h.clear()
	return a
}

// checkAgain checks the result of a deed that was tried again. before is the session's
// state after the first try.
func (h *harness) checkAgain(d deed, a answer, before string) error {
	h.Helper()
	// A deed that was done in spite of the error may be refused, not undone.
	if a.Err != "" && !(a.Ended && before == done) {
		return errors.New(a.Err)
	}
	if state := h.state(d, a); state != done {
		return fmt.Errorf("the session is %s", state)
	}
	if a.Leaked != 0 && d.Call != "close" { // strace did not make the call
		return fmt.Errorf("%d descriptors are left", a.Leaked)
	}
	return nil
}

// takeTurns has another process save a session whose file the subject has in use, and
// then the subject, after a deed. id is that of the session by now.
func (h *harness) takeTurns(d deed, id string) error {
	h.Helper()
	load := deed{Name: "load other", ID: d.ID, Sync: d.Sync}
	name, _ := d.base()
	if ends := name == "delete" || name == "renew"; ends && h.tell(load).ID == d.ID {
		return errors.New("the subject has a session that has ended")
	}
	if name == "delete" {
		return nil
	}
	ctx, cancel := deadline(5 * time.Second) // a lock may be stuck
	defer cancel()
	s, err := h.store.Get(ctx, id)
	if err == nil {
		s.Set("a", otherValue)
		s.Set("b", otherValue)
		err = h.store.Save(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("another process: %w", err)
	}
	load.ID = id
	if a := h.tell(load); !a.Same {
		return fmt.Errorf("the subject does not load the save of another process (%q)", a.Err)
	}
	if a := h.tell(deed{Name: "save changed", ID: id, Sync: d.Sync}); a.Err != "" {
		return fmt.Errorf("the subject saves: %s", a.Err)
	}
	if s, err = h.store.Get(ctx, id); err != nil || s.Get("a") != newValue || s.Get("b") != newValue {
		return fmt.Errorf("the save of the subject is lost (%v)", err)
	}
	return nil
}

// mayPass reports whether a deed may succeed although its call fails.
func mayPass(d deed) bool {
	name, used := d.base()
	switch {
	case d.Error == unix.EINTR:
		return true
	case used && (d.Call == "newfstatat" || d.Call == "pread64"):
		return true // the file is opened anew
	case used && d.Call == "flock":
		// The file is opened anew, or closed for want of another way to unlock it. The
		// second lock of a deed that makes a file is that of names.
		return d.N != 2 || name != "renew" && name != "save grown"
	case used && d.Call == "fstat":
		return false
	case d.Call == "openat" && (d.Error == unix.EMFILE || d.Error == unix.ENFILE):
		return true // a file that is kept open makes room
	case d.Call == "faccessat2":
		return true // asks only for a warning
	case d.Call == "close":
		return name != "open" // of files that were only read, or are written already
	}
	if d.N == 2 && d.Call == "flock" || d.Call == "fstat" && (d.N == 2 || name == "owner list") {
		return true // the file is not kept open
	}
	switch name {
	case "load", "save changed", "save unchanged", "owner load", "owner save", "owner touch":
		return d.Call == "fstat" && d.N > 1 // nor are others that may have been removed
	case "load removed", "save removed":
		return d.Call == "fstat" // one of them is for a warning only
	case "save shrunk", "save lengthened", "touch lengthened":
		// Into the old file, when no other one can be made. Once there is another
		// one, its name must come to the disk.
		return d.Call != "fsync"
	case "renew", "destroy", "delete", "owner renew", "owner step-up", "owner end":
		// Either a tombstone or the removal of the name ends a session. A failure of
		// the other one is logged.
		return d.Call == "pwrite64" || d.Call == "fdatasync" || d.Call == "fsync" || d.Call == "unlinkat"
	case "touch":
		return d.Call == "newfstatat" || // it only finds that a touch comes too early
			d.Call == "fstat" && d.N > 1
	}
	return false
}

const (
	untouched = "what it was"
	done      = "what it should become"
)

// state returns a session's state after a deed, as a new store finds it.
func (h *harness) state(d deed, a answer) string {
	h.Helper()
	if isOwnerDeed(d.Name) {
		return h.ownersState(d)
	}
	store, err := openStore(subjectOptions(h.dir, sessions.SyncNone))
	if err != nil {
		h.Fatal(err)
	}
	defer store.Close()
	values := func(id string) string {
		got, err := store.Get(background, id)
		a, _ := got.Get("a").(string)
		switch {
		case err != nil:
			return "unreadable: " + err.Error()
		case got.New():
			return "gone"
		case got.Len() != 2 || got.Get("a") != got.Get("b"):
			return "neither whole nor gone"
		case strings.HasPrefix(a, oldValue):
			return "old"
		case strings.HasPrefix(a, newValue):
			return "new"
		}
		return "another one"
	}
	count := 0
	for range store.List(background) {
		count++
	}
	switch name, _ := d.base(); name {
	case "set timeout":
		was, is := h.endsAfter(d.ID, subjectIdleTimeout), h.endsAfter(d.ID, newIdleTimeout)
		return verdictOf(values(d.ID) == "new" && is, values(d.ID), values(d.ID) == "old" && was)
	case "open":
		return h.opened(a)
	case "load":
		return verdictOf(values(d.ID) == "old" && (a.Err != "" || a.Same), "", false)
	case "load removed":
		return verdictOf(count == 0 && (a.Err != "" || a.Same), "", false)
	case "save new", "save removed":
		return verdictOf(values(a.ID) == "new" && count == 1, "", count == 0)
	case "renew":
		found := fmt.Sprintf("%s under the old ID, %s under the last, of %d", values(d.ID), values(a.ID), count)
		// A name that could not be removed is that of a tombstone.
		renewed := a.ID != d.ID && values(d.ID) == "gone" && values(a.ID) == "new" && (count == 1 || d.Call == "unlinkat")
		return verdictOf(renewed, found, values(d.ID) == "old" && (count == 1 || d.Call == "unlinkat"))
	case "destroy", "delete":
		return verdictOf(values(d.ID) == "gone", values(d.ID), values(d.ID) == "old")
	case "save unchanged", "touch", "touch lengthened":
		info, err := os.Stat(h.file(d.ID))
		touched := err == nil && time.Since(info.ModTime()) < 20*time.Minute
		return verdictOf(values(d.ID) == "old" && touched, values(d.ID), values(d.ID) == "old")
	}
	return verdictOf(values(d.ID) == "new", values(d.ID), values(d.ID) == "old")
}

// endsAfter reports whether a session ends when it was idle for the timeout: for Get,
// and for a pruner with another IdleTimeout.
func (h *harness) endsAfter(id string, timeout time.Duration) bool {
	h.Helper()
	was, err := os.Stat(h.file(id))
	if err != nil {
		return false
	}
	defer os.Chtimes(h.file(id), was.ModTime(), was.ModTime())
	ended := func(idle time.Duration) bool {
		then := time.Now().Add(-idle)
		if err := os.Chtimes(h.file(id), then, then); err != nil {
			h.Fatal(err)
		}
		got, err := h.store.Get(background, id)
		if err != nil {
			h.Fatal(err)
		}
		r, err := h.store.Prune(background, prune.Options{DryRun: true, IdleTimeout: 20 * time.Minute})
		if err != nil || r.Removed == 1 != got.New() {
			h.Errorf("idle for %v, it is loaded: %v; Prune removes %d, %v", idle, !got.New(), r.Removed, err)
		}
		return got.New()
	}
	return !ended(timeout-time.Minute) && ended(timeout)
}

func verdictOf(isDone bool, found string, isUntouched bool) string {
	switch {
	case isDone:
		return done
	case isUntouched:
		return untouched
	}
	return "neither what it was nor what it should be: " + found
}

// opened returns the state of the directory that a new store was to make.
func (h *harness) opened(a answer) string {
	info, err := os.Stat(filepath.Join(h.dir, "..", "fresh", "store"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && a.Err != "":
		return untouched
	case err != nil:
		return err.Error()
	case info.Mode().Perm()&0o077 != 0:
		return "open to others"
	}
	return done
}

// names returns the files in the directory, without the store's own.
func (h *harness) names() (names []string) {
	h.Helper()
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".owners") {
			names = append(names, e.Name())
		}
	}
	return names
}

// temps returns the unfinished files.
func (h *harness) temps() []string {
	h.Helper()
	return slices.DeleteFunc(h.names(), func(name string) bool { return !strings.HasPrefix(name, "tmp-") })
}

// clear removes all files.
func (h *harness) clear() {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(h.dir, e.Name())); err != nil {
			h.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(h.dir, "..", "fresh")); err != nil {
		h.Fatal(err)
	}
}
