//go:build linux

package powercut

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/sessfs/sessions"
)

var background = context.Background()

// A writer saves in a loop, and notes its requests before and their
// acknowledgements after: sessions of its own, which it also renews and ends,
// and sessions that it shares with the other writers.
type writer struct {
	number int
	store  *sessions.FilesystemSessionStore
	rec    *records
	shared []string
	own    []string // IDs
	count  int64    // the number of the last state
	acks   int
}

// mostOwn is how many sessions of its own a writer keeps: few, so that each is
// saved often and the slots are overwritten many times before the cut.
const mostOwn = 6

// run saves until the power is gone, and returns an error that came before.
func (w *writer) run() error {
	for {
		err := w.step()
		if w.rec.gone.Load() {
			return nil
		}
		if err != nil {
			return err
		}
		w.acks++
	}
}

func (w *writer) step() error {
	if len(w.own) == 0 || len(w.own) < mostOwn && rand.N(8) == 0 {
		return w.make()
	}
	i := rand.N(len(w.own))
	switch id := w.own[i]; rand.N(12) {
	case 0:
		return w.renew(i)
	case 1:
		return w.end(i, w.store.Delete)
	case 2:
		return w.end(i, func(ctx context.Context, s *sessions.Session) error {
			s.Destroy()
			return w.store.Save(ctx, s)
		})
	case 3, 4, 5:
		return w.save(w.shared[rand.N(len(w.shared))], false)
	default:
		return w.save(id, true)
	}
}

// next is a state that fits into the smallest slots, or one that may need
// larger ones, of several pages. Every other writer has small ones alone: the files of its
// sessions stay open.
func (w *writer) next() state {
	w.count++
	size := rand.N(600)
	if w.number%2 == 0 && rand.N(2) == 0 {
		size = rand.N(12_000)
	}
	return newState(w.count, size)
}

func (w *writer) make() error {
	s, v := w.store.New(), w.next()
	if owner := rand.N(1 + len(owners)); owner < len(owners) {
		s.Login(owners[owner])
	}
	v.set(s, w.number)
	w.rec.ask(s.ID(), w.number, v)
	if err := w.store.Save(background, s); err != nil {
		return err
	}
	w.rec.ack(s.ID(), w.number, v)
	w.own = append(w.own, s.ID())
	return nil
}

// load returns a session that must be there: only this writer ends it.
func (w *writer) load(id string) (*sessions.Session, error) {
	s, err := w.store.Get(background, id)
	if err == nil && s.New() {
		err = errors.New("a session is gone although the power is on")
	}
	return s, err
}

func (w *writer) save(id string, own bool) error {
	s, err := w.load(id)
	if err != nil {
		return err
	}
	if own && stateOf(s, w.number).number == 0 {
		return fmt.Errorf("%v has lost its values although the power is on", s)
	}
	v := w.next()
	w.rec.ask(id, w.number, v)
	if rand.N(2) == 0 {
		v.set(s, w.number)
		err = w.store.Save(background, s)
	} else {
		err = w.store.Update(background, s, func(s *sessions.Session) error {
			v.set(s, w.number)
			return nil
		})
	}
	if err == nil {
		w.rec.ack(id, w.number, v)
	}
	return err
}

func (w *writer) renew(i int) error {
	id, v := w.own[i], w.next()
	s, err := w.load(id)
	if err != nil {
		return err
	}
	v.set(s, w.number)
	s.Renew()
	w.rec.askEnd(id)
	w.rec.renew(w.number, v)
	if err := w.store.Save(background, s); err != nil {
		return err
	}
	w.rec.ackEnd(id)
	w.rec.ack(s.ID(), w.number, v)
	w.rec.renewed(w.number)
	w.own[i] = s.ID()
	return nil
}

func (w *writer) end(i int, end func(context.Context, *sessions.Session) error) error {
	id := w.own[i]
	s, err := w.load(id)
	if err != nil {
		return err
	}
	w.rec.askEnd(id)
	if err := end(background, s); err != nil {
		return err
	}
	w.rec.ackEnd(id)
	w.own = append(w.own[:i], w.own[i+1:]...)
	return nil
}
