package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

// A deed is the task of a subject, while its system calls fail.
type deed struct {
	Name string // one of deeds
	ID   string // of the session to do it to
	Sync sessions.SyncMode

	// The nth call of that name fails with the error.
	Call  string
	N     int
	Error unix.Errno

	// So does the nth of this name, if there is one.
	AndCall string
	AndN    int

	FileSize uint64 // no file may get larger, or be written behind this, in bytes; zero means no limit
	Again    bool   // the deed before once more, with the same session, and nothing in its way
}

// An answer is the result of a deed.
type answer struct {
	ID     string // of the session afterwards
	Failed bool   // the call was made, and failed
	Err    string
	Ended  bool // Err is sessions.ErrDeleted
	Same   bool // a load returned a stored session with the values that it had
	Leaked int  // descriptors
}

// The deeds change both values of a session from oldValue to newValue.
var oldValue, newValue = strings.Repeat("old", 100), strings.Repeat("new", 100)

// otherValue is one of a session whose file is in use, before or afterwards.
var otherValue = strings.Repeat("oth", 100)

// inUse ends the name of a deed that is done to a session whose file is kept open, for
// writing: the subject has saved it before.
const inUse = " in use"

// base returns the name in deeds, and whether the file is in use.
func (d deed) base() (name string, used bool) { return strings.CutSuffix(d.Name, inUse) }

// deeds are the operations that are tried, on a session s that was loaded before, or
// for "save new" made.
var deeds = map[string]func(*subjectState, *sessions.FilesystemSessionStore, *sessions.Session) error{
	"open": func(st *subjectState, _ *sessions.FilesystemSessionStore, _ *sessions.Session) error {
		store, err := openStore(subjectOptions(st.fresh, st.Sync))
		if err == nil {
			err = store.Close()
		}
		return err
	},
	"load":       load(oldValue),
	"load other": load(otherValue),
	"load removed": func(st *subjectState, store *sessions.FilesystemSessionStore, _ *sessions.Session) error {
		s, err := store.Get(background, store.GenerateKey())
		st.same = err == nil && s.New() && s.Len() == 0
		return err
	},
	"save new":       change(newValue),
	"save removed":   change(newValue),
	"save changed":   change(newValue),
	"save grown":     change(strings.Repeat(newValue, 40)),
	"save shrunk":    change(newValue),
	"save unchanged": save,

	// Of a session that a store of a shorter timeout has made.
	"save lengthened":  change(newValue),
	"touch lengthened": touch,

	"renew": func(st *subjectState, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
		if !st.Again {
			s.Renew()
		}
		return change(newValue)(st, store, s)
	},
	"set timeout": func(st *subjectState, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
		if !st.Again {
			s.SetIdleTimeout(newIdleTimeout)
		}
		return change(newValue)(st, store, s)
	},
	"destroy": func(st *subjectState, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
		if !st.Again {
			s.Destroy()
		}
		return save(st, store, s)
	},
	"delete": func(_ *subjectState, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
		return store.Delete(background, s)
	},
	"touch": touch,
	// For the deeds in use. Each slot of the file is written.
	"use": func(st *subjectState, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
		for _, value := range []string{otherValue, oldValue, otherValue, oldValue} {
			if err := change(value)(st, store, s); err != nil {
				return err
			}
		}
		return nil
	},
	"prune": func(_ *subjectState, store *sessions.FilesystemSessionStore, _ *sessions.Session) error {
		_, err := store.Prune(background, prune.Options{})
		return err
	},
}

func load(value string) func(*subjectState, *sessions.FilesystemSessionStore, *sessions.Session) error {
	return func(st *subjectState, store *sessions.FilesystemSessionStore, _ *sessions.Session) error {
		s, err := store.Get(background, st.ID)
		st.same = err == nil && !s.New() && s.Get("a") == value && s.Get("b") == value
		return err
	}
}

func touch(_ *subjectState, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
	_, err := store.Touch(background, s, 0)
	return err
}

func save(_ *subjectState, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
	return store.Save(background, s)
}

func change(value string) func(*subjectState, *sessions.FilesystemSessionStore, *sessions.Session) error {
	return func(st *subjectState, store *sessions.FilesystemSessionStore, s *sessions.Session) error {
		if !st.Again {
			s.Set("a", value)
			s.Set("b", value)
		}
		return store.Save(background, s)
	}
}

// subjectOptions have a shorter timeout than the sessions, which get an even shorter
// one.
func subjectOptions(dir string, sync sessions.SyncMode) sessions.FilesystemOptions {
	return sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour, Sync: sync}
}

const subjectIdleTimeout, newIdleTimeout = 2 * time.Hour, 45 * time.Minute

// period is the distance of the calls of one name that strace lets fail, counted by
// thread. It is more than twice as many as a deed makes.
const period = 48

type subjectState struct {
	deed
	stores map[sessions.SyncMode]*sessions.FilesystemSessionStore
	s      *sessions.Session
	fresh  string // a directory that is not there yet
	same   bool
}

// subject is a process that does its deeds while its system calls fail. It
// has one thread for all, since strace counts calls by thread.
var subject = program("subject", func() error {
	runtime.LockOSThread()
	runtime.GOMAXPROCS(1) // buffers are used again in one order, and the runtime does not look for processors
	signal.Ignore(unix.SIGXFSZ)
	time.AfterFunc(time.Hour, func() {}).Stop() // the runtime opens two descriptors for the first timer
	st := &subjectState{stores: make(map[sessions.SyncMode]*sessions.FilesystemSessionStore)}
	for _, sync := range []sessions.SyncMode{sessions.SyncNone, sessions.SyncFull} {
		var err error
		if st.stores[sync], err = openStore(subjectOptions(os.Getenv(dirVariable), sync)); err != nil {
			return err
		}
	}
	fmt.Println(os.Getpid())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var d deed
		if err := json.Unmarshal(in.Bytes(), &d); err != nil {
			return err
		}
		a, err := st.do(d)
		if err != nil {
			return err
		}
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", text)
	}
	return nil
})

func (st *subjectState) do(d deed) (answer, error) {
	again := d.Again
	if again {
		d = st.deed
		d.Call, d.AndCall, d.FileSize, d.Again = "", "", 0, true
	}
	st.deed = d
	store := st.stores[d.Sync]
	switch {
	case again:
	case d.Name == "save new", d.Name == "save removed", isLogin(d.Name):
		st.s = store.New()
		st.s.SetIdleTimeout(subjectIdleTimeout)
	case d.ID != "":
		var err error
		if st.s, err = store.Get(background, d.ID); err != nil {
			return answer{}, err
		}
		st.s.Get("a")
	case !isOwnerDeed(d.Name):
		st.fresh = filepath.Join(os.Getenv(dirVariable), "..", "fresh", "store")
	}
	name, _ := d.base()
	dirRemoved := strings.HasSuffix(d.Name, " removed")
	before := descriptors(dirRemoved)
	err := st.under(d, func() error { return deeds[name](st, store, st.s) })
	a := answer{Same: st.same, Ended: errors.Is(err, sessions.ErrDeleted)}
	if st.s != nil {
		a.ID = st.s.ID()
	}
	if err != nil {
		a.Err = err.Error()
	}
	if d.Call != "" {
		a.Failed = failed(callNamed(d.Call), d.Error)
	}
	if dirRemoved {
		a.Leaked = st.leakedWithDir(before, d.Call == "close" && a.Failed)
		return a, nil
	}
	for fd := range descriptors(false) {
		if before[fd] {
			continue
		}
		a.Leaked++
		// A close that fails has closed the file: see close(2). But strace does not
		// make the call at all, which is not a leak of the store's.
		if d.Call == "close" && a.Failed {
			a.Leaked--
			unix.Close(fd)
		}
	}
	return a, nil
}

// leakedWithDir counts descriptors that a deed leaks when the directory was removed.
// All stores then have another descriptor, of the new directory, so it compares the
// numbers of all.
func (st *subjectState) leakedWithDir(before map[int]bool, closeFailed bool) int {
	for _, store := range st.stores {
		for range store.List(background) {
		}
	}
	leaked := len(descriptors(true)) - len(before)
	if closeFailed && leaked > 0 { // strace did not make the call
		leaked--
	}
	return leaked
}

// under runs act with the deed's limit and failing calls.
func (st *subjectState) under(d deed, act func() error) error {
	if d.FileSize > 0 {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		defer unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: d.FileSize, Max: limit.Max}); err != nil {
			return err
		}
	}
	arm(d.Call, d.N, d.Error)
	arm(d.AndCall, d.AndN, d.Error)
	return act()
}

// arm makes the nth call of that name fail that comes after it.
func arm(name string, n int, err error) {
	if name == "" {
		return
	}
	// Until it fails, and then on until it is the nth that is to fail.
	c := callNamed(name)
	for c.probe() != err {
	}
	for range period - n {
		c.probe()
	}
}

// maxCall is the last occurrence of a call that is made to fail.
const maxCall = 10

// failed reports whether a call failed since under armed it: then the next one to
// fail is almost a period away.
func failed(c call, err error) bool {
	left := 1
	for c.probe() != err {
		left++
	}
	return left > maxCall
}

// descriptors are the files that are open, found without opening one. Of each session
// that is there, a store may keep its file open; with dirRemoved, also of those that are
// not.
func descriptors(dirRemoved bool) map[int]bool {
	open, kept := make(map[int]bool), make(map[string]int)
	buf := make([]byte, unix.PathMax)
	for fd := range 256 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			continue
		}
		open[fd] = true
		n, _ := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd), buf)
		file := string(buf[:max(n, 0)])
		if dirRemoved {
			file = strings.TrimSuffix(file, " (deleted)")
		}
		if !strings.HasSuffix(file, ".sess") { // of a removed one it ends with (deleted)
			continue
		}
		// One that was only read is given up for one that is also written.
		if _, ok := kept[file]; !ok || flags&unix.O_ACCMODE == unix.O_RDWR {
			kept[file] = fd
		}
	}
	for _, fd := range kept {
		delete(open, fd)
	}
	return open
}
