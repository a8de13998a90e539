package prune_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/filetest"
	"github.com/sessfs/sessions/prune"
)

// A pruned is a directory, and the store that its sessions are in.
type pruned struct {
	*sessions.FilesystemSessionStore
	t   *testing.T
	dir string
}

func newPruned(t *testing.T, o sessions.FilesystemOptions) *pruned {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "sessions")
	}
	return &pruned{filetest.NewStore(t, o), t, o.Path}
}

// session saves a session and sets its file's time to age ago. A timeout of zero is
// the store's.
func (p *pruned) session(age, timeout time.Duration) *sessions.Session {
	p.t.Helper()
	s := p.New()
	s.Set("n", 1)
	s.SetIdleTimeout(timeout)
	if err := p.Save(background, s); err != nil {
		p.t.Fatal(err)
	}
	p.age(p.file(s), age)
	return s
}

func (p *pruned) file(s *sessions.Session) string {
	return filepath.Join(p.dir, "session_"+s.ID()+".sess")
}

func (p *pruned) age(file string, d time.Duration) {
	p.t.Helper()
	age(p.t, file, d)
}

func (p *pruned) put(name, content string, age time.Duration) string {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.age(file, age)
	return file
}

func (p *pruned) prune(o prune.Options) prune.Report {
	p.t.Helper()
	report, err := p.Prune(background, o)
	if err != nil {
		p.t.Fatal(err)
	}
	return report
}

func TestPruneRemovesJustWhatGetDoesNotLoadAnyMore(t *testing.T) {
	const h, m = time.Hour, time.Minute
	for _, test := range []struct {
		idleTimeout, lifetime time.Duration // the store's
		timeout               time.Duration // the session's own
		age                   time.Duration // since it was last used
		passed                time.Duration // since it was made
		ended                 bool
	}{
		{idleTimeout: h, age: 59 * m},
		{idleTimeout: h, age: 61 * m, ended: true},
		{idleTimeout: h, age: -h},
		{idleTimeout: h, age: -1000000 * h},
		{idleTimeout: h, timeout: 24 * h, age: 23 * h},
		{idleTimeout: h, timeout: 24 * h, age: 25 * h, ended: true},
		{idleTimeout: h, timeout: 5 * m, age: 4 * m},
		{idleTimeout: h, timeout: 5 * m, age: 6 * m, ended: true},
		{age: 100000 * h},
		{timeout: 5 * m, age: 4 * m},
		{timeout: 5 * m, age: 6 * m, ended: true},
		{lifetime: h, passed: h, ended: true},
		{lifetime: h, passed: h - 1},
		{lifetime: h, timeout: 5 * m, age: 6 * m, ended: true},
		{idleTimeout: h, lifetime: 2 * h, passed: 2 * h, ended: true},
		{idleTimeout: h, lifetime: h, age: 61 * m, ended: true},
		{idleTimeout: h, lifetime: h, timeout: 24 * h, age: 23 * h},
		{idleTimeout: h, lifetime: 2 * h, timeout: 24 * h, passed: 2 * h, ended: true},
	} {
		runInBubble(t, fmt.Sprintf("%+v", test), func(t *testing.T) {
			p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: test.idleTimeout, Lifetime: test.lifetime})
			s := p.session(test.age, test.timeout)
			time.Sleep(test.passed)
			p.age(p.file(s), test.age)
			got, err := p.Get(background, s.ID())
			if err != nil || got.New() != test.ended {
				t.Fatalf("Get: new %v, %v; want %v", got.New(), err, test.ended)
			}
			want := 0
			if test.ended {
				want = 1
			}
			exact := test.lifetime > 0 // without, files without marks need not be opened
			if r := p.prune(prune.Options{DryRun: true, Exact: exact}); r.Removed != want || r.Sessions != 1 || !exists(p.file(s)) {
				t.Errorf("DryRun: %+v", r)
			}
			// A pruner without options finds the same in the files.
			if r := run(t, p.dir, prune.Options{DryRun: true}); r.Removed != want || r.Sessions != 1 {
				t.Errorf("without a store: %+v", r)
			}
			if r := p.prune(prune.Options{Exact: exact}); r.Removed != want || r.Live != 1-want || exists(p.file(s)) == test.ended {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestPruneWithIdleTimeoutSparesSessionsWhoseOwnTimeoutIsLonger(t *testing.T) {
	const h = time.Hour
	for _, test := range []struct {
		store, timeout, age, idleTimeout time.Duration
		ended                            bool
	}{
		{store: 0, timeout: 30 * 24 * h, age: 15 * 24 * h, idleTimeout: 14 * 24 * h},
		{store: 0, timeout: 30 * 24 * h, age: 31 * 24 * h, idleTimeout: 14 * 24 * h, ended: true},
		{store: 0, age: 15 * 24 * h, idleTimeout: 14 * 24 * h, ended: true},
		{store: 24 * h, timeout: h, age: h / 2, idleTimeout: 2 * h},
		{store: 24 * h, timeout: h, age: 3 * h, idleTimeout: 2 * h, ended: true},
		{store: 24 * h, age: 3 * h, idleTimeout: 2 * h, ended: true},
		{store: 24 * h, timeout: 24 * h, age: 3 * h, idleTimeout: 2 * h},
		{store: 24 * h, timeout: 24 * h, age: 25 * h, idleTimeout: 2 * h, ended: true},
		{store: h, age: 3 * h, idleTimeout: 24 * h},
	} {
		for name, do := range map[string]func(p *pruned, o prune.Options) prune.Report{
			"with a store":    (*pruned).prune,
			"without a store": func(p *pruned, o prune.Options) prune.Report { return run(t, p.dir, o) },
		} {
			p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: test.store})
			s := p.session(test.age, test.timeout)
			do(p, prune.Options{IdleTimeout: test.idleTimeout})
			if exists(p.file(s)) == test.ended {
				t.Errorf("%+v, %s: it is there: %v", test, name, !test.ended)
			}
		}
	}
}

// A timeout of the session's own must show in its file's size, however it was set:
// Prune opens no other file.
func TestPruneIsToldOfTheSessionsOwnTimeoutByEveryWayOfSaving(t *testing.T) {
	ctx := background
	for _, own := range []time.Duration{time.Hour, 24 * time.Hour, 48 * time.Hour} {
		for name, save := range map[string]func(*pruned, *sessions.Session) error{
			"first save": func(*pruned, *sessions.Session) error { return nil },
			"in place": func(p *pruned, s *sessions.Session) error {
				s.Set("n", 2)
				return p.Save(ctx, s)
			},
			"larger": func(p *pruned, s *sessions.Session) error {
				s.Set("large", strings.Repeat("x", 5000))
				return p.Save(ctx, s)
			},
			"unchanged": func(p *pruned, s *sessions.Session) error { return p.Save(ctx, s) },
			"renewed": func(p *pruned, s *sessions.Session) error {
				s.Renew()
				return p.Save(ctx, s)
			},
			"touched": func(p *pruned, s *sessions.Session) error {
				_, err := p.Touch(ctx, s, 0)
				return err
			},
			"timeout changed": func(p *pruned, s *sessions.Session) error {
				s.SetIdleTimeout(own + time.Hour)
				return p.Save(ctx, s)
			},
		} {
			for _, store := range []time.Duration{0, 24 * time.Hour} {
				p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: store})
				s := p.session(0, own)
				if err := save(p, s); err != nil {
					t.Fatal(err)
				}
				p.age(p.file(s), 45*time.Minute)
				run(t, p.dir, prune.Options{IdleTimeout: 30 * time.Minute})
				if !exists(p.file(s)) {
					t.Errorf("%s, IdleTimeout %v, own timeout %v: the session is gone", name, store, own)
				}
			}
		}
	}
}

func TestPruneLeavesAloneWhatIsNoSession(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	id := strings.Repeat("0123456789abcdef", 4)
	stay := []string{
		p.put("notes.txt", "", 9999*time.Hour),
		p.put("session_"+strings.ToUpper(id)+".sess", "", 9999*time.Hour),
		p.put("session_"+id+".sess.bak", "", 9999*time.Hour),
		p.put("tmp-1.__sess_tmp", "", 59*time.Minute),
		p.put("tmp-2.__sess_tmp", "", -time.Hour),
		p.put(".hidden", "", 9999*time.Hour),
		filepath.Join(p.dir, "session_"+id+".sess"),
		filepath.Join(p.dir, "tmp-3.__sess_tmp"),
		filepath.Join(p.dir, "web"),
		filepath.Join(p.dir, "lost+found"),
		filepath.Join(p.dir, ".snapshots"),
	}
	gone := p.put("tmp-4.__sess_tmp", "", 61*time.Minute)
	for _, dir := range stay[6:] {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	linked := p.session(2*time.Hour, 0)
	foreign, unmatched, directories := 9, 3, 3
	if runtime.GOOS != "windows" {
		if err := os.Link(p.file(linked), filepath.Join(p.dir, "backup")); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(p.dir, "session_"+strings.Repeat("f", 64)+".sess")
		if err := os.Symlink(p.file(linked), link); err != nil {
			t.Fatal(err)
		}
		stay = append(stay, p.file(linked), filepath.Join(p.dir, "backup"), link)
		foreign, unmatched = foreign+3, unmatched+2
	}
	r := p.prune(prune.Options{RemoveCorrupt: true})
	for _, file := range stay {
		if !exists(file) {
			t.Errorf("%s is gone", filepath.Base(file))
		}
	}
	if exists(gone) {
		t.Error("the unfinished file of a dead writer is there")
	}
	if r.Foreign != foreign || r.Unmatched != unmatched || r.Directories != directories || r.Temp != 2 || r.TempRemoved != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestPruneKeepsDamagedFilesUnlessToldOtherwise(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	name := func(c string) string { return "session_" + strings.Repeat(c, 64) + ".sess" }
	young, old := p.put(name("0"), "x", 0), p.put(name("1"), "x", 2*time.Hour)
	slots := p.session(0, 0)
	f, err := os.OpenFile(p.file(slots), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("x", 3072)), 512)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	whole := p.session(0, 0)

	var events []prune.Event
	o := prune.Options{Observe: func(e prune.Event) { events = append(events, e) }}
	if r := p.prune(o); r.Corrupt != 2 || r.CorruptRemoved != 0 || !exists(old) {
		t.Errorf("got %+v", r)
	}
	if len(events) != 2 || events[0].Action != prune.Kept || !events[0].Corrupt || len(events[0].File) != 8 {
		t.Errorf("got %+v", events)
	}
	o.RemoveCorrupt = true
	if r := p.prune(o); r.Corrupt != 0 || r.CorruptRemoved != 3 || r.Live != 1 {
		t.Errorf("got %+v", r)
	}
	if exists(young) || exists(old) || exists(p.file(slots)) || !exists(p.file(whole)) {
		t.Error("the wrong ones are gone")
	}
}

// The content of a file that is old enough does not matter if its size is that of a
// session without a timeout of its own.
func TestPruneReadsEveryFileButUnmarkedOnes(t *testing.T) {
	for _, test := range []struct {
		name string
		size int64
		read bool
	}{
		{"a session's size", 3584, false},
		{"a larger session's", 7680, false},
		{"that of one with a timeout", 4096, true},
		{"that of a larger one", 8192, true},
		{"empty", 0, true},
		{"cut off", 3072, true},
	} {
		p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
		file := p.put("session_"+strings.Repeat("0", 64)+".sess", strings.Repeat("x", int(test.size)), 2*time.Hour)
		r := p.prune(prune.Options{})
		if r.Removed == 0 != test.read || r.Corrupt == 1 != test.read || exists(file) != test.read {
			t.Errorf("%s: got %+v", test.name, r)
		}
	}
}

func TestPruneLeavesASessionThatIsBeingSaved(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: 24 * time.Hour})
	o := prune.Options{IdleTimeout: time.Hour}
	s := p.session(2*time.Hour, 0)
	err := p.Update(background, s, func(*sessions.Session) error {
		if r := p.prune(o); r.Busy != 1 || r.Removed != 0 {
			t.Errorf("got %+v", r)
		}
		s.Set("n", 2)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := p.prune(o); r.Live != 1 {
		t.Errorf("got %+v", r)
	}
	p.age(p.file(s), 2*time.Hour)
	if r := p.prune(o); r.Removed != 1 {
		t.Errorf("got %+v", r)
	}
	s.Set("n", 3)
	if err := p.Save(background, s); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("a save after that: got %v, want ErrDeleted", err)
	}
}

// The central promise: Prune judges a file as it is under its lock, not as it was
// when it was listed. The rate makes Prune wait in between.
func TestPruneJudgesBySavesAndTouchesThatComeBeforeItsLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: 24 * time.Hour})
		var all []*sessions.Session
		for range 4 {
			all = append(all, p.session(2*time.Hour, 0))
		}
		var r prune.Report
		var pruning sync.WaitGroup
		pruning.Go(func() { r = p.prune(prune.Options{IdleTimeout: time.Hour, Rate: 0.001}) })
		synctest.Wait() // the first is gone, and the second waits for its turn
		left := 0
		for i, s := range all {
			if !exists(p.file(s)) {
				continue
			}
			left++
			if s.Set("n", 2); i%2 == 0 {
				s.SetIdleTimeout(0)
				save(t, p, s)
			} else if _, err := p.Touch(background, s, 0); err != nil {
				t.Error(err)
			}
		}
		pruning.Wait()
		if left != 3 || r.Removed != 1 || r.Live != 3 {
			t.Errorf("%d were left, and then %d removed and %d alive; want 3, 1 and 3", left, r.Removed, r.Live)
		}
	})
}

// Observe may be slow, like a pager that --verbose is piped into: no session's lock
// is held, and it may use the store itself.
func TestPruneHoldsNoLockWhileItObserves(t *testing.T) {
	for _, dryRun := range []bool{true, false} {
		p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: 24 * time.Hour})
		var all []*sessions.Session
		for i := range 100 {
			all = append(all, p.session(2*time.Hour, 0))
			p.put(fmt.Sprintf("session_%064x.sess", i), "damaged", 2*time.Hour)
		}
		ctx, cancel := context.WithTimeout(background, 20*time.Second)
		defer cancel()
		seen, old := 0, time.Now().Add(-2*time.Hour)
		p.prune(prune.Options{IdleTimeout: time.Hour, DryRun: dryRun, Observe: func(prune.Event) {
			seen++
			for _, s := range all {
				err := p.Save(ctx, s)
				if err != nil && !errors.Is(err, sessions.ErrDeleted) {
					t.Errorf("event %d: a save: %v", seen, err)
				}
				if err == nil {
					os.Chtimes(p.file(s), old, old) // unless the other worker has just removed it
				}
			}
		}})
		if seen != 200 {
			t.Errorf("%d events", seen)
		}
	}
}

func TestPruneKeepsItsRateHoweverLateItsTimersAre(t *testing.T) {
	for _, rate := range []float64{1, 20, 2000, 10_000, 100_000} {
		for _, late := range []time.Duration{0, 60 * time.Microsecond, time.Millisecond, 15 * time.Millisecond} {
			for _, pause := range []time.Duration{0, time.Hour} { // of files that stay
				const seconds = 10
				got, want := prune.PacedFiles(rate, pause, seconds*time.Second, time.Microsecond, late), int(rate*seconds)
				if got < want*98/100 || got > want*101/100+2 {
					t.Errorf("%v a second after %v, with timers that are late by %v: %d files in %d s", rate, pause, late, got, seconds)
				}
			}
		}
	}
}

func TestPruneWaitsForEverAtARateOfNextToNothing(t *testing.T) {
	for _, rate := range []float64{1e-300, 1e-12, 1e-4} {
		synctest.Test(t, func(t *testing.T) {
			p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
			for range 3 {
				p.session(2*time.Hour, 0)
			}
			r := p.prune(prune.Options{Rate: rate, TimeBudget: time.Hour})
			if r.Removed != 1 || r.Stopped != prune.StopBudget {
				t.Errorf("a rate of %v removed %d and stopped by %q", rate, r.Removed, r.Stopped)
			}
		})
	}
}

// A session that turns out to be alive under its lock does not count.
func TestPruneRemovesAsManyAsItsLimit(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: 24 * time.Hour})
	for range 150 {
		p.session(2*time.Hour, 0)
	}
	for _, limit := range []int{1, 63, 65} {
		if r := p.prune(prune.Options{IdleTimeout: time.Hour, Limit: limit}); r.Removed != limit || r.Stopped != prune.StopLimit {
			t.Errorf("limit %d: %d removed, stopped by %q", limit, r.Removed, r.Stopped)
		}
	}
	if r := p.prune(prune.Options{IdleTimeout: time.Hour, Limit: 21}); r.Removed != 21 || r.Stopped != "" {
		t.Errorf("all that is left: %d removed, stopped by %q", r.Removed, r.Stopped)
	}
}

func TestPruneStopsWhenItIsToldTo(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	for range 40 {
		p.session(2*time.Hour, 0)
	}
	if r := p.prune(prune.Options{Limit: 7}); r.Removed != 7 || r.Stopped != prune.StopLimit {
		t.Errorf("Limit: got %+v", r)
	}
	start := time.Now()
	r := p.prune(prune.Options{Rate: 20, TimeBudget: 320 * time.Millisecond})
	if r.Removed < 2 || r.Removed > 8 || r.Stopped != prune.StopBudget || time.Since(start) > 10*time.Second {
		t.Errorf("TimeBudget: got %+v", r)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	r, err := p.Prune(ctx, prune.Options{})
	if !errors.Is(err, context.Canceled) || r.Stopped != prune.StopCanceled || r.Removed != 0 {
		t.Errorf("canceled: got %v, %+v", err, r)
	}
	var last prune.Progress
	left := p.prune(prune.Options{DryRun: true}).Sessions
	r = p.prune(prune.Options{Limit: left, Progress: func(now prune.Progress) { last = now }})
	if r.Stopped != "" || r.Removed != left || last.Entries != left || last.Total != left || last.Removed != left {
		t.Errorf("got %+v, %+v", r, last)
	}
}

func TestPruneRefusesNegativeOptions(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{})
	_, err := p.Prune(background, prune.Options{IdleTimeout: -1, Limit: -1, TimeBudget: -1, Rate: -1})
	for _, what := range []string{"IdleTimeout", "Limit", "TimeBudget", "Rate"} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want something about %s", err, what)
		}
	}
}

func TestPruneRunsOnceAtATime(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	other := newPruned(t, sessions.FilesystemOptions{Path: p.dir, IdleTimeout: time.Hour})
	p.session(2*time.Hour, 0)
	inside := false
	p.prune(prune.Options{Observe: func(prune.Event) {
		inside = true
		if _, err := other.Prune(background, prune.Options{}); !errors.Is(err, prune.ErrRunning) {
			t.Errorf("got %v, want ErrRunning", err)
		}
	}})
	if !inside {
		t.Error("nothing was pruned")
	}
	other.prune(prune.Options{})
}

// A file that vanishes while Prune is on its way to it is not an error.
func TestPruneDoesNotMindFilesThatVanish(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	for range 2000 {
		p.session(2*time.Hour, 0)
	}
	files := names(t, p.dir)
	go func() {
		for _, name := range slices.Backward(files) {
			os.Remove(filepath.Join(p.dir, name))
		}
	}()
	r := p.prune(prune.Options{})
	if r.Failed != 0 {
		t.Errorf("got %+v", r)
	}
	t.Logf("%d removed, %d vanished", r.Removed, r.Vanished)
}

func TestPruneReportsAgesAndSizes(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: 1000 * time.Hour})
	p.session(30*time.Minute, 0)
	p.session(2*time.Hour, 0)
	large := p.session(3*time.Hour, 0)
	large.Set("large", strings.Repeat("x", 5000))
	if err := p.Save(background, large); err != nil {
		t.Fatal(err)
	}
	p.age(p.file(large), 400*24*time.Hour)
	r := p.prune(prune.Options{DryRun: true})
	if a := r.Ages; a[0].Sessions != 1 || a[1].Sessions != 1 || a[len(a)-1].Sessions != 1 || a[len(a)-1].Under != 0 {
		t.Errorf("got %+v", a)
	}
	if s := r.Sizes; s[0].Sessions != 2 || s[0].UpTo != 4096 || s[2].Sessions != 1 {
		t.Errorf("got %+v", s)
	}
	if r.Oldest.Round(time.Hour) != 2*time.Hour || r.LiveBytes != r.Sizes[0].Bytes || r.RemovedBytes != r.Sizes[2].Bytes {
		t.Errorf("got %+v", r)
	}
}

func TestPruneReportsTheFilesThatItCouldNotHandle(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("whoever runs this can read everything; the command's tests have it")
	}
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	bad, good := p.session(2*time.Hour, 0), p.session(2*time.Hour, 0)
	if err := os.Chmod(p.file(bad), 0); err != nil {
		t.Fatal(err)
	}
	r, err := p.Prune(background, prune.Options{})
	if !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), bad.ID()) || r.Failed != 1 || r.Removed != 1 || exists(p.file(good)) {
		t.Errorf("got %v, %+v", err, r)
	}
}

// A leak of one name a file would show here, long before a million files.
func TestPruneTakesNoMoreMemoryForMoreFiles(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	s := p.session(2*time.Hour, 0)
	content, err := os.ReadFile(p.file(s))
	if err != nil {
		t.Fatal(err)
	}
	const files = 9000
	for i := range files {
		p.put(fmt.Sprintf("session_%064x.sess", i), string(content), 2*time.Hour)
	}
	seen := 0
	var heap [2]uint64
	p.prune(prune.Options{DryRun: true, Observe: func(prune.Event) {
		if seen++; seen == 2000 || seen == 8000 {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			heap[seen/8000] = stats.HeapAlloc
		}
	}})
	if heap[1] > heap[0]+200<<10 {
		t.Errorf("%d KiB after 2000 files, %d KiB after 8000", heap[0]>>10, heap[1]>>10)
	}
}

// A writer was killed after it had linked a new file to its name, and before it
// had unlinked the unfinished one.
func TestPruneRemovesTheSecondNameThatAKilledWriterLeft(t *testing.T) {
	const h, m = time.Hour, time.Minute
	for _, row := range []struct {
		age     time.Duration
		dry     bool
		left    int // names
		removed int // unfinished files, by the report
	}{
		{0, false, 2, 0}, // the writer may be about to
		{61 * m, true, 2, 1},
		{61 * m, false, 1, 1},
		{25 * h, false, 0, 1},
	} {
		p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: 24 * h})
		s := p.session(0, 0)
		if err := os.Link(p.file(s), filepath.Join(p.dir, "tmp-0123456789abcdef.__sess_tmp")); err != nil {
			t.Skip(err)
		}
		p.age(p.file(s), row.age)
		report := p.prune(prune.Options{DryRun: row.dry})
		if report.TempRemoved != row.removed || report.Failed != 0 {
			t.Errorf("after %v: %+v; want %d unfinished files removed", row.age, report, row.removed)
		}
		if row.age > 24*h { // in one go or, by the order of the names, two
			p.prune(prune.Options{})
		} else if report.RemovedBytes != 0 {
			t.Errorf("after %v: %d bytes removed, want none", row.age, report.RemovedBytes)
		}
		if got := names(t, p.dir); len(got) != row.left {
			t.Errorf("after %v the names %q are left, want %d", row.age, got, row.left)
		}
		if got := get(t, p, s.ID()); got.New() != (row.left == 0) {
			t.Errorf("after %v the session is %v", row.age, got)
		}
	}
}

// With a lifetime Prune still opens no file without a mark. It can be late then,
// and never early.
func TestPruneWithALifetimeGoesByTheShorterTimeout(t *testing.T) {
	const h, m = time.Hour, time.Minute
	for _, row := range []struct {
		idleTimeout, lifetime time.Duration
		size                  int // of a file that cannot be read
		age                   time.Duration
		removed, corrupt      int
	}{
		{2 * h, h, 3584, 61 * m, 1, 0},
		{2 * h, h, 3584, 59 * m, 0, 0},
		{h, 2 * h, 3584, 61 * m, 1, 0},
		{h, 2 * h, 3584, 59 * m, 0, 0},
		{prune.Never, h, 3584, 61 * m, 1, 0},
		{prune.Never, h, 3584, 59 * m, 0, 0},
		{h, prune.Never, 3584, 61 * m, 1, 0},
		{prune.Never, prune.Never, 3584, 10000 * h, 0, 0},
		{0, h, 3584, 61 * m, 0, 1}, // the idle timeout stands in the file
		{2 * h, h, 4096, 61 * m, 0, 1},
	} {
		p := newPruned(t, sessions.FilesystemOptions{})
		p.put("session_"+strings.Repeat("0", 64)+".sess", strings.Repeat("x", row.size), row.age)
		for _, exact := range []bool{true, false} {
			r := run(t, p.dir, prune.Options{IdleTimeout: row.idleTimeout, Lifetime: row.lifetime, Exact: exact})
			if exact && r.Corrupt != 1 || !exact && (r.Removed != row.removed || r.Corrupt != row.corrupt) {
				t.Errorf("%+v, exact %v: %+v", row, exact, r)
			}
		}
	}
}

// A session that is past its lifetime and was used since is not loaded, and is
// removed at once by Exact alone.
func TestPruneWithALifetimeRemovesLaterUnlessExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: 2 * time.Hour, Lifetime: time.Hour})
		s := p.session(0, 0)
		time.Sleep(61 * time.Minute) // by the bubble's clock
		p.age(p.file(s), 20*time.Minute)
		if !get(t, p, s.ID()).New() {
			t.Error("the session is loaded after its lifetime")
		}
		if r := p.prune(prune.Options{}); r.Live != 1 {
			t.Errorf("got %+v", r)
		}
		if r := p.prune(prune.Options{Exact: true, DryRun: true}); r.Removed != 1 {
			t.Errorf("exact: got %+v", r)
		}
		p.age(p.file(s), 61*time.Minute)
		if r := p.prune(prune.Options{}); r.Removed != 1 {
			t.Errorf("an hour after its last use: got %+v", r)
		}
	})
}

func TestPruneOfAStoreCountsEveryFormOfID(t *testing.T) {
	p := newPruned(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	for _, o := range []sessions.FilesystemOptions{
		{IDs: sessions.RandomIDs(16)}, {IDs: sessions.RandomIDs(64)}, {IDs: sessions.UUIDs()}, {HashNames: true},
	} {
		o.Path = p.dir
		other := newPruned(t, o)
		save(t, other, other.New())
	}
	for _, name := range names(t, p.dir) {
		p.age(filepath.Join(p.dir, name), 2*time.Hour)
	}
	if r := p.prune(prune.Options{}); r.Removed != 4 {
		t.Errorf("got %+v", r)
	}
}
