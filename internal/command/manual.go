package command

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// A flagText is a flag for the generated files.
type flagText struct {
	short, long string   // with their dashes; short may be ""
	value       string   // name of the value; "" for a switch
	words       []string // choices for the value
	text        string
	initial     string // value without the flag, as the text has it
}

func (c *Command) flags() (flags []flagText) {
	c.Flags.VisitAll(func(f *pflag.Flag) {
		x := flagText{long: "--" + f.Name}
		if f.Shorthand != "" {
			x.short = "-" + f.Shorthand
		}
		x.value, x.text = pflag.UnquoteUsage(f)
		if choice, ok := f.Value.(Choice); ok {
			x.words = choice.Of
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

// Manual returns the manual page of section 8. date is that of the last change to its text.
func (c *Command) Manual(date string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".\\\" Made from the flags of %s by go generate.\n.Dd %s\n.Dt %s 8\n.Os\n", c.Name, date, strings.ToUpper(c.Name))
	fmt.Fprintf(&b, ".Sh NAME\n.Nm %s\n.Nd %s\n", c.Name, c.Brief)
	fmt.Fprintf(&b, ".Sh SYNOPSIS\n.Nm\n%s.Op Ar flag ...\n.Ar directory ...\n", c.synopsis())
	fmt.Fprintf(&b, ".Sh DESCRIPTION\n%s\n.Pp\n%s\n.Pp\nThe flags are:\n.Bl -tag -width Ds\n", roff(c.About), roff(c.Note))
	for _, f := range c.flags() {
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
	for _, s := range c.Statuses {
		fmt.Fprintf(&b, ".It %d\n%s.\n", s.Code, roff(strings.ToUpper(s.Meaning[:1])+s.Meaning[1:]))
	}
	b.WriteString(".El\n.Sh EXAMPLES\n")
	for i, e := range c.Examples {
		if i > 0 {
			b.WriteString(".Pp\n")
		}
		fmt.Fprintf(&b, "%s:\n.Bd -literal -offset indent\n%s\n.Ed\n", roff(strings.ToUpper(e.Title[:1])+e.Title[1:]), roff(e.Command))
	}
	fmt.Fprintf(&b, ".Sh SEE ALSO\n.Xr %s\n", strings.Join(c.SeeAlso, " ,\n.Xr "))
	return b.String()
}

// synopsis returns the flag that has to be there.
func (c *Command) synopsis() string {
	flag, value, found := strings.Cut(c.Needs, " ")
	if !found {
		return ""
	}
	return fmt.Sprintf(".Fl %s Ar %s\n", flag[1:], strings.ToLower(value))
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
