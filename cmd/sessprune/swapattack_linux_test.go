package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const attackerUID = 12345

// Root prunes directories of another user, who keeps replacing their entries and the
// directories themselves by links, FIFOs and directories, while root mounts things
// there. Nothing outside is touched. SESSPRUNE_SWAPS=100000 is the long mode.
func TestSesspruneTouchesNothingOutsideWhileEntriesAreSwapped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: this needs root, who prunes what another user swaps")
	}
	swaps := many(t, "SESSPRUNE_SWAPS", 5000)
	base := swapTree(t)
	before := picture(t, base)

	cmd := program("underswaps", base, strconv.Itoa(swaps))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	mounts := "with mounts"
	out, err := cmd.Output()
	if errors.Is(err, fs.ErrPermission) {
		mounts = "WITHOUT mounts, for which the rights are missing"
		cmd = program("underswaps", base, strconv.Itoa(swaps), "nomounts")
		out, err = cmd.Output()
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s; %s", mounts, strings.TrimSpace(string(out)))
	after := picture(t, base)
	for name, was := range before {
		if is := after[name]; is != was {
			t.Errorf("%s was touched: %q is %q now", name, was, is)
		}
	}
}

// swapTree makes two trees of canaries, root's and the attacker's, and the
// attacker's home with two session directories, one behind another directory.
func swapTree(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	home := filepath.Join(base, "home")
	for _, dir := range []string{"canary-root", "canary-root/sessions", "canary-own", "canary-own/sessions", "home/sessions", "home/middle/sessions"} {
		fill(t, filepath.Join(base, dir), 8, "9h")
	}
	// Names that the attacker uses as well, and unfinished files.
	for _, dir := range []string{"canary-root", "canary-root/sessions", "canary-own", "canary-own/sessions"} {
		names, err := filepath.Glob(filepath.Join(base, dir, "*.sess"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range names[:4] {
			content, err := os.ReadFile(names[i])
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{swapName(i), "tmp-" + strconv.Itoa(i) + ".__sess_tmp"} {
				name = filepath.Join(base, dir, name)
				when := time.Now().Add(-9 * time.Hour)
				if err := errors.Join(os.WriteFile(name, content, 0o600), os.Chtimes(name, when, when)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for dir := base; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(base, "canary-root"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{home, filepath.Join(base, "canary-own")} {
		err := filepath.Walk(root, func(path string, _ fs.FileInfo, err error) error {
			return errors.Join(err, os.Lchown(path, attackerUID, attackerUID))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return base
}

func swapName(i int) string {
	return "session_" + strings.Repeat("0", 63) + strconv.FormatInt(int64(i%16), 16) + ".sess"
}

// picture returns the content and attributes of the canaries' trees, without the number
// of links, which the attacker's hard links change.
func picture(t *testing.T, base string) map[string]string {
	t.Helper()
	seen := make(map[string]string)
	for _, root := range []string{"canary-root", "canary-own"} {
		err := filepath.Walk(filepath.Join(base, root), func(path string, fi fs.FileInfo, err error) error {
			if err != nil {
				return err
			}
			content := []byte{}
			if fi.Mode().IsRegular() {
				content, err = os.ReadFile(path)
			}
			seen[path] = fmt.Sprint(fi.Mode(), fi.ModTime().UnixNano(), fi.Sys().(*syscall.Stat_t).Uid, len(content), crc32.ChecksumIEEE(content))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return seen
}

// underSwaps prunes without a pause, as root, until the attacker is done.
func underSwaps() {
	base, swaps := os.Args[1], os.Args[2]
	attack := program("attacker", base, swaps)
	attack.Path = "/proc/self/exe" // where the test is, other users may not get to
	attack.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: attackerUID, Gid: attackerUID}}
	must(attack.Start())
	done := make(chan error, 1)
	go func() { done <- attack.Wait() }()
	if len(os.Args) == 3 {
		go mountThings(base)
	}
	codes := map[int]int{}
	for {
		cmd := program("sessprune", "--quiet", "--idle-timeout", "1h", "--corrupt=delete",
			filepath.Join(base, "home/sessions"), filepath.Join(base, "home/middle/sessions"))
		cmd.Stderr = nil
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			must(err)
		}
		codes[cmd.ProcessState.ExitCode()]++
		select {
		case err := <-done:
			must(err)
			fmt.Printf("%s swaps; runs of sessprune by exit code: %v\n", swaps, codes)
			return
		default:
		}
	}
}

// mountThings mounts canaries, trees and single files, over entries with the names of
// sessions, and unmounts them again.
func mountThings(base string) {
	// By its descriptor: its name leads elsewhere at times.
	dir, err := os.Open(filepath.Join(base, "home/sessions"))
	must(err)
	for i := 0; ; i++ {
		source := filepath.Join(base, []string{"canary-root", "canary-own"}[i%2])
		target := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), swapName(rand.IntN(16)))
		fi, err := os.Lstat(target)
		if err != nil || fi.Mode().Type() == fs.ModeSymlink {
			continue
		}
		if !fi.IsDir() {
			source = filepath.Join(source, swapName(i%4))
		}
		if unix.Mount(source, target, "", unix.MS_BIND, "") == nil {
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		}
	}
}

// attacker replaces entries, as another user.
func attacker() {
	base := os.Args[1]
	swaps, err := strconv.Atoi(os.Args[2])
	must(err)
	home := filepath.Join(base, "home")
	content := sessionOf(filepath.Join(base, "canary-own"))
	canaries := []string{filepath.Join(base, "canary-root"), filepath.Join(base, "canary-own")}
	// Inside, by descriptors: the names of the directories lead elsewhere at times.
	var dirs []*os.Root
	for _, name := range []string{"sessions", "middle/sessions"} {
		dir, err := os.OpenRoot(filepath.Join(home, name))
		must(err)
		dirs = append(dirs, dir)
	}
	for i := range swaps {
		dir, canary := dirs[rand.IntN(len(dirs))], canaries[rand.IntN(len(canaries))]
		name := swapName(rand.IntN(16))
		if rand.IntN(8) == 0 {
			name = "tmp-" + strconv.Itoa(rand.IntN(4)) + ".__sess_tmp"
		}
		swapEntry(dir, name, canary, content, rand.IntN(7))
		if i%50 == 0 { // often enough to be met, rarely enough to leave something to prune
			swapDirectory(home, []string{"sessions", "middle"}[rand.IntN(2)], canary)
		}
	}
}

// swapEntry puts something in the place of a name. A failure, for a mount or
// because the pruner was quicker, is as good.
func swapEntry(dir *os.Root, name, canary string, content []byte, kind int) {
	old := time.Now().Add(-9 * time.Hour)
	dir.Remove(name) // not RemoveAll, which would clear away mounted trees
	switch kind {
	case 0:
		dir.Symlink(filepath.Join(canary, swapName(rand.IntN(4))), name)
	case 1:
		dir.Symlink(canary, name)
	case 2:
		d, err := dir.Open(".")
		if err == nil {
			unix.Linkat(unix.AT_FDCWD, filepath.Join(canary, swapName(rand.IntN(4))), int(d.Fd()), name, 0)
			d.Close()
		}
	case 3:
		d, err := dir.Open(".")
		if err == nil {
			unix.Mknodat(int(d.Fd()), name, unix.S_IFIFO|0o600, 0)
			d.Close()
		}
	case 4:
		dir.Mkdir(name, 0o700)
	default:
		// By a rename, which does not reach through a mount.
		dir.WriteFile("aside", content, 0o600)
		dir.Chtimes("aside", old, old)
		dir.Rename("aside", name)
	}
}

// swapDirectory replaces a directory by a link to a canary tree for a moment.
func swapDirectory(home, name, canary string) {
	path := filepath.Join(home, name)
	must(os.Rename(path, path+".away"))
	must(os.Symlink(canary, path))
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
	must(os.Remove(path))
	must(os.Rename(path+".away", path))
}

func sessionOf(dir string) []byte {
	content, err := os.ReadFile(filepath.Join(dir, swapName(0)))
	must(err)
	return content
}
