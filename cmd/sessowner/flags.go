package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/command"
	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/securecookie"
)

const name = "sessowner"

// A config is the content of the command line, and of the files that it names.
type config struct {
	dirs      []string // absolute
	owner     string
	ownerFile string
	end       bool
	session   string // a public ID, "" for all
	keep      []string
	dryRun    bool
	template  string
	keysFile  string
	audience  string
	json      bool
	quiet     bool
	version   bool
	help      bool

	sealer sessions.Sealer
	flags  *pflag.FlagSet
}

// parseArgs reads the command line.
func parseArgs(args []string) (*config, error) {
	c := &config{flags: pflag.NewFlagSet(name, pflag.ContinueOnError)}
	f := c.flags
	f.SortFlags = false
	f.Usage = func() {}
	f.StringVar(&c.owner, "owner", "", "the `name` of the owner, as the application passes it to Login")
	f.StringVar(&c.ownerFile, "owner-file", "", "read the owner's name from `file`, - for standard input: the flag --owner is seen "+
		"in the list of processes and in the shell's history. One line break at the end does not count")
	f.BoolVar(&c.end, "end", false, "end the sessions, and logins that have begun")
	f.StringVar(&c.session, "session", "", "list or end the session of that public `ID` alone")
	f.StringArrayVar(&c.keep, "keep", nil, "do not end the session of that public `ID`. May be repeated")
	f.BoolVarP(&c.dryRun, "dry-run", "n", false, "with --end, list the sessions that would be ended")
	f.StringVar(&c.template, "template", sessionfile.DefaultTemplate, "the `name` of the sessions' files, with %s for the ID")
	f.StringVar(&c.keysFile, "keys-file", "", "read the keys of sealed sessions from `file`: the list of the application, the first key first")
	f.StringVar(&c.audience, "audience", "", "the `name` that the application gives its key ring, for --keys-file")
	f.BoolVar(&c.json, "json", false, "print the result as JSON")
	f.BoolVarP(&c.quiet, "quiet", "q", false, "print errors only")
	f.BoolVar(&c.version, "version", false, "print the version")
	f.BoolVarP(&c.help, "help", "h", false, "print this help")
	if err := f.Parse(args); err != nil || c.help || c.version {
		return c, err
	}
	return c, c.check()
}

// publicIDs are the only names of sessions.
var publicIDs = regexp.MustCompile(`^[0-9a-f]{64}$`)

// check returns an error that joins all mistakes, and makes paths absolute: the command
// changes its directory.
func (c *config) check() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	given := c.flags.Changed
	refuse(given("owner") == given("owner-file"), "give one of --owner and --owner-file")
	refuse(given("owner") && c.owner == "", "--owner is empty; sessions without an owner are not those of one")
	refuse(given("session") && !publicIDs.MatchString(c.session), "--session: want a public ID, 64 digits")
	refuse(slices.ContainsFunc(c.keep, func(id string) bool { return !publicIDs.MatchString(id) }), "--keep: want a public ID, 64 digits")
	refuse(given("session") && given("keep"), "--session and --keep exclude each other")
	refuse(given("keep") && !c.end, "--keep is for --end")
	refuse(c.dryRun && !c.end, "--dry-run is for --end; without it nothing is ended")
	refuse(given("audience") && !given("keys-file"), "--audience is for --keys-file")
	_, err := sessionfile.ParseTemplate(c.template, sessionfile.Hash.Length())
	refuse(err != nil, "--template %v", err)
	refuse(c.flags.NArg() == 0, "no directory given")
	for _, dir := range c.flags.Args() {
		abs, err := filepath.Abs(dir)
		refuse(dir == "", "the name of a directory is empty")
		refuse(err != nil, "%v", err)
		if !slices.Contains(c.dirs, abs) {
			c.dirs = append(c.dirs, abs)
		}
	}
	return errors.Join(errs...)
}

// maxInput bounds the files that are read, in bytes.
const maxInput = 1 << 20

// read reads the files of the command line, before the command takes on other rights.
func (c *config) read(stdin io.Reader) error {
	if c.ownerFile != "" {
		text, err := readInput(c.ownerFile, stdin)
		if err != nil {
			return fmt.Errorf("--owner-file: %w", err)
		}
		c.owner = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
		if c.owner == "" {
			return errors.New("--owner-file is empty; sessions without an owner are not those of one")
		}
	}
	if c.keysFile == "" {
		return nil
	}
	text, err := readInput(c.keysFile, nil)
	if err != nil {
		return fmt.Errorf("--keys-file: %w", err)
	}
	keys, err := securecookie.ParseKeys(text)
	if err == nil {
		c.sealer, err = securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: keys, Audience: c.audience})
	}
	if err != nil {
		return fmt.Errorf("--keys-file: %w", err)
	}
	return nil
}

// readInput reads a file, or the standard input where there is one and the name is "-".
func readInput(path string, stdin io.Reader) (string, error) {
	if path != "-" || stdin == nil {
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer file.Close()
		stdin = file
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxInput+1))
	if err == nil && len(text) > maxInput {
		err = fmt.Errorf("more than %d bytes", maxInput)
	}
	return string(text), err
}

// texts returns the texts of the command.
func (c *config) texts() *command.Command {
	return &command.Command{
		Name: name, Brief: "list and end the sessions of an owner", Needs: "--owner NAME", About: about, Note: asRoot, Examples: examples,
		Statuses: exitStatuses, SeeAlso: []string{"sessprune 8"}, Flags: c.flags,
	}
}
