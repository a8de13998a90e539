package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

const days = 24 * time.Hour

// wantEnded demands that a session, of which id may be the hash, is or is not
// there for everybody who asks: Get and List of a store, the store's own Prune,
// and Prune by strangers who know an age, or no option at all.
func wantEnded(t *testing.T, store *sessions.FilesystemSessionStore, o sessions.FilesystemOptions, s *sessions.Session, want bool) {
	t.Helper()
	if got := get(t, store, s.ID()).New(); got != want {
		t.Errorf("Get: ended %v, want %v", got, want)
	}
	if got := len(list(t, store)) == 0; got != want {
		t.Errorf("List: ended %v, want %v", got, want)
	}
	exact := o.Lifetime > 0 // without, files without marks need not be opened
	for who, act := range map[string]func() (prune.Report, error){
		"Prune": func() (prune.Report, error) {
			return store.Prune(background, prune.Options{DryRun: true, Exact: exact})
		},
		"Prune with a IdleTimeout": func() (prune.Report, error) {
			return store.Prune(background, prune.Options{DryRun: true, Exact: exact, IdleTimeout: time.Minute})
		},
		"Prune by a stranger": func() (prune.Report, error) {
			return pruneFiles(t, o.Path, prune.Options{DryRun: true})
		},
		"Prune by a stranger with a IdleTimeout": func() (prune.Report, error) {
			return pruneFiles(t, o.Path, prune.Options{DryRun: true, IdleTimeout: time.Minute})
		},
	} {
		if r, err := act(); err != nil || r.Removed == 1 != want || r.Sessions != 1 {
			t.Errorf("%s: %d of %d removed, %v; want ended %v", who, r.Removed, r.Sessions, err, want)
		}
	}
}

// A timeout of the session's own holds whatever the store's was when it was set,
// is now, and whatever was done to the session and its file since.
func TestSetIdleTimeoutHoldsWhateverTheStoresTimeoutBecomes(t *testing.T) {
	for name, o := range map[string]sessions.FilesystemOptions{"plain": {}, "sealed": {Sealer: xorSealer{}}} {
		for _, own := range []time.Duration{5 * time.Minute, 20 * days} {
			for _, before := range []time.Duration{0, 14 * days, 30 * days} {
				for _, after := range []time.Duration{0, 14 * days, 30 * days} {
					for _, use := range uses {
						t.Run(fmt.Sprintf("%s/%v/%v to %v/%s", name, own, before, after, use.name), func(t *testing.T) {
							o := o
							o.Path = t.TempDir()
							o.IdleTimeout = before
							first := newStore(t, o)
							s := first.New()
							s.Set("a", 1)
							s.SetIdleTimeout(own)
							save(t, first, s)
							o.IdleTimeout = after
							store := newStore(t, o)
							s = get(t, store, s.ID())
							if err := use.do(store, s, fileOf(t, o.Path, s)); err != nil {
								t.Fatal(err)
							}
							age(t, fileOf(t, o.Path, s), own-time.Minute)
							wantEnded(t, store, o, s, false)
							age(t, fileOf(t, o.Path, s), own)
							wantEnded(t, store, o, s, true)
						})
					}
				}
			}
		}
	}
}

// uses are the possible events of a session between two ages.
var uses = []struct {
	name string
	do   func(store *sessions.FilesystemSessionStore, s *sessions.Session, file string) error
}{
	{"nothing", func(*sessions.FilesystemSessionStore, *sessions.Session, string) error { return nil }},
	{"save", func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string) error {
		s.Set("a", 2)
		return store.Save(background, s)
	}},
	{"save of equal values", func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string) error {
		return store.Save(background, s)
	}},
	{"growing", func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string) error {
		s.Set("large", strings.Repeat("x", 9000))
		return store.Save(background, s)
	}},
	{"growing and shrinking", func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string) error {
		s.Set("large", strings.Repeat("x", 90_000))
		if err := store.Save(background, s); err != nil {
			return err
		}
		s.Delete("large")
		return store.Save(background, s)
	}},
	{"touch", func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string) error {
		_, err := store.Touch(background, s, 0)
		return err
	}},
	{"update", func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string) error {
		return store.Update(background, s, func(s *sessions.Session) error { s.Set("a", 3); return nil })
	}},
	{"renewal", func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string) error {
		s.Renew()
		return store.Save(background, s)
	}},
	{"owner", func(store *sessions.FilesystemSessionStore, s *sessions.Session, _ string) error {
		s.SetOwner("ann")
		return store.Save(background, s)
	}},
	{"copy", func(_ *sessions.FilesystemSessionStore, _ *sessions.Session, file string) error {
		b, err := os.ReadFile(file) // as cp and tar do it, without its modes and attributes
		if err != nil {
			return err
		}
		return errors.Join(os.Remove(file), os.WriteFile(file, b, 0o600))
	}},
}

// A file shows by its size whether its session has a timeout of its own, from
// before it has its name: a pruner opens no other.
func TestSetIdleTimeoutMarksTheFileByItsSize(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour})
	size := func(s *sessions.Session) int64 {
		info, err := os.Stat(fileOf(t, dir, s))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	s := saved(t, store, "a", 1)
	for _, step := range []struct {
		own   time.Duration
		value string
		want  int64
	}{
		{0, "", 4096 - 512}, {time.Minute, "", 4096}, {30 * days, "", 4096}, {30 * days, "larger than 1 KiB", 8192},
		{0, "larger than 1 KiB", 8192 - 512}, {time.Hour, "larger than 1 KiB", 8192}, {-1, "larger than 1 KiB", 8192 - 512},
	} {
		s.SetIdleTimeout(step.own)
		s.Set("value", strings.Repeat(step.value, 100))
		save(t, store, s)
		if got := size(s); got != step.want {
			t.Errorf("%d bytes with a timeout of %v, want %d", got, step.own, step.want)
		}
		if got := get(t, store, s.ID()).IdleTimeout(); got != max(step.own, 0) {
			t.Errorf("the timeout is %v, want %v", got, step.own)
		}
	}
	// One that is not remembered any more goes by the store's timeout again.
	age(t, fileOf(t, dir, s), 61*time.Minute)
	gone(t, store, s.ID())
}

// Two requests, of which one ticks "remember me" and the other only saves or
// touches the session that it had loaded before, in any order.
func TestSetIdleTimeoutIsNotTakenBackByAnotherRequest(t *testing.T) {
	for name, act := range map[string]func(*sessions.FilesystemSessionStore, *sessions.Session) error{
		"save": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			s.Set("b", 1)
			return store.Save(background, s)
		},
		"save of equal values": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			return store.Save(background, s)
		},
		"touch": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
			_, err := store.Touch(background, s, 0)
			return err
		},
	} {
		for _, own := range []time.Duration{time.Minute, 30 * days} {
			dir := t.TempDir()
			o := sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour}
			store := newStore(t, o)
			s := saved(t, store, "a", 1)
			slow := get(t, store, s.ID())
			s.SetIdleTimeout(own)
			save(t, store, s)
			if err := act(store, slow); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			age(t, fileOf(t, dir, s), own-30*time.Second)
			if get(t, store, s.ID()).New() {
				t.Errorf("%s: the session has ended before its own timeout of %v", name, own)
			}
			age(t, fileOf(t, dir, s), own)
			gone(t, store, s.ID())
		}
	}
}

// headerLine is the first line of a session's file.
func headerLine(t *testing.T, path string) string {
	t.Helper()
	line, _, _ := strings.Cut(content(t, path), "\n")
	return line
}

// Two stores of different timeouts on one directory: the file has the longer
// ones, and is not made anew at each turn.
func TestSaveAndTouchLetTheStoresTimeoutsInAFileGrow(t *testing.T) {
	touch := func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
		_, err := store.Touch(background, s, 0)
		return err
	}
	changed := func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
		s.Set("n", time.Now().UnixNano())
		return store.Save(background, s)
	}
	equal := func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
		return store.Save(background, s)
	}
	for use, act := range map[string]func(*sessions.FilesystemSessionStore, *sessions.Session) error{"touch": touch, "save": changed, "save of equal values": equal} {
		for _, test := range []struct {
			short, long sessions.FilesystemOptions
			says        string
		}{
			{sessions.FilesystemOptions{IdleTimeout: 14 * days}, sessions.FilesystemOptions{IdleTimeout: 30 * days}, " idle-timeout=2592000s lifetime=0s "},
			{sessions.FilesystemOptions{IdleTimeout: 14 * days}, sessions.FilesystemOptions{}, " idle-timeout=0s lifetime=0s "},
			{sessions.FilesystemOptions{Lifetime: 30 * days}, sessions.FilesystemOptions{Lifetime: 60 * days, IdleTimeout: days}, " idle-timeout=0s lifetime=5184000s "},
			{sessions.FilesystemOptions{Lifetime: 30 * days, IdleTimeout: days, Sealer: xorSealer{}}, sessions.FilesystemOptions{IdleTimeout: 90 * time.Minute, Sealer: xorSealer{}}, " idle-timeout=86400s lifetime=0s "},
		} {
			dir := t.TempDir()
			test.short.Path, test.long.Path = dir, dir
			short, long := newStore(t, test.short), newStore(t, test.long)
			s := saved(t, short, "a", 1)
			file := fileOf(t, dir, s)
			other := get(t, long, s.ID())
			if err := act(long, other); err != nil {
				t.Fatal(err)
			}
			if line := headerLine(t, file); !strings.Contains(line, test.says) {
				t.Errorf("%s: the file begins with %q, want%s", use, line, test.says)
			}
			made, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := errors.Join(act(short, s), act(long, other)); err != nil {
					t.Fatal(err)
				}
			}
			if now, err := os.Stat(file); err != nil || !os.SameFile(made, now) {
				t.Errorf("%s: the file was made anew, %v", use, err)
			}
			if got := get(t, short, s.ID()); got.New() || got.Get("a") != int64(1) {
				t.Errorf("%s: the session holds %v", use, values(got))
			}
			// A stranger's answer is right for the store that keeps it longer.
			s.Set("large", strings.Repeat("x", 9000))
			if err := short.Save(background, s); err != nil {
				t.Fatal(err)
			}
			if line := headerLine(t, file); !strings.Contains(line, test.says) {
				t.Errorf("%s: the larger file begins with %q, want%s", use, line, test.says)
			}
		}
	}
}

// A renewal makes a session of a new ID, whose file has the timeouts of the store
// that makes it: shorter timeouts come with each login.
func TestRenewWritesTheStoresOwnTimeouts(t *testing.T) {
	dir := t.TempDir()
	s := saved(t, newStore(t, sessions.FilesystemOptions{Path: dir}), "a", 1)
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour})
	s = get(t, store, s.ID())
	s.Renew()
	save(t, store, s)
	if line := headerLine(t, fileOf(t, dir, s)); !strings.Contains(line, " idle-timeout=3600s ") {
		t.Errorf("the file begins with %q", line)
	}
}

func TestTouchRepairsAFileThatIsDatedInTheFuture(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour})
	s := saved(t, store, "a", 1)
	age(t, fileOf(t, dir, s), -1000*days)
	if touched, err := store.Touch(background, s, time.Minute); !touched || err != nil {
		t.Errorf("Touch = %v, %v", touched, err)
	}
	if got := modTime(t, dir, s); time.Since(got).Abs() > time.Minute {
		t.Errorf("the file's time is %v", got)
	}
}

// expired are sessions that have ended since they were loaded, one way or the
// other.
var expired = map[string]struct {
	idleTimeout, lifetime, own time.Duration
	idle                       time.Duration // since the file was last used
	passed                     time.Duration // since the session was made
}{
	"idle":                       {idleTimeout: time.Hour, idle: time.Hour},
	"own timeout, longer":        {idleTimeout: time.Hour, own: days, idle: days},
	"own timeout, shorter":       {idleTimeout: days, own: time.Hour, idle: time.Hour},
	"own timeout alone":          {own: time.Hour, idle: time.Hour},
	"lifetime":                   {lifetime: days, passed: days},
	"lifetime, with own timeout": {lifetime: days, own: 1000 * days, passed: days},
}

// expire saves a session and lets it expire, by the clock of a synctest bubble.
func expire(t *testing.T, dir, name string, o sessions.FilesystemOptions) (*sessions.FilesystemSessionStore, *sessions.Session) {
	t.Helper()
	row := expired[name]
	o.Path, o.IdleTimeout, o.Lifetime = dir, row.idleTimeout, row.lifetime
	store := newStore(t, o)
	s := store.New()
	s.Set("a", 1)
	s.SetIdleTimeout(row.own)
	save(t, store, s)
	time.Sleep(row.passed)
	age(t, fileOf(t, dir, s), row.idle)
	return store, s
}

func TestSaveUpdateAndTouchDoNotReviveWhatHasExpired(t *testing.T) {
	for name := range expired {
		for what, act := range map[string]func(*sessions.FilesystemSessionStore, *sessions.Session) error{
			"Save": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				s.Set("a", 2)
				return store.Save(background, s)
			},
			"Save of equal values": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				return store.Save(background, s)
			},
			"Save of a renewed session": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				s.Renew()
				return store.Save(background, s)
			},
			"Save with a longer timeout": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				s.SetIdleTimeout(10_000 * days)
				return store.Save(background, s)
			},
			"Save of a cleared session": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				s.Clear()
				s.Set("b", 1)
				return store.Save(background, s)
			},
			"Update": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				return store.Update(background, s, func(*sessions.Session) error {
					t.Error("Update called its function")
					return nil
				})
			},
			"Touch": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				_, err := store.Touch(background, s, 0)
				return err
			},
			"Touch with a long interval": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				_, err := store.Touch(background, s, 100_000*time.Hour)
				return err
			},
		} {
			runInBubble(t, name+"/"+what, func(t *testing.T) {
				dir := t.TempDir()
				store, s := expire(t, dir, name, sessions.FilesystemOptions{})
				id, before := s.ID(), content(t, fileOf(t, dir, s))
				if err := act(store, s); !errors.Is(err, sessions.ErrDeleted) || err.Error() != sessions.ErrDeleted.Error() {
					t.Errorf("got %v, want ErrDeleted", err)
				}
				gone(t, store, id)
				if got := content(t, filepath.Join(dir, "session_"+id+".sess")); got != before || len(names(t, dir)) != 1 {
					t.Errorf("something was written; %d files", len(names(t, dir)))
				}
			})
		}
	}
}

func TestDestroyAndDeleteRemoveWhatHasExpired(t *testing.T) {
	for name := range expired {
		for what, end := range map[string]func(*sessions.FilesystemSessionStore, *sessions.Session) error{
			"Destroy": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				s.Destroy()
				return store.Save(background, s)
			},
			"Destroy and a farewell": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				s.Destroy()
				s.AddFlash("Good bye")
				return store.Save(background, s)
			},
			"Delete": func(store *sessions.FilesystemSessionStore, s *sessions.Session) error {
				return store.Delete(background, s)
			},
		} {
			runInBubble(t, name+"/"+what, func(t *testing.T) {
				dir := t.TempDir()
				store, s := expire(t, dir, name, sessions.FilesystemOptions{})
				old := fileOf(t, dir, s)
				if err := end(store, s); err != nil {
					t.Error(err)
				}
				if exists(old) {
					t.Error("the file is there")
				}
			})
		}
	}
}

// The timeout that is stored decides, not the one that a slow request knows.
func TestSaveJudgesExpiryByTheStoredTimeout(t *testing.T) {
	for _, test := range []struct {
		own  time.Duration // that another request has saved
		want error
	}{{time.Minute, sessions.ErrDeleted}, {days, nil}} {
		dir := t.TempDir()
		store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour})
		s := saved(t, store, "a", 1)
		slow := get(t, store, s.ID())
		s.SetIdleTimeout(test.own)
		save(t, store, s)
		age(t, fileOf(t, dir, s), test.own/2+30*time.Minute)
		slow.Set("b", 1)
		if err := store.Save(background, slow); !errors.Is(err, test.want) {
			t.Errorf("a save after %v = %v, want %v", test.own, err, test.want)
		}
	}
}

func TestSaveNeverEndsForASessionWithoutTimeouts(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := saved(t, store, "a", 1)
	age(t, fileOf(t, dir, s), 50*365*days)
	s.Set("a", 2)
	save(t, store, s)
	age(t, fileOf(t, dir, s), 50*365*days)
	if touched, err := store.Touch(background, s, 0); !touched || err != nil {
		t.Errorf("Touch = %v, %v", touched, err)
	}
}

// A request that adopts a missing ID does not wait for ever for one that was
// there, and has expired, by the time it saves.
func TestSaveOfAnAdoptedSessionRefusesOneThatHasExpired(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour, KeepMissingID: true})
	id := store.GenerateKey()
	first, second := get(t, store, id), get(t, store, id)
	first.Set("a", 1)
	save(t, store, first)
	age(t, fileOf(t, dir, first), time.Hour)
	ctx, cancel := context.WithTimeout(background, 10*time.Second)
	defer cancel()
	second.Set("b", 1)
	if err := store.Save(ctx, second); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("got %v, want ErrDeleted", err)
	}
}

// Timeouts at the edges of a Duration, and below a second.
func TestTimeoutsOfAllLengthsHold(t *testing.T) {
	const years = 365 * days
	for _, test := range []struct{ idleTimeout, lifetime, own time.Duration }{
		{idleTimeout: math.MaxInt64},
		{lifetime: math.MaxInt64},
		{idleTimeout: math.MaxInt64, lifetime: math.MaxInt64, own: math.MaxInt64},
		{own: math.MaxInt64},
		{idleTimeout: time.Hour, own: math.MaxInt64},
		{idleTimeout: math.MaxInt64, own: 240 * years},
		{idleTimeout: time.Second, own: 240 * years},
		{own: 240 * years},
		{idleTimeout: 240 * years},
		{idleTimeout: math.MaxInt64 - 1, lifetime: 1<<62 + 1},
	} {
		for name, sealer := range map[string]sessions.Sealer{"plain": nil, "sealed": xorSealer{}} {
			t.Run(fmt.Sprintf("%v/%s", test, name), func(t *testing.T) {
				o := sessions.FilesystemOptions{Path: t.TempDir(), IdleTimeout: test.idleTimeout, Lifetime: test.lifetime, Sealer: sealer}
				store := newStore(t, o)
				s := store.New()
				s.SetIdleTimeout(test.own)
				for n := range 3 {
					s.Set("n", n)
					save(t, store, s)
					if touched, err := store.Touch(background, s, 0); !touched || err != nil {
						t.Fatalf("Touch = %v, %v", touched, err)
					}
					s = get(t, store, s.ID())
				}
				if s.New() || s.IdleTimeout() != test.own.Truncate(time.Second) {
					t.Fatalf("Get gives %v with a timeout of %v", s, s.IdleTimeout())
				}
				age(t, fileOf(t, o.Path, s), 50*years)
				if get(t, store, s.ID()).New() || len(list(t, store)) != 1 {
					t.Error("after 50 years the session has ended")
				}
				byStranger, err := pruneFiles(t, o.Path, prune.Options{DryRun: true})
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range []prune.Report{
					pruneStore(t, store, prune.Options{DryRun: true, Exact: true}),
					byStranger,
					pruneStore(t, store, prune.Options{DryRun: true, Exact: true, IdleTimeout: math.MaxInt64}),
				} {
					if r.Live != 1 {
						t.Errorf("after 50 years Prune finds %d alive of %d", r.Live, r.Sessions)
					}
				}
			})
		}
	}
}

// pruneFiles prunes a directory without its store.
func pruneFiles(t *testing.T, dir string, o prune.Options) (prune.Report, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return prune.Run(background, root, o)
}

func pruneStore(t *testing.T, store *sessions.FilesystemSessionStore, o prune.Options) prune.Report {
	t.Helper()
	r, err := store.Prune(background, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A session's own timeout is never taken for none.
func TestSetIdleTimeoutOfLessThanASecondIsASecond(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := store.New()
	s.SetIdleTimeout(500 * time.Millisecond)
	s.Set("a", 1)
	save(t, store, s)
	if get(t, store, s.ID()).IdleTimeout() != time.Second {
		t.Error("the timeout is not a second")
	}
	age(t, fileOf(t, dir, s), time.Second)
	gone(t, store, s.ID())
}

func TestNewFilesystemSessionStoreRefusesTimeoutsBelowASecond(t *testing.T) {
	for _, d := range []time.Duration{1, 3600, time.Second - 1, -1, math.MinInt64} {
		_, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: t.TempDir(), IdleTimeout: d, Lifetime: d})
		if err == nil || !strings.Contains(err.Error(), "IdleTimeout is") || !strings.Contains(err.Error(), "Lifetime is") {
			t.Errorf("%v: got %v", d, err)
		}
		store := newStore(t, sessions.FilesystemOptions{})
		if _, err := store.Prune(background, prune.Options{IdleTimeout: d}); err == nil || !strings.Contains(err.Error(), "IdleTimeout is") {
			t.Errorf("Prune with %v: got %v", d, err)
		}
	}
	// A fraction beside whole seconds is no mistake, and is kept.
	o := sessions.FilesystemOptions{Path: t.TempDir(), IdleTimeout: 1500 * time.Millisecond}
	store := newStore(t, o)
	s := saved(t, store, "a", 1)
	if line := headerLine(t, fileOf(t, o.Path, s)); !strings.Contains(line, " idle-timeout=1500000000ns ") {
		t.Errorf("the file begins with %q", line)
	}
	age(t, fileOf(t, o.Path, s), time.Second)
	if get(t, store, s.ID()).New() {
		t.Error("the session ended after a second")
	}
	age(t, fileOf(t, o.Path, s), 1500*time.Millisecond)
	gone(t, store, s.ID())
}

// A request that is still at work when its session expires has its response, and
// its changes are dropped.
func TestMiddlewareDropsTheChangesOfASessionThatExpiresMeanwhile(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour})
	s := saved(t, store, "a", 1)
	carrier, err := sessions.NewCookies(store, sessions.CookieOptions{RenewOnAccess: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(carrier, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*sessions.Session){"save": func(s *sessions.Session) { s.Set("b", 1) }, "read": func(*sessions.Session) {}} {
		age(t, fileOf(t, dir, s), 0)
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: s.ID()})
		w := httptest.NewRecorder()
		mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			loaded := sessions.FromContext(r.Context())
			if loaded.New() {
				t.Error("the session was not loaded")
			}
			change(loaded)
			age(t, fileOf(t, dir, s), time.Hour)
			io.WriteString(w, "done")
		})).ServeHTTP(w, r)
		if w.Code != 200 || w.Body.String() != "done" || len(w.Result().Cookies()) != 0 {
			t.Errorf("%s: got %d %q, %d cookies", name, w.Code, w.Body, len(w.Result().Cookies()))
		}
		gone(t, store, s.ID())
	}
}

// A touch waits for nothing, not for who ends the sessions of an owner either: the
// file is then left as it is, with another time.
func TestTouchDoesNotWaitToLetTheStoresTimeoutsGrow(t *testing.T) {
	dir := t.TempDir()
	s := saved(t, newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour}), "a", 1)
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: 2 * time.Hour})
	age(t, fileOf(t, dir, s), 30*time.Minute)
	line := headerLine(t, fileOf(t, dir, s))
	s = get(t, store, s.ID())
	lockFile(t, filepath.Join(dir, ".owners.lock"))
	ctx, cancel := context.WithTimeout(background, 10*time.Second)
	defer cancel()
	if touched, err := store.Touch(ctx, s, 0); !touched || err != nil || ctx.Err() != nil {
		t.Errorf("Touch = %v, %v", touched, err)
	}
	if idle := time.Since(modTime(t, dir, s)); idle.Abs() > time.Minute || headerLine(t, fileOf(t, dir, s)) != line {
		t.Errorf("last used %v ago; the file begins with %q", idle, headerLine(t, fileOf(t, dir, s)))
	}
}
