package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var generate = flag.Bool("generate", false, "write the files that are made from the flags")

// manDate is the date of the last change to the text of the manual page.
const manDate = "November 21, 2026"

// "go generate" writes the files by this test.
func TestGeneratedFilesAreThoseOfTheFlags(t *testing.T) {
	c, err := parseArgs([]string{"--help"})
	if err != nil {
		t.Fatal(err)
	}
	flags := allFlags(c)
	for name, want := range map[string]string{
		"sessprune.8":                manPage(flags),
		"completions/sessprune.bash": bashCompletion(flags),
		"completions/_sessprune":     zshCompletion(flags),
		"completions/sessprune.fish": fishCompletion(flags),
	} {
		name = filepath.FromSlash(name)
		if *generate {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(string(got), "\r\n", "\n") != want { // as Git may have it on Windows
			t.Errorf("%s is not made from the flags as they are: run go generate", name)
		}
	}
}

// A flagText is a flag for the generated files.
type flagText struct {
	short, long string   // with their dashes; short may be ""
	value       string   // name of the value; "" for a switch
	words       []string // choices for the value
	text        string
	initial     string // value without the flag, as the text has it
}

func allFlags(c *config) (flags []flagText) {
	c.flags.VisitAll(func(f *pflag.Flag) {
		x := flagText{long: "--" + f.Name}
		if f.Shorthand != "" {
			x.short = "-" + f.Shorthand
		}
		x.value, x.text = pflag.UnquoteUsage(f)
		if choice, ok := f.Value.(choice); ok {
			x.words = choice.of
		}
		if f.Value.Type() == "string" {
			x.initial = f.DefValue
		}
		flags = append(flags, x)
	})
	return flags
}

// brief returns the first part of the text, for a menu.
func (f flagText) brief() string {
	text, _, _ := strings.Cut(f.text, ": ")
	text, _, _ = strings.Cut(text, ". ")
	return text
}

func manPage(flags []flagText) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".\\\" Made from the flags of sessprune by go generate.\n.Dd %s\n.Dt SESSPRUNE 8\n.Os\n", manDate)
	b.WriteString(".Sh NAME\n.Nm sessprune\n.Nd remove the files of ended sessions\n")
	b.WriteString(".Sh SYNOPSIS\n.Nm\n.Op Ar flag ...\n.Ar directory ...\n")
	fmt.Fprintf(&b, ".Sh DESCRIPTION\n%s\n.Pp\n%s\n.Pp\nThe flags are:\n.Bl -tag -width Ds\n", roff(about), roff(asRoot))
	for _, f := range flags {
		b.WriteString(".It ")
		if f.short != "" {
			fmt.Fprintf(&b, "Fl %s , ", f.short[1:])
		}
		fmt.Fprintf(&b, "Fl %s", f.long[1:])
		if f.value != "" {
			fmt.Fprintf(&b, " Ar %s", f.value)
		}
		fmt.Fprintf(&b, "\n%s.\n", roff(strings.ToUpper(f.text[:1])+f.text[1:]))
		if f.initial != "" {
			fmt.Fprintf(&b, "The default is %s.\n", roff(f.initial))
		}
	}
	b.WriteString(".El\n.Sh EXIT STATUS\n.Bl -tag -width Ds\n")
	for _, s := range exitStatuses {
		fmt.Fprintf(&b, ".It %d\n%s.\n", s.code, roff(strings.ToUpper(s.meaning[:1])+s.meaning[1:]))
	}
	b.WriteString(".El\n.Sh EXAMPLES\n")
	for i, e := range examples {
		if i > 0 {
			b.WriteString(".Pp\n")
		}
		fmt.Fprintf(&b, "%s:\n.Bd -literal -offset indent\n%s\n.Ed\n", roff(strings.ToUpper(e.title[:1])+e.title[1:]), roff(e.command))
	}
	b.WriteString(".Sh SEE ALSO\n.Xr find 1 ,\n.Xr crontab 5 ,\n.Xr systemd.timer 5\n")
	return b.String()
}

// roff returns a text without macros, with each sentence on a line.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, ". ", ".\n").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// bashCompletion returns the completion for bash, which completes directories itself.
// It does not need the package bash-completion. Before bash 4, without compopt, it
// does less.
func bashCompletion(flags []flagText) string {
	var names, free []string
	var cases string
	for _, f := range flags {
		if f.short != "" {
			names = append(names, f.short)
		}
		names = append(names, f.long)
		switch {
		case f.words != nil:
			cases += fmt.Sprintf("\t%s) words='%s' ;;\n", f.long, strings.Join(f.words, " "))
		case f.value == "file":
			cases += "\t" + f.long + ") compopt +o dirnames -o default 2>/dev/null; return 0 ;;\n"
		case f.value != "":
			free = append(free, f.long)
		}
	}
	return `# Completion of sessprune for bash, made from its flags by go generate.

_sessprune() {
	local word=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} words=
	if [[ $word == = ]]; then
		word=
	elif [[ $flag == = ]]; then
		flag=${COMP_WORDS[COMP_CWORD-2]}
	fi
	COMPREPLY=()
	case $flag in
` + cases + `	` + strings.Join(free, "|") + `) ;;
	*)
		[[ $word == -* ]] || return 0
		words='` + strings.Join(names, " ") + `'
		;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$word"))
	compopt +o dirnames 2>/dev/null
	return 0
}
complete -o dirnames -F _sessprune sessprune
`
}

func zshCompletion(flags []flagText) string {
	var b strings.Builder
	b.WriteString("#compdef sessprune\n# Completion of sessprune for zsh, made from its flags by go generate.\n\n_arguments -s -S \\\n")
	escape := strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`, "'", `'\''`)
	for _, f := range flags {
		text := "[" + escape.Replace(f.brief()) + "]"
		switch {
		case f.words != nil:
			text += ":" + f.value + ":(" + strings.Join(f.words, " ") + ")"
		case f.value == "file":
			text += ":" + f.value + ":_files"
		case f.value != "":
			text += ":" + f.value + ": "
		}
		switch {
		case f.short != "":
			fmt.Fprintf(&b, "  '(%s %s)'{%s,%s}'%s' \\\n", f.short, f.long, f.short, f.long, text)
		case f.value != "":
			fmt.Fprintf(&b, "  '%s=%s' \\\n", f.long, text)
		default:
			fmt.Fprintf(&b, "  '%s%s' \\\n", f.long, text)
		}
	}
	b.WriteString("  '*:directory:_directories'\n")
	return b.String()
}

func fishCompletion(flags []flagText) string {
	var b strings.Builder
	b.WriteString("# Completion of sessprune for fish, made from its flags by go generate.\n\n")
	b.WriteString("complete -c sessprune -f -a '(__fish_complete_directories)'\n")
	escape := strings.NewReplacer(`\`, `\\`, "'", `\'`)
	for _, f := range flags {
		b.WriteString("complete -c sessprune")
		if f.short != "" {
			b.WriteString(" -s " + f.short[1:])
		}
		b.WriteString(" -l " + f.long[2:])
		switch {
		case f.words != nil:
			fmt.Fprintf(&b, " -x -a '%s'", strings.Join(f.words, " "))
		case f.value == "file":
			b.WriteString(" -r -F")
		case f.value != "":
			b.WriteString(" -x")
		}
		fmt.Fprintf(&b, " -d '%s'\n", escape.Replace(f.brief()))
	}
	return b.String()
}
