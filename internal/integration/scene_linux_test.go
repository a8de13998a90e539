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
	"github.com/sessfs/sessions/prune"
)

// A scene is a directory in which a victim does one deed at a time, and a store
// that nothing happens to, which sees what came of it.
type scene struct {
	*testing.T
	dir    string
	store  *sessions.FilesystemSessionStore
	victim *process
	pid    int
}

func newScene(t *testing.T, inject ...string) *scene {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sessions")
	s := &scene{T: t, dir: dir, store: newStore(t, victimOptions(dir, sessions.SyncNone))}
	var wrap []string
	if len(inject) > 0 {
		wrap = traced(inject...)
	}
	s.victim = start(t, victim, dir, wrap...)
	var err error
	if s.pid, err = strconv.Atoi(s.victim.line(t)); err != nil {
		t.Fatal(err)
	}
	return s
}

// prepare makes the session that a deed is done to, half an hour ago.
func (s *scene) prepare(d *deed) {
	s.Helper()
	switch d.Name {
	case "open", "save new":
		return
	case "load removed", "save removed":
		// Under the stores that have it open.
		if err := os.RemoveAll(s.dir); err != nil {
			s.Fatal(err)
		}
		return
	}
	store := s.store
	if strings.HasSuffix(d.Name, "lengthened") {
		o := victimOptions(s.dir, sessions.SyncNone)
		o.IdleTimeout /= 2
		var err error
		if store, err = openStore(o); err != nil {
			s.Fatal(err)
		}
		defer store.Close()
	}
	session := store.New()
	session.SetIdleTimeout(victimMaxAge)
	value := oldValue
	if d.Name == "save shrunk" {
		value = strings.Repeat(oldValue, 40)
	}
	for range 2 { // so that both slots are used
		session.Set("a", value)
		session.Set("b", value)
		if err := store.Save(background, session); err != nil {
			s.Fatal(err)
		}
		session.MarkModified()
	}
	d.ID = session.ID()
	past := time.Now().Add(-30 * time.Minute)
	if err := os.Chtimes(s.file(d.ID), past, past); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) file(id string) string { return filepath.Join(s.dir, "session_"+id+".sess") }

// tell has the victim do a deed.
func (s *scene) tell(d deed) (a answer) {
	s.Helper()
	order, err := json.Marshal(d)
	if err != nil {
		s.Fatal(err)
	}
	fmt.Fprintf(s.victim.in, "%s\n", order)
	if err := json.Unmarshal([]byte(s.victim.line(s.T)), &a); err != nil {
		s.Fatal(err)
	}
	return a
}

// try does a deed under a fault and looks at what came of it.
func (s *scene) try(d deed) answer {
	s.Helper()
	s.prepare(&d)
	a := s.tell(d)
	wrong := func(format string, args ...any) {
		s.Helper()
		s.Errorf("%s, sync %d, %s %d: %v, file size %d: %s (the error was %q)",
			d.Name, d.Sync, d.Call, d.N, d.Error, d.FileSize, fmt.Sprintf(format, args...), a.Err)
	}
	state := s.state(d, a)
	switch {
	case a.Err == "" && state != done:
		wrong("no error, and the session is %s", state)
	case a.Err != "" && state != done && state != untouched:
		wrong("the session is %s", state)
	case a.Failed && a.Err == "" && !mayPass(d):
		wrong("no error")
	case a.Err != "" && d.Error == unix.EINTR:
		wrong("EINTR was not tried again")
	case a.Leaked != 0:
		wrong("%d descriptors are left", a.Leaked)
	}
	if d.Call != "unlinkat" {
		for _, name := range s.temps() {
			wrong("the file %s is left", name)
		}
	}
	if a.Err != "" {
		again := s.tell(deed{Again: true})
		// What had happened in spite of the error may be refused, not undone.
		if again.Err != "" && !(again.Ended && state == done) {
			wrong("tried again: %s", again.Err)
		} else if state := s.state(d, again); state != done {
			wrong("tried again, the session is %s", state)
		}
	}
	s.clear()
	return a
}

// mayPass says where a failure does not matter, since what was asked for is
// done all the same.
func mayPass(d deed) bool {
	switch {
	case d.Error == unix.EINTR:
		return true
	case d.Call == "faccessat2":
		return true // asks only for a warning
	case d.Call == "close":
		return d.Name != "open" // of files that were only read, or are written already
	}
	switch d.Name {
	case "load removed", "save removed":
		return d.Call == "fstat" // of which one asks only for a warning
	case "save shrunk", "save lengthened", "touch lengthened":
		// In the file that there is, when another one cannot be made. Once that
		// is there, its name has to come to the disk.
		return d.Call != "fsync"
	case "renew", "destroy", "delete":
		// A tombstone, or the removal of the name, is enough for the end of a
		// session; the other is tidiness, and failing at it is logged.
		return d.Call == "pwrite64" || d.Call == "fdatasync" || d.Call == "fsync" || d.Call == "unlinkat"
	case "touch":
		return d.Call == "newfstatat" // which only finds out that a touch comes too early
	}
	return false
}

const (
	untouched = "what it was"
	done      = "what it should become"
)

// state says what a session is after a deed, by a store that is new to it.
func (s *scene) state(d deed, a answer) string {
	s.Helper()
	store, err := openStore(victimOptions(s.dir, sessions.SyncNone))
	if err != nil {
		s.Fatal(err)
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
		}
		return "new"
	}
	count := 0
	for range store.List(background) {
		count++
	}
	switch d.Name {
	case "set timeout":
		was, is := s.endsAfter(d.ID, victimMaxAge), s.endsAfter(d.ID, newMaxAge)
		return verdictOf(values(d.ID) == "new" && is, values(d.ID), values(d.ID) == "old" && was)
	case "open":
		return s.opened(a)
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
		info, err := os.Stat(s.file(d.ID))
		touched := err == nil && time.Since(info.ModTime()) < 20*time.Minute
		return verdictOf(values(d.ID) == "old" && touched, values(d.ID), values(d.ID) == "old")
	}
	return verdictOf(values(d.ID) == "new", values(d.ID), values(d.ID) == "old")
}

// endsAfter reports whether a session ends when it was idle for so long, for who
// loads it and for a pruner that is told another age.
func (s *scene) endsAfter(id string, timeout time.Duration) bool {
	s.Helper()
	was, err := os.Stat(s.file(id))
	if err != nil {
		return false
	}
	defer os.Chtimes(s.file(id), was.ModTime(), was.ModTime())
	ended := func(idle time.Duration) bool {
		then := time.Now().Add(-idle)
		if err := os.Chtimes(s.file(id), then, then); err != nil {
			s.Fatal(err)
		}
		got, err := s.store.Get(background, id)
		if err != nil {
			s.Fatal(err)
		}
		r, err := s.store.Prune(background, prune.Options{DryRun: true, IdleTimeout: 20 * time.Minute})
		if err != nil || r.Removed == 1 != got.New() {
			s.Errorf("idle for %v, it is loaded: %v; Prune removes %d, %v", idle, !got.New(), r.Removed, err)
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

// opened looks at the directory that a new store was to make.
func (s *scene) opened(a answer) string {
	info, err := os.Stat(filepath.Join(s.dir, "..", "fresh", "store"))
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

// names are the files in the directory, without those that the store has for
// itself.
func (s *scene) names() (names []string) {
	s.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".owners.") {
			names = append(names, e.Name())
		}
	}
	return names
}

// temps are the unfinished files.
func (s *scene) temps() []string {
	s.Helper()
	return slices.DeleteFunc(s.names(), func(name string) bool { return !strings.HasPrefix(name, "tmp-") })
}

// clear leaves the scene as it was at first.
func (s *scene) clear() {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
			s.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "..", "fresh")); err != nil {
		s.Fatal(err)
	}
}
