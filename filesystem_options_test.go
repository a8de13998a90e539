package sessions_test

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessfs/sessions"
)

type badName struct{ sessions.Codec }

func (badName) Name() string { return "Bad Name" }

func TestFilesystemOptionsListAllThatIsWrongAtOnce(t *testing.T) {
	_, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{
		Path: "a\x00b", FilenameTemplate: "no id", Mode: 0o644, IdleTimeout: -1, Lifetime: -1, MaxSize: -1, MaxSessions: -1, Codec: badName{}, Sync: 7,
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Path", "FilenameTemplate", "Mode 0644", "IdleTimeout", "Lifetime", "MaxSize", "MaxSessions is negative", "Codec", "Sync"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not mention %s:\n%v", want, err)
		}
	}
}

func TestFilenameTemplateThatCannotWorkIsRefused(t *testing.T) {
	for template, ok := range map[string]bool{
		"werkzeug_%s.sess": true, "%s": true, "s-%s": true, "é %s": true,
		"session":                       false,
		"%s%s":                          false,
		"%d":                            false,
		"100%%_%s":                      false,
		"%s.%":                          false,
		"sub/%s":                        false,
		"../%s":                         false,
		`sub\%s`:                        false,
		"%s.__sess_tmp":                 false,
		"a\x00%s":                       false,
		"a\n%s":                         false,
		strings.Repeat("x", 192) + "%s": false,
	} {
		dir := t.TempDir()
		store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, FilenameTemplate: template, Logger: slog.New(slog.DiscardHandler)})
		if ok != (err == nil) {
			t.Errorf("template %q: %v; want it accepted: %v", template, err, ok)
		}
		if err != nil {
			continue
		}
		s := saved(t, store, "a", 1)
		if got := list(t, store); len(got) != 1 || got[0] != s.ID() || names(t, dir)[0] != strings.Replace(template, "%s", s.ID(), 1) {
			t.Errorf("template %q: the directory has %q", template, names(t, dir))
		}
		store.Close()
	}
}

func TestModeIsRefusedUnlessItKeepsOthersOut(t *testing.T) {
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o640: true, 0o660: true, 0o620: true,
		0o644: false, 0o400: false, 0o666: false, 0o700: false, 0o606: false, 0o601: false, fs.ModeSetuid | 0o600: false,
	} {
		dir := t.TempDir()
		store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, Mode: mode, Logger: slog.New(slog.DiscardHandler)})
		if ok != (err == nil) {
			t.Errorf("mode %v: %v; want it accepted: %v", mode, err, ok)
		}
		if err != nil {
			continue
		}
		s := saved(t, store, "a", 1)
		s.Set("a", strings.Repeat("x", 5000)) // moves into another file
		save(t, store, s)
		if info, err := os.Stat(fileOf(t, dir, s)); err != nil || info.Mode() != mode {
			t.Errorf("a file of mode %v, %v; want %v", info.Mode(), err, mode)
		}
		store.Close()
	}
}

func TestDirectoryThatOthersRuleIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permission bits say nothing here")
	}
	for name, row := range map[string]struct {
		prepare func(path string) error
		want    string // of the error; "" for none
	}{
		"of mode 0700":            {func(path string) error { return mkdir(path, 0o700) }, ""},
		"that others may list":    {func(path string) error { return mkdir(path, 0o755) }, ""},
		"that a group writes":     {func(path string) error { return mkdir(path, 0o770) }, "written to by others"},
		"that everybody writes":   {func(path string) error { return mkdir(path, 0o777) }, "written to by others"},
		"like /tmp":               {func(path string) error { return mkdir(path, 0o777|fs.ModeSticky) }, "written to by others"},
		"of another user":         {func(path string) error { mkdir(path, 0o700); return os.Chown(path, 12345, -1) }, "belongs to the user 12345"},
		"that is a link":          {func(path string) error { mkdir(path+"2", 0o700); return os.Symlink(path+"2", path) }, "symbolic link"},
		"that is a file":          {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "must be a directory"},
		"that is a dangling link": {func(path string) error { return os.Symlink("nowhere", path) }, "symbolic link"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dir")
			if err := row.prepare(path); err != nil {
				t.Skip(err)
			}
			for _, path := range []string{path, path + "/", path + "//", path + "/."} {
				store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: path, Logger: slog.New(slog.DiscardHandler)})
				if err == nil {
					store.Close()
				}
				if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) &&
					!strings.Contains(err.Error(), "not a directory") && !strings.Contains(err.Error(), "no such file") {
					t.Errorf("%s: %v; want %q", path[len(path)-5:], err, row.want)
				}
			}
		})
	}
}

func mkdir(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func TestIDsHaveTheFormThatTheOptionsChoose(t *testing.T) {
	for name, row := range map[string]struct {
		keys   sessions.IDs
		length int
	}{
		"default": {sessions.IDs{}, 64}, "16 bytes": {sessions.RandomIDs(16), 32}, "64 bytes": {sessions.RandomIDs(64), 128}, "uuid": {sessions.UUIDs(), 36},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, sessions.FilesystemOptions{IDs: row.keys})
			s := saved(t, store, "a", 1)
			if len(s.ID()) != row.length || get(t, store, s.ID()).New() || len(list(t, store)) != 1 {
				t.Errorf("an ID of %d characters, listed %d; want %d, listed once", len(s.ID()), len(list(t, store)), row.length)
			}
			seen := make(map[string]bool)
			for range 1000 {
				key := store.GenerateKey()
				if seen[key] || !store.IsValidKey(key) {
					t.Fatal("a key came twice, or is not valid")
				}
				seen[key] = true
				for _, bad := range []string{key + "\n", key[1:], key + "0", strings.ToUpper(key) + "", " " + key[1:], key[:8] + "/" + key[9:], "{" + key + "}"} {
					if bad != key && store.IsValidKey(bad) {
						t.Fatalf("a key changed into %q is valid", bad)
					}
				}
			}
		})
	}
	for _, n := range []int{-1, 0, 15, 65} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("RandomIDs(%d) did not panic", n)
				}
			}()
			sessions.RandomIDs(n)
		}()
	}
	for _, bad := range []string{"00000000-0000-0000-0000-000000000000", "urn:uuid:f47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b58cc4372a5670e02b2c3d479", "f47ac10b-58cc-1372-a567-0e02b2c3d479"} {
		if sessions.UUIDs().IsValidKey(bad) {
			t.Errorf("%q is a valid UUID key", bad)
		}
	}
}

// expiry: each row is how old a session's file, and the session itself, is.
func TestGetExpiresSessionsByOneRule(t *testing.T) {
	const hour = time.Hour
	for _, row := range []struct {
		idleTimeout, lifetime, own time.Duration
		idle                       time.Duration // since the save
		want                       bool          // expired
	}{
		{0, 0, 0, 1000 * hour, false},
		{hour, 0, 0, 59 * time.Minute, false},
		{hour, 0, 0, hour, true},
		{hour, 0, 0, -1000 * hour, false}, // a file of the future
		{hour, 0, 24 * hour, 23 * hour, false},
		{hour, 0, 24 * hour, 24 * hour, true},
		{24 * hour, 0, hour, 59 * time.Minute, false},
		{24 * hour, 0, hour, hour, true},
		{0, 0, hour, 59 * time.Minute, false},
		{0, 0, hour, hour, true},
		{hour, hour, 0, 0, false},
		{0, hour, 0, 59 * time.Minute, false},
		{0, hour, 0, hour, true},
		{hour, 2 * hour, 3 * hour, 2 * hour, true},
	} {
		runInBubble(t, fmt.Sprintf("%v %v %v after %v", row.idleTimeout, row.lifetime, row.own, row.idle), func(t *testing.T) {
			dir := t.TempDir()
			store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: row.idleTimeout, Lifetime: row.lifetime})
			s := store.New()
			s.Set("a", 1)
			s.SetIdleTimeout(row.own)
			made := time.Now()
			for range 2 { // made, and saved again
				s.Set("a", s.Get("a").(int)+1)
				save(t, store, s)
				time.Sleep(row.idle - time.Since(made))
				age(t, fileOf(t, dir, s), row.idle)
				if got := get(t, store, s.ID()); got.New() != row.want || !row.want && got.IdleTimeout() != row.own {
					t.Errorf("Get gives %v, %v; want it expired: %v", got, got.IdleTimeout(), row.want)
				}
				if len(list(t, store)) == 1 == row.want {
					t.Errorf("List gives %d sessions; want it expired: %v", len(list(t, store)), row.want)
				}
				if row.want {
					break // it cannot be saved any more
				}
			}
		})
	}
}

func TestSaveAndTouchRestartTheIdleTimeout(t *testing.T) {
	for name, own := range map[string]time.Duration{"the store's": 0, "longer": 100 * time.Hour, "shorter": time.Hour} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: 10 * time.Hour})
			s := store.New()
			s.SetIdleTimeout(own)
			save(t, store, s)
			old := get(t, store, s.ID()) // loaded before the rest
			for what, act := range map[string]func() error{
				"a save":            func() error { s.Set("n", time.Now().UnixNano()); return store.Save(background, s) },
				"a save of nothing": func() error { return store.Save(background, s) },
				"a touch": func() error {
					touched, err := store.Touch(background, old, time.Minute)
					if !touched && err == nil {
						t.Error("Touch did nothing")
					}
					return err
				},
			} {
				age(t, fileOf(t, dir, s), 30*time.Minute)
				if err := act(); err != nil {
					t.Fatal(err)
				}
				if idle := time.Since(modTime(t, dir, s)); idle.Abs() > time.Minute {
					t.Errorf("after %s the session was last used %v ago", what, idle)
				}
			}
			if touched, err := store.Touch(background, s, time.Minute); touched || err != nil {
				t.Errorf("Touch too early = %v, %v", touched, err)
			}
		})
	}
}

func modTime(t testing.TB, dir string, s *sessions.Session) time.Time {
	t.Helper()
	info, err := os.Stat(fileOf(t, dir, s))
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

func TestTimeoutsHaveDefaultsThatNeverSwitchesOff(t *testing.T) {
	for _, test := range []struct {
		o            sessions.FilesystemOptions
		idle, passed time.Duration
		ended        bool
	}{
		{sessions.FilesystemOptions{}, 14*24*time.Hour - time.Minute, 0, false},
		{sessions.FilesystemOptions{}, 14 * 24 * time.Hour, 0, true},
		{sessions.FilesystemOptions{IdleTimeout: sessions.Never}, 29 * 24 * time.Hour, 0, false},
		{sessions.FilesystemOptions{}, 0, 30*24*time.Hour - time.Minute, false},
		{sessions.FilesystemOptions{}, 0, 30 * 24 * time.Hour, true},
		{sessions.FilesystemOptions{Lifetime: sessions.Never}, 0, 300 * 24 * time.Hour, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			test.o.Path = filepath.Join(t.TempDir(), "sessions")
			store, err := sessions.NewFilesystemSessionStore(test.o)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			s := saved(t, store, "a", 1)
			time.Sleep(test.passed)
			used := time.Now().Add(-test.idle)
			if err := os.Chtimes(fileOf(t, test.o.Path, s), used, used); err != nil {
				t.Fatal(err)
			}
			if got := get(t, store, s.ID()); got.New() != test.ended {
				t.Errorf("%v, %v: idle for %v, after %v: it has ended: %v", test.o.IdleTimeout, test.o.Lifetime, test.idle, test.passed, got.New())
			}
		})
	}
}
