package sessions_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// Three processes get a new key one after the other, first behind the old one, then
// before it, and at last without that. The sessions are used in all of them.
func TestRotationOfKeysThroughThreeProcessesLosesNoSession(t *testing.T) {
	var log safeBuffer
	dir := t.TempDir()
	var processes [3]*sessions.FilesystemSessionStore
	start := func(i int, keys ringSealer) {
		processes[i] = newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour, Sealer: keys, Logger: textLogger(&log)})
	}
	for i := range processes {
		start(i, ringSealer{"old"})
	}
	uses := map[string]func(t *testing.T, store *sessions.FilesystemSessionStore, s *sessions.Session){
		"saved": func(t *testing.T, store *sessions.FilesystemSessionStore, s *sessions.Session) {
			s.Set("n", s.Get("n"))
			save(t, store, s)
		},
		"touched": func(t *testing.T, store *sessions.FilesystemSessionStore, s *sessions.Session) {
			if touched, err := store.Touch(background, s, time.Minute); !touched || err != nil {
				t.Errorf("Touch = %v, %v", touched, err)
			}
		},
		"renewed": func(t *testing.T, store *sessions.FilesystemSessionStore, s *sessions.Session) {
			was := s.ID()
			s.Renew()
			save(t, store, s)
			for _, store := range processes {
				gone(t, store, was)
			}
		},
	}
	ids := make(map[string]string)
	for name := range uses {
		ids[name] = saved(t, processes[0], "n", 1).ID()
	}
	unused := saved(t, processes[0], "n", 1)
	logouts := 0
	for _, keys := range []ringSealer{{"old", "new"}, {"new", "old"}, {"new"}} {
		if len(keys) == 1 {
			age(t, fileOf(t, dir, unused), time.Hour) // one lifetime later
		}
		for i := range processes {
			start(i, keys)
			for j, store := range processes {
				for name, use := range uses {
					s := get(t, store, ids[name])
					if s.New() || s.Get("n") != int64(1) {
						t.Fatalf("%s: lost by process %d when %d got %q", name, j, i, keys)
					}
					age(t, fileOf(t, dir, s), 10*time.Minute)
					use(t, store, s)
					ids[name] = s.ID()
				}
			}
			for _, from := range processes {
				for _, to := range processes {
					owner := fmt.Sprint("owner ", logouts)
					here, there := from.New(), from.New()
					here.Login(owner)
					there.Login(owner)
					save(t, from, here)
					save(t, from, there)
					if n, err := to.DeleteOwner(background, owner, here.PublicID()); n != 1 || err != nil {
						t.Errorf("DeleteOwner = %d, %v", n, err)
					}
					s := get(t, to, here.ID())
					s.Destroy()
					save(t, to, s)
					for _, store := range processes {
						gone(t, store, here.ID())
						gone(t, store, there.ID())
					}
					logouts++
				}
			}
		}
	}
	gone(t, processes[0], unused.ID())
	if log.String() != "" || logouts != 81 {
		t.Errorf("%d logouts, and the log has\n%s", logouts, log.String())
	}
}

// The order of the keys differs for a while: then each use seals anew.
func TestSaveOfEqualValuesUnderTheFirstKeyWritesNothing(t *testing.T) {
	dir := t.TempDir()
	old, current := newSealedStore(t, dir, "old", "new"), newSealedStore(t, dir, "new", "old")
	s := saved(t, old, "user", "ann")
	for i, store := range []*sessions.FilesystemSessionStore{old, current, current, old, old} {
		before := content(t, fileOf(t, dir, s))
		loaded := get(t, store, s.ID())
		loaded.Set("user", "ann")
		save(t, store, loaded)
		if wrote, want := content(t, fileOf(t, dir, s)) != before, i == 1 || i == 3; wrote != want {
			t.Errorf("save %d: wrote %v, want %v", i, wrote, want)
		}
		if got := get(t, current, s.ID()).Get("user"); got != "ann" {
			t.Errorf("save %d: got %v", i, got)
		}
	}
}

// A store whose options have changed since, in other ways as well.
func TestTouchSealsAnewWhateverElseHasChanged(t *testing.T) {
	for _, row := range []struct {
		name   string
		o      sessions.FilesystemOptions
		locked bool   // no file can be made anew at once
		header string // afterwards
	}{
		{"a longer timeout", sessions.FilesystemOptions{IdleTimeout: 2 * time.Hour}, false, " idle-timeout=7200s "},
		{"a longer timeout, while an owner's sessions are ended", sessions.FilesystemOptions{IdleTimeout: 2 * time.Hour}, true, " idle-timeout=3600s "},
		{"a smaller MaxSize", sessions.FilesystemOptions{IdleTimeout: time.Hour, MaxSize: 100}, false, " idle-timeout=3600s "},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			s := saved(t, newSealedStore(t, dir, "old"), "text", strings.Repeat("x", 200))
			file := fileOf(t, dir, s)
			age(t, file, 30*time.Minute)
			row.o.Path, row.o.Sealer = dir, ringSealer{"new", "old"}
			store := newStore(t, row.o)
			loaded := get(t, store, s.ID())
			if row.locked {
				lockFile(t, filepath.Join(dir, ".owners.lock"))
			}
			if touched, err := store.Touch(background, loaded, time.Minute); !touched || err != nil {
				t.Fatalf("Touch = %v, %v", touched, err)
			}
			if get(t, newSealedStore(t, dir, "new"), s.ID()).New() {
				t.Error("the old key cannot go")
			}
			if line := headerLine(t, file); !strings.Contains(line, row.header) {
				t.Errorf("the header is\n%s\nwant%s", line, row.header)
			}
			if idle := time.Since(modTime(t, dir, s)); idle.Abs() > 10*time.Minute {
				t.Errorf("last used %v ago", idle)
			}
		})
	}
}
