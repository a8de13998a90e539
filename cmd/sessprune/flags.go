package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/sessfs/sessions/internal/command"
	"github.com/sessfs/sessions/internal/sessionfile"
)

// A config is the content of the command line.
type config struct {
	dirs        []string // absolute
	idleTimeout time.Duration
	lifetime    time.Duration
	exact       bool
	template    string
	dryRun      bool
	limit       int
	timeBudget  time.Duration
	rate        float64
	corrupt     string
	json        bool
	metricsFile string // absolute
	verbose     bool
	quiet       bool
	progress    string
	report      bool
	version     bool
	help        bool

	flags *pflag.FlagSet
}

// parseArgs reads the command line.
func parseArgs(args []string) (*config, error) {
	c := &config{corrupt: "keep", flags: pflag.NewFlagSet("sessprune", pflag.ContinueOnError)}
	f := c.flags
	f.SortFlags = false
	f.Usage = func() {}
	f.Var((*age)(&c.idleTimeout), "idle-timeout", "end sessions that were idle for `duration`: 336h, 14d, 2w, 1d12h. "+
		"Needed unless the sessions' files say themselves when they end")
	f.Var((*age)(&c.lifetime), "lifetime", "end sessions that began, or were renewed, `duration` ago, however much they are used. "+
		"With --idle-timeout they may stay that much longer, unless --exact is there")
	f.BoolVar(&c.exact, "exact", false, "open every file, for the time at which its session began")
	f.StringVar(&c.template, "template", "session_%s.sess", "the `name` of the sessions' files, with %s for the ID")
	f.BoolVarP(&c.dryRun, "dry-run", "n", false, "do all but remove anything")
	f.BoolVar(&c.report, "report", false, "draw ages and sizes, and the number of sessions that would go at each timeout; remove nothing")
	f.Var(command.Choice{Word: &c.corrupt, Of: []string{"keep", "delete"}}, "corrupt", "the `action` on damaged session files: keep does not look for them, delete reads every file")
	f.IntVar(&c.limit, "limit", 0, "stop after removing `count` files from a directory")
	f.Var((*age)(&c.timeBudget), "time-budget", "stop after `duration` for each directory")
	f.Float64Var(&c.rate, "rate", 0, "remove at most `count` files a second")
	f.BoolVar(&c.json, "json", false, "print the result as JSON")
	f.StringVar(&c.metricsFile, "metrics-file", "", "write `file` for Prometheus' textfile collector. "+
		"Runs for other directories may share it")
	f.Var(command.BarWhen(&c.progress))
	f.BoolVarP(&c.verbose, "verbose", "v", false, "name every file that goes, by a short hash")
	f.BoolVarP(&c.quiet, "quiet", "q", false, "print errors only")
	f.BoolVar(&c.version, "version", false, "print the version")
	f.BoolVarP(&c.help, "help", "h", false, "print this help")
	if err := f.Parse(args); err != nil || c.help || c.version {
		return c, err
	}
	return c, c.check()
}

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
	refuse(given("idle-timeout") && c.idleTimeout < time.Second, "--idle-timeout %v: want 1s or more", c.idleTimeout)
	refuse(given("lifetime") && c.lifetime < time.Second, "--lifetime %v: want 1s or more", c.lifetime)
	refuse(given("limit") && c.limit <= 0, "--limit %d: want 1 or more", c.limit)
	refuse(given("rate") && (!(c.rate > 0) || math.IsInf(c.rate, 0)), "--rate %v: want more than 0", c.rate)
	_, err := sessionfile.ParseTemplate(c.template, sessionfile.Hash.Length())
	refuse(err != nil, "--template %v", err)
	refuse(c.verbose && c.quiet, "--verbose and --quiet exclude each other")
	refuse(given("metrics-file") && c.metricsFile == "", "--metrics-file: which file?")
	refuse(c.flags.NArg() == 0, "no directory given")
	for _, dir := range c.flags.Args() {
		abs, err := filepath.Abs(dir)
		refuse(dir == "", "the name of a directory is empty")
		refuse(err != nil, "%v", err)
		if !slices.Contains(c.dirs, abs) {
			c.dirs = append(c.dirs, abs)
		}
	}
	if c.metricsFile != "" {
		abs, err := filepath.Abs(c.metricsFile)
		refuse(err != nil, "%v", err)
		c.metricsFile = abs
		fi, err := os.Lstat(abs)
		refuse(err == nil && !fi.Mode().IsRegular(), "--metrics-file: %s is %v", abs, errIrregular)
	}
	return errors.Join(errs...)
}

// An age is a flag whose value is a duration of more than zero.
type age time.Duration

func (a *age) String() string {
	if *a == 0 {
		return ""
	}
	return time.Duration(*a).String()
}

func (a *age) Type() string { return "duration" }

func (a *age) Set(text string) error {
	d, err := command.ParseDuration(text)
	if err != nil {
		return err
	}
	if d <= 0 {
		return errors.New("want more than 0")
	}
	*a = age(d)
	return nil
}
