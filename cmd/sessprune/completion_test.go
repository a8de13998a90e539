//go:build darwin || freebsd || linux || netbsd || openbsd

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// look skips the test where a program is missing.
func look(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("skipped: ", err)
	}
	return path
}

func TestManualPageIsWithoutWarnings(t *testing.T) {
	for _, command := range []string{
		"mandoc -T lint -W warning sessprune.8",
		"groff -ww -mdoc -z sessprune.8",
		"man --warnings -l sessprune.8 >/dev/null",
	} {
		name, _, _ := strings.Cut(command, " ")
		t.Run(name, func(t *testing.T) {
			look(t, name)
			cmd := exec.Command("/bin/sh", "-c", command)
			out, err := cmd.CombinedOutput()
			if name == "man" && strings.Contains(string(out), "option") {
				t.Skipf("skipped: another man: %s", out)
			}
			if err != nil || len(out) > 0 {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
		})
	}
}

// Bash splits the words up to the one that is completed.
func TestCompletionOfBash(t *testing.T) {
	bash := look(t, "bash")
	for line, want := range map[string]string{
		"--corrupt = d":           "delete | +o dirnames",
		"--corrupt =":             "keep delete | +o dirnames",
		"--corrupt k":             "keep | +o dirnames",
		"-n --progress = a":       "auto always | +o dirnames",
		"--metrics-file /":        "| +o dirnames -o default",
		"--metrics-file = /":      "| +o dirnames -o default",
		"--idle-timeout 1":        "| +o dirnames",
		"--limit = ":              "| +o dirnames",
		"--li":                    "--lifetime --limit | +o dirnames",
		"-n --e":                  "--exact | +o dirnames",
		"/srv":                    "|",
		"-n /srv":                 "|",
		"--idle-timeout 1h /srv":  "|",
		"--idle-timeout = 1h /sr": "|",
		"/srv --nonsense":         "| +o dirnames",
	} {
		// compopt works only in a completion, after Tab.
		cmd := exec.Command(bash, "--norc", "-c", `
			compopt() { options=$*; }
			. completions/sessprune.bash || exit
			COMP_WORDS=(sessprune "$@") COMP_CWORD=$#
			_sessprune || exit
			echo ${COMPREPLY[*]} "|" $options`, "bash")
		cmd.Args = append(cmd.Args, strings.Fields(line)...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", line, got, err, want)
		}
	}
	out, err := exec.Command(bash, "--norc", "-c", ". completions/sessprune.bash && complete -p sessprune").CombinedOutput()
	if got, want := string(out), "complete -o dirnames -F _sessprune sessprune\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestCompletionOfFish(t *testing.T) {
	fish := look(t, "fish")
	dir := t.TempDir()
	for _, name := range []string{"sub", "sub/sessions", "sub/other"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "sub", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("completions/sessprune.fish")
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"--corrupt=d":             "--corrupt=delete",
		"--corrupt k":             "keep",
		"--progress a":            "always auto",
		"-n --li":                 "--lifetime --limit",
		"--ex":                    "--exact",
		"sub/":                    "sub/other/ sub/sessions/",
		"--idle-timeout 1h sub/":  "sub/other/ sub/sessions/",
		"--metrics-file sub/":     "sub/file sub/other/ sub/sessions/",
		"--idle-timeout ":         "",
		"--dry-run --idle-timeou": "--idle-timeout",
	} {
		cmd := exec.Command(fish, "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, "sessprune "+line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "TERM=dumb")
		out, err := cmd.CombinedOutput()
		var got []string
		for text := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\t")
			got = append(got, strings.TrimSuffix(word, "=")) // which is a matter of the version
		}
		if got := strings.Join(got, " "); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", line, got, err, want)
		}
	}
}

// Zsh completes in a terminal alone. This one gets Tab, and then a key that prints
// the line.
func TestCompletionOfZsh(t *testing.T) {
	zsh := look(t, "zsh")
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sub", "sessions"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sub", "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	functions, err := filepath.Abs("completions")
	if err != nil {
		t.Fatal(err)
	}
	rc := "fpath=(" + functions + " $fpath); autoload -U compinit; compinit -u -d $ZDOTDIR/dump\n" +
		"unsetopt menucomplete automenu; LISTMAX=1000\n" +
		"line() { print -r -- $BUFFER >$ZDOTDIR/line.tmp; mv $ZDOTDIR/line.tmp $ZDOTDIR/line }\n" +
		"zle -N line; bindkey '^T' line\n" +
		"zle-line-init() { : >$ZDOTDIR/ready }; zle -N zle-line-init\n"
	if err := os.WriteFile(filepath.Join(dir, ".zshrc"), []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(zsh, "-f", "-c", "zmodload zsh/zpty").CombinedOutput(); err != nil {
		t.Skipf("skipped: zsh has no terminals: %s", out)
	}
	for line, want := range map[string]string{
		"--corrupt=d":            "--corrupt=delete ",
		"--corrupt k":            "--corrupt keep ",
		"--progress=n":           "--progress=never ",
		"--ex":                   "--exact ",
		"--idle-t":               "--idle-timeout=",
		"-n --dry":               "-n --dry", // is there already
		"su":                     "sub/",
		"sub/":                   "sub/sessions/",
		"--lifetime 1d sub/s":    "--lifetime 1d sub/sessions/",
		"--metrics-file sub/f":   "--metrics-file sub/file ",
		"--idle-timeout su":      "--idle-timeout su",
		"--metrics-file=sub/f":   "--metrics-file=sub/file ",
		"-q --limit 3 -v su":     "-q --limit 3 -v sub/",
		"--time-budget=10m sub/": "--time-budget=10m sub/sessions/",
	} {
		os.Remove(filepath.Join(dir, "line"))
		os.Remove(filepath.Join(dir, "ready"))
		// The reader keeps the terminal from filling up.
		cmd := exec.Command(zsh, "-f", "-c", `
			zmodload zsh/zpty zsh/zselect
			cd $ZDOTDIR
			zpty -b shell exec zsh -i
			wait_for() { repeat 3000; do [[ -e $1 ]] && return; while zpty -r -t shell; do :; done >/dev/null; zselect -t 1; done; return 1 }
			wait_for ready || exit 3
			zpty -w -n shell "sessprune $1"$'\t\x14'
			wait_for line || exit 4
			cat line; zpty -d shell`, "zsh", line)
		cmd.Env = append(os.Environ(), "ZDOTDIR="+dir, "TERM=dumb")
		out, err := output(t, cmd, time.Minute)
		if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != "sessprune "+want {
			t.Errorf("%s: got %q, %v, want %q", line, got, err, "sessprune "+want)
		}
	}
}

// output returns the output of a command, which is killed when it takes longer.
func output(t *testing.T, cmd *exec.Cmd, longest time.Duration) (string, error) {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := runFor(t, cmd, longest)
	return out.String(), err
}
