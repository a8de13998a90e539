package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

// deadly are the deeds that are tried with a kill at each system call.
var deadly = []string{"save new", "save removed", "save changed", "save grown", "save shrunk", "save unchanged", "set timeout", "save lengthened", "touch lengthened", "renew", "destroy", "delete", "prune",
	"save changed in use", "renew in use", "delete in use"}

// A process is killed by strace at each system call of each deed, before the call
// is made. The session is as it was or as it should have become; its lock is free;
// and a pruning an hour later leaves nothing unfinished.
func TestKillAtEverySystemCallLeavesSessionsWhole(t *testing.T) {
	needStrace(t)
	for _, name := range deadly {
		for _, sync := range []sessions.SyncMode{sessions.SyncNone, sessions.SyncFull} {
			if name == "prune" && sync == sessions.SyncFull {
				continue // the same
			}
			t.Run(fmt.Sprint(name, ", sync ", sync), func(t *testing.T) {
				t.Parallel()
				killAtEach(t, name, sync)
			})
		}
	}
}

var callInLog = regexp.MustCompile(`(?m)^(\d+) +([a-z0-9]+)\(`)

// killAtEach kills a process at each system call of a deed.
func killAtEach(t *testing.T, name string, sync sessions.SyncMode) {
	t.Helper()
	made := callsOf(t, deed{Name: name, Sync: sync})
	killed := 0
	for call, times := range made {
		for n := 1; n <= times; n++ {
			if killAt(t, deed{Name: name, Sync: sync, Call: call, N: n}) {
				killed++
			}
		}
	}
	t.Logf("killed at %d of the calls %v", killed, made)
	if killed < 3 {
		t.Error("that is too few")
	}
}

// callsOf counts the system calls of a deed, by name. Of several threads, as in a
// pruning, it takes the one that makes the most.
func callsOf(t *testing.T, d deed) map[string]int {
	t.Helper()
	h := newHarness(t)
	h.prepareAll(&d)
	log := filepath.Join(t.TempDir(), "log")
	detach := attach(t, h.pid, log, "-e", "trace="+callNames())
	h.tell(d)
	detach()
	h.subject.End(t)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	byThread := make(map[[2]string]int)
	made := make(map[string]int)
	for _, m := range callInLog.FindAllSubmatch(text, -1) {
		thread, name := string(m[1]), string(m[2])
		byThread[[2]string{thread, name}]++
		made[name] = max(made[name], byThread[[2]string{thread, name}])
	}
	return made
}

// A load of a file in use asks for the name and reads. A save takes the lock beside, writes
// and unlocks. The deed's own load, which is the same, comes first.
func TestFileInUseIsNotOpenedAgain(t *testing.T) {
	needStrace(t)
	for name, want := range map[string]map[string]int{
		"load":         {"newfstatat": 2, "pread64": 2},
		"save changed": {"newfstatat": 2, "pread64": 2, "flock": 2, "pwrite64": 1},
		"touch":        {"newfstatat": 3, "pread64": 2, "flock": 2, "utimensat": 1}, // once before the lock
		"delete":       {"newfstatat": 2, "pread64": 2, "flock": 2, "pwrite64": 1, "unlinkat": 1, "close": 1},
	} {
		for _, sync := range []sessions.SyncMode{sessions.SyncNone, sessions.SyncFull} {
			want := maps.Clone(want)
			if sync == sessions.SyncFull && name != "load" && name != "touch" {
				want["fdatasync"] = 1
			}
			if got := callsOf(t, deed{Name: name + inUse, Sync: sync}); !maps.Equal(got, want) {
				t.Errorf("%s, sync %d: got %v, want %v", name, sync, got, want)
			}
		}
	}
}

// callNames are all calls, for strace. A pruning also lists the directory.
func callNames() string {
	names := []string{"getdents64"}
	for _, c := range calls {
		names = append(names, "?"+c.name)
	}
	return strings.Join(names, ",")
}

// killAt kills a subject at one call, and reports false when it survived: the
// threads of a pruning share their work as they like.
func killAt(t *testing.T, d deed) bool {
	t.Helper()
	h := newHarness(t)
	h.prepareAll(&d)
	attach(t, h.pid, "/dev/null", "-e", "trace="+d.Call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", d.Call, d.N))
	order := deed{Name: d.Name, ID: d.ID, Sync: d.Sync}
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(h.subject.In, "%s\n", text)
	survived := h.subject.Out.Scan()
	h.subject.In.Close()
	h.subject.Wait()
	if survived && d.Name != "prune" && d.Name != "owner prune" {
		t.Errorf("%s %d: was not killed", d.Call, d.N)
	}
	h.afterDeath(d)
	return !survived
}

// prepareAll makes the sessions of a deed. A pruning finds sessions that have
// ended, one that lives, and an unfinished file.
func (h *harness) prepareAll(d *deed) {
	h.Helper()
	switch {
	case isOwnerDeed(d.Name):
		h.prepareOwners(d)
		return
	case d.Name != "prune":
		h.prepare(d)
		return
	}
	for i := range 4 {
		old := deed{Name: "prune"}
		if h.prepare(&old); i < 3 {
			h.age(h.file(old.ID))
		}
		d.ID = old.ID
	}
	temp := filepath.Join(h.dir, "tmp-0123456789abcdef.__sess_tmp")
	if err := os.WriteFile(temp, []byte("unfinished"), 0o600); err != nil {
		h.Fatal(err)
	}
	h.age(temp)
}

// age makes a file two hours older than everything that goes by then.
func (h *harness) age(name string) {
	h.Helper()
	past := time.Now().Add(-2 * subjectIdleTimeout)
	if err := os.Chtimes(name, past, past); err != nil {
		h.Fatal(err)
	}
}

// afterDeath looks at the remains of a killed process.
func (h *harness) afterDeath(d deed) {
	h.Helper()
	if isOwnerDeed(d.Name) {
		h.ownersAfterDeath(d)
		return
	}
	found := make(map[string]string) // the sessions' values, by ID
	for id, err := range h.store.List(background) {
		got, err2 := h.store.Get(background, id)
		if err != nil || err2 != nil {
			h.Errorf("%s %d: %v %v", d.Call, d.N, err, err2)
			continue
		}
		if got.New() {
			continue // a tombstone that still has its name
		}
		value, _ := got.Get("a").(string)
		if got.Len() != 2 || got.Get("b") != value {
			h.Errorf("%s %d: a session is torn", d.Call, d.N)
		}
		found[id] = value[:min(3, len(value))]
		if timeout := got.IdleTimeout(); d.Name == "set timeout" && (timeout == newIdleTimeout != (value == newValue) || !h.endsAfter(id, timeout)) {
			h.Errorf("%s %d: the session has %q and the timeout %v, and does not end by that", d.Call, d.N, found[id], timeout)
		}
		h.saveAgain(d, got)
	}
	old, others := found[d.ID], slices.Sorted(maps.Values(found))
	name, _ := d.base()
	if !mayBeLeft(name, old, others) {
		h.Errorf("%s %d: %q is left, and in all %q", d.Call, d.N, old, others)
	}
	h.pruneTemps(d)
}

// mayBeLeft reports whether a broken-off deed may leave these values: old is that of
// its session, "" when it is gone, and all are those of all sessions.
func mayBeLeft(name, old string, all []string) bool {
	switch name {
	case "save new", "save removed":
		return len(all) == 0 || slices.Equal(all, []string{"new"})
	case "renew": // the new one is made first, under an ID that is not known yet
		return old == "old" && len(all) <= 2 || old == "" && slices.Equal(all, []string{"new"})
	case "destroy", "delete":
		return old == "old" || len(all) == 0
	case "prune", "save unchanged", "touch lengthened":
		return old == "old"
	}
	return len(all) == 1 && (old == "old" || old == "new")
}

// saveAgain saves the values that a killed process was about to save: no lock may be
// stuck.
func (h *harness) saveAgain(d deed, session *sessions.Session) {
	h.Helper()
	ctx, cancel := deadline(5 * time.Second)
	defer cancel()
	session.Set("a", newValue)
	session.Set("b", newValue)
	if err := h.store.Save(ctx, session); err != nil {
		h.Errorf("%s %d: a save afterwards: %v", d.Call, d.N, err)
		return
	}
	again, err := h.store.Get(background, session.ID())
	if err != nil || again.Get("a") != newValue || again.Get("b") != newValue {
		h.Errorf("%s %d: a save afterwards is lost: %v %v", d.Call, d.N, again, err)
	}
}

// pruneTemps prunes an hour later.
func (h *harness) pruneTemps(d deed) {
	h.Helper()
	for _, name := range h.temps() {
		h.age(filepath.Join(h.dir, name))
	}
	if _, err := h.store.Prune(background, prune.Options{}); err != nil {
		h.Errorf("%s %d: Prune: %v", d.Call, d.N, err)
	}
	if names := h.temps(); len(names) > 0 {
		h.Errorf("%s %d: after a pruning %q are left", d.Call, d.N, names)
	}
	if files := h.names(); d.Name == "prune" && len(files) != 1 {
		h.Errorf("%s %d: after a second pruning %d files are left, want 1", d.Call, d.N, len(files))
	}
}

// Where no system call renames without replacing, a new file gets its name by
// linkat and loses its unfinished one by unlinkat. A process that is killed in
// between leaves both names. Pruning removes the unfinished one, and then the
// session ends like any other.
func TestKillBetweenLinkAndUnlinkLeavesASessionThatPruneEnds(t *testing.T) {
	needStrace(t)
	for _, row := range []struct {
		call    string
		n, left int // sessions
	}{{"linkat", 1, 0}, {"unlinkat", 1, 1}} {
		h := newHarness(t)
		attach(t, h.pid, "/dev/null", "-e", "trace=renameat2,"+row.call, "-e", "inject=renameat2:error=EINVAL",
			"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", row.call, row.n))
		fmt.Fprintln(h.subject.In, `{"Name":"save new"}`)
		if h.subject.Out.Scan() {
			t.Errorf("%s: was not killed", row.call)
		}
		h.subject.In.Close()
		h.subject.Wait()
		temps := h.temps()
		if len(temps) != 1 {
			t.Fatalf("%s: the unfinished files %q are left, want one", row.call, temps)
		}
		prune := func(age time.Duration, names int) {
			t.Helper()
			past := time.Now().Add(-age)
			for _, name := range h.names() {
				if err := os.Chtimes(filepath.Join(h.dir, name), past, past); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // the session may come before its second name
				if _, err := h.store.Prune(background, prune.Options{}); err != nil {
					t.Error(err)
				}
			}
			if got := h.names(); len(got) != names {
				t.Errorf("%s: after %v and a pruning the directory has %q, want %d files", row.call, age, got, names)
			}
		}
		prune(70*time.Minute, row.left)
		for id := range h.store.List(background) {
			got, err := h.store.Get(background, id)
			if err != nil || got.New() || got.Get("a") != newValue {
				t.Errorf("%s: the session is %v, %v", row.call, got, err)
			}
			row.left--
		}
		if row.left != 0 {
			t.Errorf("%s: the session is not listed, or one is that should not be", row.call)
		}
		prune(2*subjectIdleTimeout, 0)
	}
}

// A pruner opens a session's file, and before it has the lock a save moves the
// session into a new one. The locked file then has no name any more, and the name is
// that of a session which was just saved.
func TestPruneLeavesASessionThatMovesBeforeItsLockIsTaken(t *testing.T) {
	needStrace(t)
	for _, linked := range []bool{false, true} {
		h := newHarness(t)
		d := deed{Name: "prune"}
		h.prepare(&d)
		loaded, err := h.store.Get(background, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		h.age(h.file(d.ID))
		// The directory's lock is the first.
		attach(t, h.pid, "/dev/null", "-e", "trace=flock", "-e", "inject=flock:delay_enter=1000000:when=1+")
		answered := make(chan answer, 1)
		go func() { answered <- h.tell(d) }()
		h.waitUntilOpen(h.file(d.ID))
		if linked { // by a backup, so that the old file keeps one name
			if err := os.Link(h.file(d.ID), filepath.Join(h.dir, "..", "backup")); err != nil {
				t.Fatal(err)
			}
		}
		// As if it had been used all the time: expired sessions are not saved.
		now := time.Now()
		if err := os.Chtimes(h.file(d.ID), now, now); err != nil {
			t.Fatal(err)
		}
		loaded.Set("a", strings.Repeat(newValue, 40))
		loaded.Set("b", strings.Repeat(newValue, 40))
		if err := h.store.Save(background, loaded); err != nil {
			t.Fatal(err)
		}
		if linked {
			h.age(filepath.Join(h.dir, "..", "backup"))
		}
		if a := <-answered; a.Err != "" {
			t.Errorf("Prune = %s", a.Err)
		}
		if got, err := h.store.Get(background, d.ID); err != nil || got.New() {
			t.Errorf("with a hard link %v: the session that was just saved is %v, %v", linked, got, err)
		}
		h.subject.End(t)
	}
}

// waitUntilOpen waits until the subject has a file open.
func (h *harness) waitUntilOpen(file string) {
	h.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", h.pid))
		if err != nil {
			h.Fatal(err)
		}
		for _, fd := range fds {
			if target, _ := os.Readlink(fd); target == file {
				return
			}
		}
	}
	h.Fatal("the subject does not open the file")
}
