package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

// A removable store has a directory that a test may remove, and sessions in it.
type removable struct {
	*sessions.FilesystemSessionStore
	dir string
	log *safeBuffer
}

func newRemovable(t *testing.T, o sessions.FilesystemOptions) *removable {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a directory that is open cannot be removed here")
	}
	r := &removable{dir: filepath.Join(t.TempDir(), "parent", "sessions"), log: new(safeBuffer)}
	if o.Path == "" {
		o.Path = r.dir
	}
	o.Logger = textLogger(r.log)
	var err error
	if r.FilesystemSessionStore, err = sessions.NewFilesystemSessionStore(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// A step is one operation of a store on a session that was stored before the
// directory was removed, and the error that it then has to report. It makes an
// error of its own out of a wrong result.
type step struct {
	name string
	want error
	do   func(r *removable, s *sessions.Session) error
}

func wantNone[T comparable](got T, err error) error {
	if zero := *new(T); got != zero && err == nil {
		return fmt.Errorf("got %v, want none", got)
	}
	return err
}

func wantNew(got *sessions.Session, err error) error {
	if err == nil && !got.New() {
		return fmt.Errorf("got %v, want a new session", got)
	}
	return err
}

// saveStep is a Save of the session that was there.
func saveStep(name string, want error, change func(s *sessions.Session)) step {
	return step{name, want, func(r *removable, s *sessions.Session) error {
		change(s)
		return r.Save(background, s)
	}}
}

const saveOfNew = "Save of a new session"

var storeSteps = []step{
	{"Get", nil, func(r *removable, s *sessions.Session) error { return wantNew(r.Get(background, s.ID())) }},
	{"Get of an unknown ID", nil, func(r *removable, _ *sessions.Session) error {
		return wantNew(r.Get(background, r.GenerateKey()))
	}},
	{saveOfNew, nil, func(r *removable, _ *sessions.Session) error { return r.Save(background, r.New()) }},
	saveStep("Save", sessions.ErrDeleted, func(s *sessions.Session) { s.Set("a", 2) }),
	saveStep("Save into a new file", sessions.ErrDeleted, func(s *sessions.Session) { s.Set("a", strings.Repeat("x", 10_000)) }),
	saveStep("Save of nothing", sessions.ErrDeleted, func(s *sessions.Session) {}),
	saveStep("Save of a renewed session", sessions.ErrDeleted, func(s *sessions.Session) { s.Renew() }),
	saveStep("Save of a destroyed session", nil, func(s *sessions.Session) { s.Destroy() }),
	{"Update", sessions.ErrDeleted, func(r *removable, s *sessions.Session) error {
		return r.Update(background, s, func(s *sessions.Session) error { s.Set("a", 2); return nil })
	}},
	{"Delete", nil, func(r *removable, s *sessions.Session) error { return r.Delete(background, s) }},
	{"Touch", sessions.ErrDeleted, func(r *removable, s *sessions.Session) error {
		return wantNone(r.Touch(background, s, 0))
	}},
	{"List", nil, func(r *removable, _ *sessions.Session) error { return first(r.List(background)) }},
	{"ListOwner", nil, func(r *removable, _ *sessions.Session) error { return first(r.ListOwner(background, "ann")) }},
	{"DeleteOwner", nil, func(r *removable, _ *sessions.Session) error {
		return wantNone(r.DeleteOwner(background, "ann"))
	}},
	{"DeleteAll", nil, func(r *removable, _ *sessions.Session) error { return wantNone(r.DeleteAll(background)) }},
	{"Prune", nil, func(r *removable, _ *sessions.Session) error {
		report, err := r.Prune(background, prune.Options{})
		return wantNone(report.Sessions, err)
	}},
}

// first demands that there is nothing to go through.
func first[T any](all func(func(T, error) bool)) error {
	for got, err := range all {
		if err == nil {
			err = fmt.Errorf("got %v, want nothing", got)
		}
		return err
	}
	return nil
}

// systemd-tmpfiles, an operator or a test of the application removes the
// directory. Each operation is tried as the first one afterwards, with nothing in
// the directory's place, and with a directory that another user has made.
func TestDirectoryThatIsRemovedIsOpenedAgain(t *testing.T) {
	for _, made := range []bool{false, true} {
		for _, step := range storeSteps {
			t.Run(fmt.Sprintf("%s, made by somebody else %v", step.name, made), func(t *testing.T) {
				r := newRemovable(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
				s := r.New()
				s.SetOwner("ann")
				s.Set("a", 1)
				save(t, r, s)
				if err := os.RemoveAll(filepath.Dir(r.dir)); err != nil {
					t.Fatal(err)
				}
				if made {
					if err := errors.Join(os.Mkdir(filepath.Dir(r.dir), 0o700), os.Mkdir(r.dir, 0o700)); err != nil {
						t.Fatal(err)
					}
				}
				if err := step.do(r, s); !errors.Is(err, step.want) {
					t.Errorf("got the error %v, want %v", err, step.want)
				}
				if info, err := os.Stat(r.dir); err != nil || info.Mode().Perm() != 0o700 {
					t.Errorf("the directory is %v, %v; want one of mode 0700", info, err)
				}
				if n := len(names(t, r.dir)); n > 1 || n == 1 && step.name != saveOfNew {
					t.Errorf("it has %d files", n)
				}
				if got := strings.Count(r.log.String(), "\n"); got != 1 || !strings.Contains(r.log.String(), "was removed") {
					t.Errorf("logged: %q; want one line that says that it was removed", r.log.String())
				}
				later := saved(t, r, "a", 1)
				if got := get(t, r, later.ID()); got.New() || !exists(fileOf(t, r.dir, later)) {
					t.Errorf("a session that is saved afterwards is %v, in the directory: %v", got, exists(fileOf(t, r.dir, later)))
				}
			})
		}
	}
}

// Litestar's test_file_init_directory.
func TestDirectoryThatIsRemovedIsThereForTheNextSave(t *testing.T) {
	r := newRemovable(t, sessions.FilesystemOptions{})
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	s := saved(t, r, "foo", "bar")
	if got := get(t, r, s.ID()).Get("foo"); got != "bar" {
		t.Errorf("foo = %v, want bar", got)
	}
}

func TestDirectoryWithARelativePathIsMadeAgainWhereItWas(t *testing.T) {
	home, elsewhere := t.TempDir(), t.TempDir()
	t.Chdir(home)
	r := newRemovable(t, sessions.FilesystemOptions{Path: "sessions"})
	t.Chdir(elsewhere)
	if err := os.RemoveAll(filepath.Join(home, "sessions")); err != nil {
		t.Fatal(err)
	}
	saved(t, r, "a", 1)
	if got := names(t, filepath.Join(home, "sessions")); len(got) != 1 {
		t.Errorf("the directory has %q, want one file", got)
	}
	if got := names(t, elsewhere); len(got) != 0 {
		t.Errorf("the current directory has %q, want nothing", got)
	}
}

// "." is the directory that a program has entered, and no path: sessprune checks
// a directory before it does so.
func TestDirectoryOfThePathDotIsNeverMadeAgain(t *testing.T) {
	home := filepath.Join(t.TempDir(), "sessions")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(home)
	for _, path := range []string{".", "./", "./."} {
		if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		if err := os.Chdir(home); err != nil {
			t.Fatal(err)
		}
		r := newRemovable(t, sessions.FilesystemOptions{Path: path})
		s := saved(t, r, "a", 1)
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
		s.Set("a", 2)
		if err := r.Save(background, s); !errors.Is(err, sessions.ErrDeleted) {
			t.Errorf("Save = %v, want ErrDeleted", err)
		}
		if err := r.Save(background, r.New()); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, sessions.ErrDeleted) {
			t.Errorf("Save of a new session = %v, want fs.ErrNotExist", err)
		}
		if _, err := r.Prune(background, prune.Options{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Prune = %v, want fs.ErrNotExist", err)
		}
		if err := first(r.List(background)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("List = %v, want fs.ErrNotExist", err)
		}
		gone(t, r, s.ID())
		if exists(home) {
			t.Error("the directory was made again")
		}
	}
}

// A user who can write to the directory's parent puts something in its place.
func TestDirectoryThatIsRemovedIsNotReplacedByWhatTheConstructorRefuses(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"a directory that others may write to": func(path string) error { return mkdir(path, 0o777) },
		"a directory like /tmp":                func(path string) error { return mkdir(path, 0o777|fs.ModeSticky) },
		"another user's directory": func(path string) error {
			return errors.Join(mkdir(path, 0o700), os.Chown(path, 12345, -1))
		},
		"a link to a directory":  func(path string) error { return errors.Join(mkdir(path+"2", 0o700), os.Symlink(path+"2", path)) },
		"a dangling link":        func(path string) error { return os.Symlink(path+"3", path) },
		"a file":                 func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"nothing, and no parent": func(path string) error { return os.Symlink("nowhere", filepath.Dir(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemovable(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
			s := saved(t, r, "a", 1)
			if err := os.RemoveAll(filepath.Dir(r.dir)); err != nil {
				t.Fatal(err)
			}
			if name != "nothing, and no parent" {
				if err := os.Mkdir(filepath.Dir(r.dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := plant(r.dir); err != nil {
				t.Skip(err)
			}
			before := picture(t, filepath.Dir(filepath.Dir(r.dir)))
			for _, step := range storeSteps {
				err := step.do(r, s.Clone())
				if err == nil || !strings.Contains(err.Error(), "the directory was removed") || strings.Contains(err.Error(), s.ID()) ||
					errors.Is(err, sessions.ErrDeleted) || errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s = %v; want an error of its own that says that the directory was removed", step.name, err)
				}
			}
			if after := picture(t, filepath.Dir(filepath.Dir(r.dir))); !slices.Equal(before, after) {
				t.Errorf("what was put there was touched: %q, before %q", after, before)
			}
			if err := os.RemoveAll(filepath.Dir(r.dir)); err != nil {
				t.Fatal(err)
			}
			saved(t, r, "a", 1) // nothing is in the way any more
		})
	}
}

// picture is every name below a directory, with its mode and target.
func picture(t *testing.T, root string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			target, _ := os.Readlink(path)
			all = append(all, fmt.Sprint(path, info.Mode(), target))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Many goroutines find the directory removed at once. All of them succeed, one
// line is logged, and no descriptor stays open but those of sessions that are there.
func TestDirectoryThatIsRemovedIsOpenedAgainByManyAtOnce(t *testing.T) {
	r := newRemovable(t, sessions.FilesystemOptions{IdleTimeout: time.Hour})
	before := openFiles()
	const rounds, goroutines = 30, 32
	for range rounds {
		if err := os.RemoveAll(r.dir); err != nil {
			t.Fatal(err)
		}
		begin := make(chan bool)
		var running sync.WaitGroup
		for i := range goroutines {
			running.Go(func() {
				<-begin
				switch i % 4 {
				case 0:
					if err := first(r.ListOwner(background, "ann")); err != nil {
						t.Error(err)
					}
				case 1:
					if _, err := r.Get(background, r.GenerateKey()); err != nil {
						t.Error(err)
					}
				default:
					s := r.New()
					s.Set("a", i)
					if err := r.Save(background, s); err != nil {
						t.Error(err)
					} else if got, err := r.Get(background, s.ID()); err != nil || got.New() {
						t.Errorf("Get = %v, %v; want what was saved", got, err)
					}
				}
			})
		}
		close(begin)
		running.Wait()
		if got := names(t, r.dir); len(got) != goroutines/2 {
			t.Errorf("%d files, want %d", len(got), goroutines/2)
		}
	}
	if got := strings.Count(r.log.String(), "\n"); got != rounds {
		t.Errorf("%d lines were logged, want %d", got, rounds)
	}
	if after := openFiles(); after > before+goroutines/2 {
		t.Errorf("%d descriptors are open, before %d", after, before)
	}
	r.Close()
	if after := openFiles(); after != before-1 {
		t.Errorf("%d descriptors are open after Close, before %d, of which one was the directory's", after, before)
	}
}

// openFiles counts descriptors, where the system shows them.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// A save that has the lock of a file of the removed directory finishes, or finds
// its session ended. It brings nothing into the new directory.
func TestDirectoryThatIsRemovedDuringASaveGetsNothingOfIt(t *testing.T) {
	for name, row := range map[string]struct {
		change func(s *sessions.Session)
		want   error
	}{
		"in place":       {func(s *sessions.Session) { s.Set("a", 2) }, nil}, // it overlaps with the removal
		"in a new file":  {func(s *sessions.Session) { s.Set("a", strings.Repeat("x", 10_000)) }, sessions.ErrDeleted},
		"of nothing":     {func(s *sessions.Session) {}, nil},
		"of a new owner": {func(s *sessions.Session) { s.SetOwner("ann") }, sessions.ErrDeleted},
		"that destroys":  {func(s *sessions.Session) { s.Destroy() }, nil},
	} {
		for _, sync := range []sessions.SyncMode{sessions.SyncNone, sessions.SyncFull} {
			t.Run(fmt.Sprint(name, ", sync ", sync), func(t *testing.T) {
				r := newRemovable(t, sessions.FilesystemOptions{Sync: sync})
				s := saved(t, r, "a", 1)
				err := r.Update(background, s, func(s *sessions.Session) error {
					if err := os.RemoveAll(r.dir); err != nil {
						t.Error(err)
					}
					get(t, r, r.GenerateKey()) // opens the directory again
					if !exists(r.dir) {
						t.Error("the directory was not made again")
					}
					row.change(s)
					return nil
				})
				if !errors.Is(err, row.want) {
					t.Errorf("Update = %v, want %v", err, row.want)
				}
				if got := names(t, r.dir); len(got) != 0 {
					t.Errorf("the directory has %q, want nothing", got)
				}
				gone(t, r, s.ID())
			})
		}
	}
}

// A wait for a lock of the removed directory ends with it.
func TestDirectoryThatIsRemovedDuringAWaitForALock(t *testing.T) {
	r := newRemovable(t, sessions.FilesystemOptions{})
	other, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: r.dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := saved(t, r, "a", 1)
	waiting := get(t, other, s.ID())
	done := make(chan error, 1)
	err = r.Update(background, s, func(s *sessions.Session) error {
		waiting.Set("b", 1)
		go func() { done <- other.Save(background, waiting) }()
		time.Sleep(20 * time.Millisecond) // most likely it waits by then
		return os.RemoveAll(r.dir)
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("the waiting Save = %v, want ErrDeleted", err)
	}
	saved(t, other, "a", 1)
}

func TestDirectoryIsNotOpenedAgainByAClosedStore(t *testing.T) {
	r := newRemovable(t, sessions.FilesystemOptions{})
	s := saved(t, r, "a", 1)
	if err := errors.Join(os.RemoveAll(r.dir), r.Close()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	if _, err := r.Get(ctx, s.ID()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Get = %v, want fs.ErrClosed", err)
	}
	if err := r.Save(ctx, r.New()); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Save = %v, want fs.ErrClosed", err)
	}
	if exists(r.dir) {
		t.Error("the directory was made again")
	}
}
