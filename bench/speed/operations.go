//go:build unix

package main

import "sync/atomic"

// operations are the works that a library can be asked for, by name. Each makes
// a worker for one goroutine.
var operations = map[string]func(library) worker{
	"load":    load,
	"read":    read,
	"save":    save,
	"change":  change,
	"life":    life,
	"reads":   func(l library) worker { return recorded(l, false) },
	"changes": func(l library) worker { return recorded(l, true) },
}

// load loads a session.
func load(l library) worker { return worker{do: l.hold().load} }

// read loads a session and reads two values.
func read(l library) worker {
	h := l.hold()
	return worker{do: func(slot, i int) error {
		if err := h.load(slot, i); err != nil {
			return err
		}
		return h.read(slot)
	}}
}

// save changes one value of a loaded session, and saves.
func save(l library) worker {
	h := l.hold()
	return worker{before: h.load, do: func(slot, _ int) error { return changeAndSave(h, slot) }}
}

// last makes each change one.
var last atomic.Int64

func changeAndSave(h holder, slot int) error {
	if err := h.change(slot, int(last.Add(1))); err != nil {
		return err
	}
	return h.save(slot)
}

// change loads a session, reads two values, changes one and saves.
func change(l library) worker {
	h := l.hold()
	return worker{do: func(slot, i int) error {
		if err := h.load(slot, i); err != nil {
			return err
		}
		if err := h.read(slot); err != nil {
			return err
		}
		return changeAndSave(h, slot)
	}}
}

// life makes a session of all values, saves it and deletes it.
func life(l library) worker {
	h := l.hold()
	return worker{do: func(slot, _ int) error {
		if err := h.begin(slot); err != nil {
			return err
		}
		if err := h.save(slot); err != nil {
			return err
		}
		return h.end(slot)
	}}
}
