//go:build unix

// Command speed measures this project, its peers and the bare system calls on
// the same work, in one process and one run, in turns, and prints a Markdown
// table of ratios. README.md has the method and how to read it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	log.SetFlags(0)
	if os.Getenv(childVariable) != "" {
		if err := serveParent(os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// options are the command's flags.
type options struct {
	dirs    places
	mount   string
	images  string
	quick   bool
	only    string
	json    string
	svg     string
	amounts amounts
}

// places are directories to measure in, by the names of their file systems.
type places []place

type place struct{ name, dir string }

func (p *places) String() string { return fmt.Sprint(*p) }

func (p *places) Set(text string) error {
	name, dir, ok := strings.Cut(text, "=")
	if !ok {
		return errors.New("want NAME=DIRECTORY, tmpfs=/dev/shm for example")
	}
	*p = append(*p, place{name, dir})
	return nil
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("speed", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Var(&o.dirs, "dir", "measure in `NAME=DIRECTORY`; may be repeated (default tmpfs=/dev/shm)")
	flags.StringVar(&o.mount, "mount", "", "as root, also make, mount and remove these `file systems`: tmpfs,ext4,xfs")
	flags.StringVar(&o.images, "images", "/dev/shm", "`directory` for the images of --mount")
	flags.BoolVar(&o.quick, "quick", false, "fewer rounds, and up to 100,000 sessions")
	flags.StringVar(&o.only, "only", "", "measure the `operations` alone whose name has this text")
	flags.StringVar(&o.json, "json", "", "also write all figures to this `file`")
	flags.StringVar(&o.svg, "svg", "", "also write charts to this `directory`")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if len(o.dirs) == 0 && o.mount == "" {
		o.dirs = places{{"tmpfs", "/dev/shm"}}
	}
	o.amounts = full
	if o.quick {
		o.amounts = quick
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	return measureAll(ctx, o, stdout, stderr)
}

// measureAll does all that the options ask for.
func measureAll(ctx context.Context, o options, stdout, stderr io.Writer) error {
	socket, stop, err := startRedis()
	if err != nil {
		return err
	}
	defer stop()
	p := &plan{ctx: ctx, amounts: o.amounts, only: o.only, socket: socket, progress: stderr}
	if err := p.run(o); err != nil {
		return err
	}
	rep := report{Machine: machine(), Date: today(), Scenes: p.scenes}
	if o.json != "" {
		text, err := json.MarshalIndent(rep, "", " ")
		if err == nil {
			err = os.WriteFile(o.json, append(text, '\n'), 0o644)
		}
		if err != nil {
			return err
		}
	}
	if o.svg != "" {
		if err := rep.charts(filepath.Clean(o.svg)); err != nil {
			return err
		}
	}
	return rep.print(stdout)
}
