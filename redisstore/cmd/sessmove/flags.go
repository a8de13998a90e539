package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/command"
	"github.com/sessfs/sessions/securecookie"
)

// A config is the content of the command line.
type config struct {
	dir, url      string
	toRedis       bool
	cluster       bool
	prefix        string
	template      string
	idBytes       int
	idleTimeout   time.Duration
	lifetime      time.Duration
	fromKeys      string // names of environment variables
	toKeys        string
	fromAudience  string
	toAudience    string
	from, to      sessions.Sealer // of those keys, nil for none
	parallel      int
	dryRun        bool
	json          bool
	progress      string
	quiet         bool
	version, help bool

	flags *pflag.FlagSet
}

// parseArgs reads the command line.
func parseArgs(args []string) (*config, error) {
	c := &config{idleTimeout: sessions.DefaultIdleTimeout, lifetime: sessions.DefaultLifetime, flags: pflag.NewFlagSet(name, pflag.ContinueOnError)}
	f := c.flags
	f.SortFlags = false
	f.Usage = func() {}
	f.Var((*timeout)(&c.idleTimeout), "idle-timeout", "the application's idle timeout, a `duration` or never")
	f.Var((*timeout)(&c.lifetime), "lifetime", "the application's lifetime, a `duration` or never")
	f.StringVar(&c.prefix, "prefix", "session:", "the `text` that begins the keys of the server")
	f.BoolVar(&c.cluster, "cluster", false, "the URL is that of a cluster")
	f.StringVar(&c.template, "template", "session_%s.sess", "the `name` of the files, with %s for the ID")
	f.IntVar(&c.idBytes, "id-bytes", 32, "the random `bytes` of an ID")
	f.StringVar(&c.fromKeys, "from-keys", "", "the environment `variable` that has the keys of sealed sessions, where they come from")
	f.StringVar(&c.toKeys, "to-keys", "", "the same, where they go to: the first key seals them anew")
	f.StringVar(&c.fromAudience, "from-audience", "", "the `name` of the application in its key ring, for --from-keys")
	f.StringVar(&c.toAudience, "to-audience", "", "the same, for --to-keys")
	f.IntVar(&c.parallel, "parallel", 16, "move `count` sessions at once")
	f.BoolVarP(&c.dryRun, "dry-run", "n", false, "count the sessions, and move none")
	f.BoolVar(&c.json, "json", false, "print the result as JSON")
	f.Var(command.BarWhen(&c.progress))
	f.BoolVarP(&c.quiet, "quiet", "q", false, "print errors only")
	f.BoolVar(&c.version, "version", false, "print the version")
	f.BoolVarP(&c.help, "help", "h", false, "print this help")
	if err := f.Parse(args); err != nil || c.help || c.version {
		return c, err
	}
	return c, c.check()
}

// check finds all mistakes.
func (c *config) check() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if c.flags.NArg() == 2 {
		from, to := c.flags.Arg(0), c.flags.Arg(1)
		c.toRedis, c.dir, c.url = isURL(to), to, from
		if c.toRedis {
			c.dir, c.url = from, to
		}
		refuse(isURL(from) == isURL(to), "want a directory and the URL of a server, redis://localhost:6379/0")
		refuse(c.dir == "", "the name of the directory is empty")
	} else {
		refuse(true, "want two places: the one that the sessions come from, and the one that they go to")
	}
	refuse(c.idBytes < 20 || c.idBytes > 64, "--id-bytes %d: want 20 to 64; Redis takes no shorter IDs", c.idBytes)
	refuse(c.parallel < 1 || c.parallel > 1000, "--parallel %d: want 1 to 1000", c.parallel)
	var err error
	c.from, err = sealer("--from-keys", c.fromKeys, c.fromAudience)
	errs = append(errs, err)
	c.to, err = sealer("--to-keys", c.toKeys, c.toAudience)
	return errors.Join(append(errs, err)...)
}

func isURL(place string) bool { return strings.Contains(place, "://") }

// redacted returns a URL without its password.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the server"
	}
	return u.Redacted()
}

// sealer makes a key ring of the keys in an environment variable, nil without one.
func sealer(flag, variable, audience string) (sessions.Sealer, error) {
	if variable == "" {
		if audience != "" {
			return nil, fmt.Errorf("an audience is for keys: want %s", flag)
		}
		return nil, nil
	}
	keys, err := securecookie.ParseKeys(os.Getenv(variable))
	if err != nil {
		return nil, fmt.Errorf("%s: the variable %s: %w", flag, variable, err)
	}
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: keys, Audience: audience})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return ring, nil
}

// A timeout is a duration of a second or more, or never, as a flag.
type timeout time.Duration

func (t *timeout) String() string {
	switch d := time.Duration(*t); {
	case d == sessions.Never:
		return "never"
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	default:
		return d.String()
	}
}

func (t *timeout) Type() string { return "duration" }

func (t *timeout) Set(text string) error {
	if text == "never" {
		*t = timeout(sessions.Never)
		return nil
	}
	d, err := command.ParseDuration(text)
	if err != nil || d < time.Second {
		return errors.New("want 1s or more, as 336h, 14d or 2w, or never")
	}
	*t = timeout(d)
	return nil
}
