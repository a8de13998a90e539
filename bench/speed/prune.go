//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pruned is the size of the sessions that are pruned.
var pruned = sizes[1]

// pruning measures sessprune beside find, each as cron runs it, on a directory of
// which half the sessions have expired. The times are those of one session.
func (p *plan) pruning(at place) (err error) {
	n := p.amounts.numbers[len(p.amounts.numbers)-1]
	s := scene{Operation: "prune", System: at.name, Size: pruned.size, Sessions: n, Goroutines: 1, Processes: 1}
	if !p.wants(s.Operation) {
		return nil
	}
	dir, err := os.MkdirTemp(at.dir, "prune")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs, err := pruners(p.ctx, dir)
	if err != nil {
		p.say("     %s, prune: skipped: %v", at.name, err)
		return nil
	}
	d, err := newHalfExpired(dir, n)
	if err != nil {
		return err
	}
	s.Results = make([]result, len(programs))
	for round := range p.amounts.prunings {
		p.say("%3d  %s, prune, %s, %d sessions, round %d of %d", len(p.scenes)+1, at.name, s.Size, n, round+1, p.amounts.prunings)
		for k := range programs {
			i := (k + round) % len(programs) // another one first in each round
			took, err := d.prune(p.ctx, programs[i])
			if err != nil {
				return &contenderError{programs[i].name, err}
			}
			s.Results[i].Name = programs[i].name
			s.Results[i].Rounds = append(s.Results[i].Rounds, float64(took)/float64(n))
		}
	}
	for i := range s.Results {
		r := &s.Results[i]
		r.Low, r.Nanos, r.High = quartiles(r.Rounds)
	}
	p.scenes = append(p.scenes, s)
	return nil
}

// A pruner is a command line for a directory.
type pruner struct {
	name string
	line func(dir string) []string
}

// pruners returns both, or the reason why there are none here.
func pruners(ctx context.Context, dir string) ([]pruner, error) {
	find, err := exec.LookPath("find")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "sessprune")
	if err := command(ctx, "go", "build", "-o", program, "github.com/sessfs/sessions/cmd/sessprune"); err != nil {
		return nil, err
	}
	return []pruner{
		{nameFind, func(dir string) []string {
			return []string{find, dir, "-name", "session_*.sess", "-mmin", "+20160", "-delete"}
		}},
		{nameSessprune, func(dir string) []string {
			return []string{program, "-q", "--idle-timeout", "14d", dir}
		}},
	}, nil
}

// A halfExpired is a directory of sessions. Those that a pruner has removed are made
// anew for the next one.
type halfExpired struct {
	path  string
	image []byte // of a file
	n     int
}

func newHalfExpired(dir string, n int) (*halfExpired, error) {
	image, err := sampleFile(environment{dir: dir, values: pruned})
	if err != nil {
		return nil, err
	}
	d := &halfExpired{filepath.Join(dir, "sessions"), image, n}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		return nil, err
	}
	return d, d.fill(false)
}

// prune lets a pruner work once.
func (d *halfExpired) prune(ctx context.Context, program pruner) (time.Duration, error) {
	if err := d.fill(true); err != nil {
		return 0, err
	}
	line := program.line(d.path)
	start := time.Now()
	err := command(ctx, line[0], line[1:]...)
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	left, err := entries(d.path)
	if err == nil && left != d.n/2 {
		err = fmt.Errorf("%d sessions are left of %d, want %d", left, d.n, d.n/2)
	}
	return took, err
}

// fill makes one half of the sessions, and waits until they are on the disk.
func (d *halfExpired) fill(expired bool) error {
	fd, err := unix.Open(d.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	used := time.Now()
	if expired {
		used = used.Add(-400 * time.Hour)
	}
	at := unix.NsecToTimespec(used.UnixNano())
	const writers = 2
	var wg sync.WaitGroup
	var errs [writers]error
	for w := range writers {
		wg.Go(func() {
			for i := w; i < d.n/2 && errs[w] == nil; i += writers {
				errs[w] = d.create(fd, at)
			}
		})
	}
	wg.Wait()
	unix.Sync()
	return errors.Join(errs[:]...)
}

// create makes one session.
func (d *halfExpired) create(dir int, used unix.Timespec) error {
	name := randomName()
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	_, err = unix.Pwrite(fd, d.image, 0)
	return errors.Join(err, unix.Close(fd), unix.UtimesNanoAt(dir, name, []unix.Timespec{used, used}, 0))
}

// entries counts the entries of a directory.
func entries(path string) (int, error) {
	dir, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	return len(names), err
}
