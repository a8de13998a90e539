//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// amounts say how much is measured.
type amounts struct {
	rounds     int
	per        time.Duration // of one contender in a round
	sessions   int
	numbers    []int // of sessions
	sizes      int   // so many of them
	goroutines []int
	prunings   int // rounds
}

var (
	full = amounts{
		rounds: 11, per: 12 * time.Millisecond, sessions: 1000, sizes: 3,
		numbers: []int{1000, 10_000, 100_000, 1_000_000}, goroutines: []int{8, 64}, prunings: 3,
	}
	quick = amounts{
		rounds: 7, per: 10 * time.Millisecond, sessions: 1000, sizes: 3,
		numbers: []int{1000, 10_000, 100_000}, goroutines: []int{8, 64}, prunings: 5,
	}
)

// A scene is one work under one set of conditions.
type scene struct {
	Operation  string   `json:"operation"`
	System     string   `json:"system"` // the file system
	Size       string   `json:"size"`
	Sessions   int      `json:"sessions"`
	Goroutines int      `json:"goroutines"`
	Processes  int      `json:"processes"`
	Results    []result `json:"results"`
}

// A plan measures scene after scene.
type plan struct {
	ctx      context.Context
	amounts  amounts
	only     string
	socket   string
	progress io.Writer
	started  time.Time
	scenes   []scene
}

// An opened library is one of the contenders of several scenes.
type opened struct {
	spec
	library
	dir string
}

// measure measures the scenes in a directory.
func (p *plan) measure(at place) error {
	dir, err := os.MkdirTemp(at.dir, "speed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	at.dir = dir
	for i, v := range sizes[:p.amounts.sizes] {
		if err := p.withSize(at, i, v); err != nil {
			return err
		}
	}
	if err := p.synced(at); err != nil {
		return err
	}
	if err := p.numbered(at); err != nil {
		return err
	}
	return p.pruning(at)
}

// scene measures one scene, unless only another was asked for.
func (p *plan) scene(s scene, contenders []contender) error {
	if !p.wants(s.Operation) {
		return nil
	}
	p.say("%3d  %s, %s, %s, %d sessions, %d goroutines, %d processes", len(p.scenes)+1, s.System, s.Operation, s.Size, s.Sessions, s.Goroutines, s.Processes)
	var err error
	s.Results, err = measure(p.ctx, contenders, p.amounts.rounds, p.amounts.per)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", s.Operation, s.System, err)
	}
	p.scenes = append(p.scenes, s)
	return nil
}

// say writes a line of progress.
func (p *plan) say(format string, args ...any) {
	fmt.Fprintf(p.progress, "%6s  %s\n", time.Since(p.started).Round(time.Second), fmt.Sprintf(format, args...))
}

func (p *plan) wants(operations ...string) bool {
	return slices.ContainsFunc(operations, func(o string) bool { return strings.Contains(o, p.only) })
}

// open opens libraries, each in a directory of its own, and stores n sessions.
func (p *plan) open(at place, v values, n int, wanted ...spec) (libraries []opened, close func() error, err error) {
	close = func() error {
		var errs []error
		for _, l := range libraries {
			errs = append(errs, l.close(), os.RemoveAll(l.dir))
		}
		return errors.Join(errs...)
	}
	for _, s := range wanted {
		if s.redis && p.socket == "" || s.waits && at.name == "tmpfs" || s.cookies && v.count*v.length > 3000 {
			continue
		}
		dir, err := os.MkdirTemp(at.dir, "library")
		if err != nil {
			return libraries, close, err
		}
		l, err := s.open(environment{dir, p.socket, v})
		if err != nil {
			return libraries, close, &contenderError{s.name, err}
		}
		libraries = append(libraries, opened{s, l, dir})
		if _, err := l.fill(n); err != nil {
			return libraries, close, &contenderError{s.name, err}
		}
	}
	return libraries, close, nil
}

// contenders are libraries at one operation.
func contenders(libraries []opened, operation string, sessions, goroutines int) (list []contender) {
	for _, l := range libraries {
		c := contender{name: l.name, sessions: sessions, tears: l.tears}
		for range goroutines {
			c.workers = append(c.workers, operations[operation](l))
		}
		list = append(list, c)
	}
	return list
}

// withSize measures all that is done with a thousand sessions of one size.
func (p *plan) withSize(at place, index int, v values) (err error) {
	n := p.amounts.sessions
	libraries, closeAll, err := p.open(at, v, n, specs...)
	defer func() { err = errors.Join(err, closeAll()) }()
	if err != nil {
		return err
	}
	s := scene{System: at.name, Size: v.size, Sessions: n, Goroutines: 1, Processes: 1}
	for _, operation := range []string{"read", "save", "change"} {
		s.Operation = operation
		if err := p.scene(s, contenders(libraries, operation, n, 1)); err != nil {
			return err
		}
	}
	if index > 0 {
		return nil
	}
	for _, part := range []func(place, scene, []opened) error{p.loads, p.lives, p.requests, p.served, p.crowds, p.cores, p.pairs} {
		if err := part(at, s, libraries); err != nil {
			return err
		}
	}
	return nil
}

// loads measures loading alone, also without what a timeout needs.
func (p *plan) loads(at place, s scene, libraries []opened) (err error) {
	more, closeMore, err := p.open(at, sizes[0], s.Sessions, noIdleSpec, noStatSpec)
	defer func() { err = errors.Join(err, closeMore()) }()
	if err != nil {
		return err
	}
	s.Operation = "load"
	return p.scene(s, contenders(slices.Concat(libraries, more), s.Operation, s.Sessions, 1))
}

func (p *plan) lives(_ place, s scene, libraries []opened) error {
	s.Operation = "life"
	var able []opened
	for _, l := range libraries {
		if !l.cookies {
			able = append(able, l)
		}
	}
	list := contenders(able, s.Operation, s.Sessions, 1)
	return p.scene(s, append(list, alone(libraries, nameSave, save, s.Sessions)))
}

// alone returns a contender that does another work with this project's files, to be
// compared in the same rounds.
func alone(libraries []opened, name string, work func(library) worker, sessions int) contender {
	i := slices.IndexFunc(libraries, func(l opened) bool { return l.name == nameFiles })
	return contender{name: name, sessions: sessions, workers: []worker{work(libraries[i])}}
}

// An untoucher wraps handlers that may leave the session alone.
type untoucher interface {
	wrap(http.Handler) http.Handler
}

// requests measures requests to a recorder.
func (p *plan) requests(_ place, s scene, libraries []opened) error {
	for _, byHand := range []string{"read", "change"} {
		s.Operation = byHand + "s"
		list := contenders(libraries, s.Operation, s.Sessions, 1)
		if err := p.scene(s, append(list, alone(libraries, nameByHand, operations[byHand], s.Sessions))); err != nil {
			return err
		}
	}
	s.Operation = "untouched"
	bare := libraries[0].handler(false)
	list := []contender{{name: nameFloor, sessions: s.Sessions, workers: []worker{recorder(bare, libraries[0].cookie)}}}
	for _, l := range libraries {
		if u, ok := l.library.(untoucher); ok {
			list = append(list, contender{name: l.name, sessions: s.Sessions, workers: []worker{recorder(u.wrap(bare), l.cookie)}})
		}
	}
	return p.scene(s, list)
}

// served measures requests over a connection.
func (p *plan) served(_ place, s scene, libraries []opened) error {
	for _, changes := range []bool{false, true} {
		s.Operation = "served reads"
		if changes {
			s.Operation = "served changes"
		}
		var list []contender
		for _, l := range libraries {
			w, stop, err := connected(l, changes)
			if err != nil {
				return err
			}
			defer stop()
			list = append(list, contender{name: l.name, sessions: s.Sessions, workers: []worker{w}})
		}
		if err := p.scene(s, list); err != nil {
			return err
		}
	}
	return nil
}

// crowds measures several goroutines.
func (p *plan) crowds(_ place, s scene, libraries []opened) error {
	for _, s.Goroutines = range p.amounts.goroutines {
		for _, s.Operation = range []string{"read", "change", "reads", "changes"} {
			if err := p.scene(s, contenders(libraries, s.Operation, s.Sessions, s.Goroutines)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cores measures two goroutines on one processor and on two.
func (p *plan) cores(_ place, s scene, libraries []opened) error {
	s.Goroutines = 2
	for _, operation := range []string{"read", "change"} {
		var list []contender
		for _, c := range contenders(libraries, operation, s.Sessions, s.Goroutines) {
			if c.name == nameFloor || c.name == nameFiles || c.name == nameMemstore {
				one, two := c, c
				one.name, one.cores = c.name+", one core", 1
				two.name, two.cores = c.name+", two cores", 2
				list = append(list, one, two)
			}
		}
		s.Operation = operation + " on one core and two"
		if err := p.scene(s, list); err != nil {
			return err
		}
	}
	return nil
}

// pairs measures two processes.
func (p *plan) pairs(_ place, s scene, libraries []opened) (err error) {
	s.Processes = 2
	for _, s.Operation = range []string{"read", "change"} {
		if !p.wants(s.Operation) {
			continue
		}
		var list []contender
		for _, l := range libraries {
			if !l.shared {
				continue
			}
			handles, err := l.fill(s.Sessions)
			if err != nil {
				return err
			}
			c, err := newChild(order{l.name, l.dir, p.socket, s.Operation, 0, handles})
			if err != nil {
				return &contenderError{l.name, err}
			}
			defer func() { err = errors.Join(err, c.close()) }()
			pair := contenders([]opened{l}, s.Operation, s.Sessions, 1)[0]
			pair.child = c
			list = append(list, pair)
		}
		if err := p.scene(s, list); err != nil {
			return err
		}
	}
	return nil
}

// synced measures saves that wait for the disk.
func (p *plan) synced(at place) (err error) {
	if at.name == "tmpfs" || !p.wants("synced save") {
		return nil
	}
	const few = 64 // each costs some milliseconds to make
	libraries, closeAll, err := p.open(at, sizes[0], few, renameSpec, syncFullSpec, specNamed(nameBolt))
	defer func() { err = errors.Join(err, closeAll()) }()
	if err != nil {
		return err
	}
	list := contenders(libraries, "save", few, 1)
	return p.scene(scene{Operation: "synced save", System: at.name, Size: sizes[0].size, Sessions: few, Goroutines: 1, Processes: 1}, list)
}

// sealing measures cookies by themselves.
func (p *plan) sealing() error {
	seal, open, err := sealing()
	if err != nil {
		return err
	}
	s := scene{Size: "1 KB", Sessions: 1, Goroutines: 1, Processes: 1}
	s.Operation = "seal"
	if err := p.scene(s, seal); err != nil {
		return err
	}
	s.Operation = "open"
	return p.scene(s, open)
}

// run measures everything: in directories, and on file systems that it mounts one
// after the other, since each takes memory.
func (p *plan) run(o options) error {
	p.started = time.Now()
	if err := p.sealing(); err != nil {
		return err
	}
	for _, at := range o.dirs {
		if err := p.measure(at); err != nil {
			return err
		}
	}
	if o.mount == "" {
		return nil
	}
	for name := range strings.SplitSeq(o.mount, ",") {
		err := mounted(p.ctx, o.images, name, func(dir string) error {
			return p.measure(place{name, filepath.Clean(dir)})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
