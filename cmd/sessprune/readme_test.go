//go:build darwin || freebsd || linux || netbsd || openbsd

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	installed = "/usr/local/bin/sessprune" // in the README
	pruned    = "/var/lib/app/sessions"
)

// An operator is someone who pastes the README's lines: the places in it are
// others here.
type operator struct {
	*testing.T
	readme     string
	bin, store string
}

func newOperator(t *testing.T) operator {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := operator{t, string(readme), filepath.Join(t.TempDir(), "sessprune"), filepath.Join(t.TempDir(), "sessions")}
	if err := os.Symlink(exe, o.bin); err != nil {
		t.Fatal(err)
	}
	return o
}

// place puts the places of this test into a text of the README.
func (o operator) place(text string) string {
	o.Helper()
	text = strings.ReplaceAll(text, pruned, o.store)
	return strings.ReplaceAll(text, installed, o.bin)
}

// blocks returns the code blocks of a language.
func (o operator) blocks(language string) (blocks []string) {
	o.Helper()
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(o.readme, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// removesTheExpired runs a command as cron does, which must remove what has
// expired after 14 days and nothing else.
func (o operator) removesTheExpired(command string) {
	o.Helper()
	fill(o.T, o.store, 3, "337h")
	fill(o.T, o.store, 2, "335h")
	cmd := exec.Command("/bin/sh", "-c", o.place(command))
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/", "SHELL=/bin/sh"}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		o.Errorf("%s: %v %s", command, err, out)
	}
	if n := filesIn(o.T, o.store); n != 2 {
		o.Errorf("%s: %d files are left, want 2", command, n)
	}
	if err := os.RemoveAll(o.store); err != nil {
		o.Fatal(err)
	}
}

// The first line is for crontab -e, the second, with a user, for /etc/cron.d.
func TestReadmesCronLinesRunUnderCron(t *testing.T) {
	o := newOperator(t)
	lines := o.blocks("cron")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want 2", len(lines))
	}
	for i, user := range []string{"", "www-data "} {
		m := regexp.MustCompile(`^(?:[0-9*]+ ){5}` + user + `(/.*)\n$`).FindStringSubmatch(lines[i])
		if m == nil {
			t.Errorf("%q: want five times, %q and an absolute path", lines[i], user)
			continue
		}
		if strings.Contains(m[1], "%") {
			t.Errorf("%q: cron takes %% for a line's end", lines[i])
		}
		o.removesTheExpired(m[1])
	}
}

func TestReadmesFindDoesWhatItSays(t *testing.T) {
	o := newOperator(t)
	m := regexp.MustCompile("`(find) DIR (.*?)`").FindStringSubmatch(o.readme)
	if m == nil {
		t.Fatal("the README has no find")
	}
	o.removesTheExpired(m[1] + " " + pruned + " " + m[2])
}

func TestReadmesUnitsAreValid(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("skipped: no systemd-analyze: ", err)
	}
	o := newOperator(t)
	units := o.blocks("ini")
	if len(units) != 2 {
		t.Fatalf("got %d units, want 2", len(units))
	}
	dir := t.TempDir()
	args := []string{"verify"}
	for i, name := range []string{"sessprune.service", "sessprune.timer"} {
		if !strings.Contains(o.readme, "`/etc/systemd/system/"+name+"`:\n\n```ini\n"+units[i]) {
			t.Errorf("unit %d is not said to be %s", i, name)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(o.place(units[i])), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
		t.Errorf("%v\n%s", err, out)
	}
	_, command, _ := strings.Cut(units[0], "\nExecStart=")
	command, _, _ = strings.Cut(command, "\n")
	o.removesTheExpired(command + " >/dev/null") // the journal has it
}
