//go:build unix

package sessions_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

func init() {
	children["umask"] = childUmask
	children["hostile"] = childHostile
}

// childUmask makes a store below the directory under the umask that the number is.
func childUmask() error {
	var umask int
	fmt.Sscanf(os.Getenv(numberVariable), "%o", &umask)
	unix.Umask(umask)
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: filepath.Join(os.Getenv(dirVariable), "a", "b"), Mode: 0o640})
	if err != nil {
		return err
	}
	s := store.New()
	s.Set("a", 1)
	if err := store.Save(background, s); err != nil {
		return err
	}
	fmt.Print(s.ID())
	return nil
}

func TestModeOfFilesAndDirectoriesIsTheSameUnderEveryUmask(t *testing.T) {
	for _, umask := range []string{"0", "777", "77", "277"} {
		dir := t.TempDir()
		cmd := child("umask", dirVariable+"="+dir, numberVariable+"="+umask)
		id, err := cmd.Output()
		if err != nil {
			t.Fatalf("umask %s: %v", umask, err)
		}
		for path, want := range map[string]os.FileMode{
			"a": 0o700 | os.ModeDir, "a/b": 0o700 | os.ModeDir, "a/b/session_" + string(id) + ".sess": 0o640,
		} {
			if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode() != want {
				t.Errorf("umask %s: a mode %v, %v; want %v", umask, info.Mode(), err, want)
			}
		}
	}
}

// hostileIDs are texts that a client may send in place of an ID.
func hostileIDs(canary string) map[string]string {
	valid := strings.Repeat("ab", 32)
	return map[string]string{
		"parent": "../x", "absolute": "/etc/passwd", "canary": canary, "up to the canary": "../" + filepath.Base(canary),
		"NUL": "\x00", "NUL at the end": valid + "\x00", "NUL inside": valid[:63] + "\x00", "line break": valid + "\n", "line break inside": valid[:63] + "\n",
		"one character": "a", "dot": ".", "dots": "..", "empty": "", "1 MB": strings.Repeat("a", 1<<20), "upper case": strings.ToUpper(valid),
		"slash inside": valid[:32] + "/" + valid[33:], "dots inside": "../../" + valid[6:], "too short": valid[1:], "too long": valid + "a",
		"percent": "%s", "template": "session_" + valid + ".sess", "not hex": strings.Repeat("g", 64), "full width": strings.Repeat("\uff11", 64), "no UTF-8": strings.Repeat("\xff", 64),
	}
}

// childHostile asks for every hostile ID, between two system calls that mark
// the place for who traces it.
func childHostile() error {
	dir := os.Getenv(dirVariable)
	for _, keep := range []bool{false, true} {
		store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, KeepMissingID: keep})
		if err != nil {
			return err
		}
		runtime.GC()
		unix.Access("/begin-marker", 0)
		for name, id := range hostileIDs(os.Getenv(idVariable)) {
			s, err := store.Get(background, id)
			if err != nil || !s.New() || s.ID() == id || s.Len() != 0 || !store.IsValidKey(s.ID()) {
				return fmt.Errorf("%s: %v, %v; want a new session", name, s, err)
			}
		}
		unix.Access("/end-marker", 0)
	}
	return nil
}

func TestGetOfAHostileIDTouchesNoFile(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	canary := filepath.Join(parent, "canary")
	if err := os.WriteFile(canary, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := child("hostile", dirVariable+"="+dir, idVariable+"="+canary)
	trace := filepath.Join(t.TempDir(), "trace")
	strace, err := exec.LookPath("strace")
	traced := err == nil
	if traced {
		cmd.Path, cmd.Args = strace, []string{strace, "-f", "-qq", "-e", "trace=%file,%desc", "-o", trace, os.Args[0]}
	}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("made: %q", got)
	}
	if got := names(t, parent); !slices.Equal(got, []string{"canary", "store"}) || content(t, canary) != "canary" {
		t.Errorf("beside the store: %q", got)
	}
	if !traced {
		t.Log("no strace: that no file is opened was not looked at")
		return
	}
	inside, marks := false, 0
	for line := range strings.Lines(content(t, trace)) {
		switch {
		case strings.Contains(line, "begin-marker"):
			inside = true
			marks++
		case strings.Contains(line, "end-marker"):
			inside = false
		case strings.Contains(line, "resumed>"): // the end of a call whose begin was seen
		case inside && (strings.Contains(line, "open") || strings.Contains(line, "stat") || strings.Contains(line, "link") || strings.Contains(line, "access")):
			if !strings.Contains(line, "/sys/") && !strings.Contains(line, "/proc/") { // the Go runtime's
				t.Errorf("a system call on a file: %s", line)
			}
		}
	}
	if marks != 2 {
		t.Errorf("the trace shows nothing: %d marks", marks)
	}
}

func TestGetOfAFileThatIsNoSessionIsANewOneAndTheFileStays(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	for name, make := range map[string]func(path string) error{
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"link to another session": func(path string) error {
			return os.Symlink("session_"+saved(t, store, "a", 1).ID()+".sess", path)
		},
		"sparse": func(path string) error {
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			defer f.Close()
			return f.Truncate(10 << 30)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := saved(t, store, "a", 1)
			file := fileOf(t, dir, s)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if err := make(file); err != nil {
				t.Skip(err)
			}
			gone(t, store, s.ID())
			s.Set("a", 2)
			if err := store.Save(background, s); err == nil {
				t.Error("a save did not fail")
			}
			if _, err := os.Lstat(file); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGetAndDestroyOfUnknownIDsMakeNoFile(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	for i := range 10_000 {
		s := get(t, store, store.GenerateKey())
		s.Get("user")
		s.Flashes()
		if i%2 == 0 { // an anonymous logout
			s.Destroy()
		}
		if err := store.SaveIfModified(background, s); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("%d files were made", len(got))
	}
}
