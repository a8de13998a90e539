//go:build darwin || freebsd || linux || netbsd || openbsd

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const (
	installed = "/usr/local/bin/sessprune" // in the README
	pruned    = "/var/lib/app/sessions"
)

// An operator runs the README's lines, with paths of the test in the place of the
// README's.
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

// place returns a text of the README with the paths of the test.
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

// removesTheExpired runs a command as cron does. It must remove the sessions that
// expired after 14 days, and nothing else.
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

// The commands run in a checkout, and install into another place than /usr/local and
// /etc. Two do not run here: one needs the published module, the other the running
// systemd.
func TestReadmesCommandsInstallTheCommandWithItsManualAndCompletions(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: the README has install(1) of Linux")
	}
	o := newOperator(t)
	local := t.TempDir()
	var elsewhere []string
	for _, block := range o.blocks("sh") {
		for command := range strings.Lines(block) {
			if strings.Contains(command, "@latest") || strings.HasPrefix(command, "systemctl ") {
				elsewhere = append(elsewhere, strings.TrimSpace(command))
				continue
			}
			cmd := exec.Command("/bin/sh", "-c", strings.NewReplacer("/usr/local", local, "/etc", local).Replace(command))
			cmd.Dir = filepath.Join("..", "..")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
		}
	}
	want := []string{
		"GOBIN=/usr/local/bin go install github.com/sessfs/sessions/cmd/sessprune@latest",
		"systemctl daemon-reload", "systemctl enable --now sessprune.timer",
	}
	if !slices.Equal(elsewhere, want) {
		t.Errorf("commands that do not run here: got %q, want %q", elsewhere, want)
	}
	out, err := exec.Command(filepath.Join(local, "bin", "sessprune"), "--version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "sessprune ") {
		t.Errorf("got %q, %v", out, err)
	}
	for name, from := range map[string]string{
		"share/man/man8/sessprune.8":                  "sessprune.8",
		"share/bash-completion/completions/sessprune": "completions/sessprune.bash",
		"share/zsh/site-functions/_sessprune":         "completions/_sessprune",
		"fish/completions/sessprune.fish":             "completions/sessprune.fish",
	} {
		got, err := os.ReadFile(filepath.Join(local, name))
		want, wantErr := os.ReadFile(from)
		if err != nil || wantErr != nil || string(got) != string(want) {
			t.Errorf("%s is not %s: %v", name, from, errors.Join(err, wantErr))
		}
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

func TestReadmesFindRemovesTheExpired(t *testing.T) {
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

// A row of the README may have more about a code than --help.
func TestReadmesExitCodesAreThoseOfTheHelp(t *testing.T) {
	readme := strings.ReplaceAll(newOperator(t).readme, "`", "")
	for _, s := range exitStatuses {
		if want := fmt.Sprintf("\n| %d | %s", s.Code, s.Meaning); !strings.Contains(readme, want) {
			t.Errorf("the README has no %q", want)
		}
	}
}

// The unit ends a command at once that makes a system call of another kind.
func TestReadmesUnitAllowsTheSystemCallsOfTheCommand(t *testing.T) {
	if raceDetector {
		t.Skip("skipped: the race detector has system calls of its own")
	}
	strace, analyze := look(t, "strace"), look(t, "systemd-analyze")
	o := newOperator(t)
	allowed := make(map[string]bool)
	filters := regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.+)$`).FindAllStringSubmatch(o.blocks("ini")[0], -1)
	if len(filters) != 2 {
		t.Fatalf("got the filters %q, want 2", filters)
	}
	for _, m := range filters {
		for set := range strings.FieldsSeq(m[2]) {
			for _, call := range systemCalls(t, analyze, set) {
				allowed[call] = m[1] == ""
			}
		}
	}
	fill(t, o.store, 300, "337h")
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(strace, "-f", "-qq", "-o", trace, o.bin, "--idle-timeout", "336h", "--rate", "1000", "--time-budget", "10m",
		"--metrics-file", filepath.Join(t.TempDir(), "m.prom"), o.store)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("skipped: nothing can be traced here: %v %s", err, out)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	called := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(string(text), -1) {
		called[m[1]] = true
	}
	if !called["unlinkat"] || !called["flock"] {
		t.Fatalf("got the calls %v, without those that remove and lock", called)
	}
	for call := range called {
		if !allowed[call] {
			t.Errorf("%s is not allowed", call)
		}
	}
}

// systemCalls lists the system calls of a set, with those of the sets in it.
func systemCalls(t *testing.T, analyze, set string) (calls []string) {
	t.Helper()
	out, err := exec.Command(analyze, "syscall-filter", set).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		switch name := strings.TrimSpace(line); {
		case !strings.HasPrefix(line, " ") || strings.HasPrefix(name, "#"):
		case strings.HasPrefix(name, "@"):
			calls = append(calls, systemCalls(t, analyze, name)...)
		default:
			calls = append(calls, name)
		}
	}
	return calls
}
