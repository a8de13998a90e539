package command

import (
	"fmt"
	"strings"
)

// Bash returns the completion for bash, which completes directories itself.
// It does not need the package bash-completion. Before bash 4, without compopt, it
// does less.
func (c *Command) Bash() string {
	var names, free []string
	var cases string
	for _, f := range c.flags() {
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
	return strings.ReplaceAll(`# Completion of NAME for bash, made from its flags by go generate.

_NAME() {
	local word=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} words=
	if [[ $word == = ]]; then
		word=
	elif [[ $flag == = ]]; then
		flag=${COMP_WORDS[COMP_CWORD-2]}
	fi
	COMPREPLY=()
	case $flag in
`+cases+`	`+strings.Join(free, "|")+`) ;;
	*)
		[[ $word == -* ]] || return 0
		words='`+strings.Join(names, " ")+`'
		;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$word"))
	compopt +o dirnames 2>/dev/null
	return 0
}
complete -o dirnames -F _NAME NAME
`, "NAME", c.Name)
}

// Zsh returns the completion for zsh.
func (c *Command) Zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n# Completion of %[1]s for zsh, made from its flags by go generate.\n\n_arguments -s -S \\\n", c.Name)
	escape := strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`, "'", `'\''`)
	for _, f := range c.flags() {
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

// Fish returns the completion for fish.
func (c *Command) Fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of %[1]s for fish, made from its flags by go generate.\n\n", c.Name)
	fmt.Fprintf(&b, "complete -c %s -f -a '(__fish_complete_directories)'\n", c.Name)
	escape := strings.NewReplacer(`\`, `\\`, "'", `\'`)
	for _, f := range c.flags() {
		b.WriteString("complete -c " + c.Name)
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
