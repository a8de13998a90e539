//go:build unix

package main

import (
	"errors"
	"path/filepath"
)

// numbered measures the cost of more sessions. They are taken at random.
func (p *plan) numbered(at place) (err error) {
	if !p.wants("load by number", "save by number") {
		return nil
	}
	libraries, closeAll, err := p.open(at, sizes[0], 0, specNamed(nameFiles), specNamed(nameMemstore))
	defer func() { err = errors.Join(err, closeAll()) }()
	if err != nil {
		return err
	}
	floor, err := openFloorOn(libraries[0])
	if err != nil {
		return err
	}
	defer floor.close()
	libraries = append(libraries, floor)
	for _, n := range p.amounts.numbers {
		for _, l := range libraries {
			if n > 10_000 {
				p.say("     %s, making %d sessions: %s", at.name, n, l.name)
			}
			if _, err := l.fill(n); err != nil {
				return &contenderError{l.name, err}
			}
		}
		s := scene{System: at.name, Size: sizes[0].size, Sessions: n, Goroutines: 1, Processes: 1}
		for _, operation := range []string{"load", "save"} {
			s.Operation = operation + " by number"
			list := contenders(libraries, operation, n, 1)
			for _, c := range list {
				c.workers[0].long = operation == "save"
			}
			if err := p.scene(s, list); err != nil {
				return err
			}
		}
	}
	return nil
}

// A floorOn works on the files of a store themselves, which many are made of but once.
// A save writes back the bytes that it has read.
type floorOn struct {
	*floor
	files library
}

func openFloorOn(files opened) (opened, error) {
	image, err := sampleFile(environment{dir: files.dir, values: sizes[0]})
	if err != nil {
		return opened{}, err
	}
	f := &floor{path: filepath.Join(files.dir, "sessions"), image: image, stat: true}
	err = f.enter(sizes[0])
	return opened{spec: specNamed(nameFloor), library: &floorOn{f, files}}, err
}

func (f *floorOn) fill(n int) ([]string, error) {
	ids, err := f.files.fill(n)
	for _, id := range ids[len(f.names):] {
		f.names = append(f.names, "session_"+id+".sess")
	}
	return f.names, err
}
