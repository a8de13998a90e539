package integration

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// The size of one history. A checker's work grows with the number of operations that overlap.
const (
	historyStores  = 3 // which share nothing, as in as many processes
	historyClients = 9
	historyOps     = 12 // of a client

	// Where the server is killed each client may have a save that was sent twice.
	downClients = 5
	downOps     = 40
)

// A browser does one operation after the other on the session of a history.
type browser struct {
	number  int
	store   *redisstore.Store
	current *atomic.Value     // the ID that the session has, as browsers were told last
	s       *sessions.Session // as it was loaded, perhaps long ago
	values  int               // for their names
	gone    int               // how often in a row it found no session
	ops     []op
	err     error
}

var began = time.Now()

// now is the time of an operation, in nanoseconds.
func now() int64 { return int64(time.Since(began)) }

// run does operations, and stops early when the session has ended.
func (b *browser) run(count int) {
	for range count {
		if err := b.step(); err != nil || b.err != nil || b.gone == 4 {
			b.err = errors.Join(b.err, err)
			return
		}
	}
}

func (b *browser) step() error {
	switch n := rand.IntN(100); {
	case b.s == nil || n < 30:
		return b.get()
	case n < 60:
		return b.save(save)
	case n < 85:
		return b.update()
	case n < 95:
		return b.save(renew)
	case n < 96:
		return b.save(destroy)
	default:
		return b.get()
	}
}

// do carries out and notes an operation. f fills in its outcome.
func (b *browser) do(o op, f func(*op) error) {
	o.client, o.call = b.number, now()
	err := f(&o)
	o.ret = now()
	switch {
	case errors.Is(err, sessions.ErrDeleted):
		o.ended = true
		if rand.IntN(3) > 0 { // otherwise it tries again with the same session
			b.s = nil
		}
	case err != nil:
		o.unknown, b.s = true, nil
		b.err = answers(b.store)
	}
	b.ops = append(b.ops, o)
}

func (b *browser) get() error {
	var damaged error
	b.do(op{kind: get, id: b.current.Load().(string)}, func(o *op) error {
		s, err := b.store.Get(background, o.id)
		if b.s = nil; err != nil {
			return err
		}
		if o.ended = s.New(); o.ended {
			b.gone++
		} else {
			b.s, b.gone = s, 0
			o.result, damaged = valuesOf(s)
		}
		return nil
	})
	return damaged
}

// change makes changes to a session, and notes them.
func (b *browser) change(o *op, s *sessions.Session) {
	o.clear, o.a, o.b = rand.IntN(20) == 0, nil, nil
	if o.clear {
		s.Clear()
	}
	for key, note := range map[string]**string{"a": &o.a, "b": &o.b} {
		switch n := rand.IntN(10); {
		case n < 4:
			b.values++
			name := fmt.Sprint(b.number, ".", b.values)
			s.Set(key, name)
			*note = &name
		case n < 6 && s.Get(key) != nil:
			s.Delete(key)
			*note = new(string)
		}
	}
	s.MarkModified()
}

func (b *browser) save(k kind) error {
	var damaged error
	s := b.s
	b.do(op{kind: k, id: s.ID()}, func(o *op) error {
		switch k {
		case destroy:
			s.Destroy()
			b.s = nil
			return b.store.Save(background, s)
		case renew:
			s.Renew()
		}
		b.change(o, s)
		err := b.store.Save(background, s)
		if o.newID = o.id; k == renew {
			o.newID = "of no browser"
		}
		if err == nil {
			o.newID = s.ID()
			if k == renew {
				b.current.Store(o.newID)
			}
			o.result, damaged = valuesOf(s)
		}
		return err
	})
	return damaged
}

func (b *browser) update() error {
	var damaged error
	s := b.s
	b.do(op{kind: update, id: s.ID()}, func(o *op) error {
		err := b.store.Update(background, s, func(s *sessions.Session) error {
			o.seen, damaged = valuesOf(s)
			b.change(o, s)
			counter.Set(s, counter.Get(s)+1)
			return nil
		})
		if err == nil {
			o.result, damaged = valuesOf(s)
		}
		return err
	})
	return damaged
}

func valuesOf(s *sessions.Session) (v values, err error) {
	a, _ := s.Get("a").(string)
	b, _ := s.Get("b").(string)
	v = values{A: a, B: b, N: counter.Get(s)}
	for key := range s.All() {
		if key != "a" && key != "b" && key != "n" {
			err = errors.New("it has a value that was never set")
		}
	}
	return v, err
}

// play makes a history on the stores and checks it. disturb begins it, and returns when the
// server was down, as an operation if it is one.
func play(t *testing.T, stores []*redisstore.Store, disturb func(begin func()) (down op)) (first life, ops []op) {
	t.Helper()
	s := saved(t, stores[0], map[string]any{"a": "first", "b": "first"})
	first = life{s.ID(), values{A: "first", B: "first"}}
	var current atomic.Value
	current.Store(s.ID())
	clients, count := historyClients, historyOps
	if disturb != nil {
		clients, count = downClients, downOps
	} else {
		disturb = func(begin func()) op { begin(); return op{call: math.MaxInt64} }
	}
	var running sync.WaitGroup
	var all []*browser
	for i := range clients {
		all = append(all, &browser{number: i, store: stores[i%len(stores)], current: &current})
	}
	down := disturb(func() {
		for _, b := range all {
			running.Go(func() { b.run(count) })
		}
	})
	running.Wait()
	if down.kind != "" {
		ops = append(ops, down)
	}
	for _, b := range all {
		if b.err != nil {
			t.Error(b.err)
		}
		for _, o := range b.ops {
			o.repeated = o.call < down.ret && down.call < o.ret
			ops = append(ops, o)
		}
	}
	if got := linearizable(first, ops, 2*time.Minute); got != porcupine.Ok {
		slices.SortFunc(ops, func(a, b op) int { return int(a.call - b.call) })
		for _, o := range ops {
			t.Log(o)
		}
		t.Errorf("a history is not linearizable: %v", got)
	}
	return first, ops
}

// A tally counts the operations of histories.
type tally map[string]int

func (n tally) add(ops []op) {
	for _, o := range ops {
		n["all"]++
		n[string(o.kind)]++
		if o.unknown {
			n["without an answer"]++
		}
		if o.ended {
			n["of an ended session"]++
		}
	}
}

func (n tally) check(t *testing.T, kinds ...kind) {
	t.Helper()
	t.Logf("operations: %v", map[string]int(n))
	for _, k := range append(kinds, get, save, update, renew, destroy) {
		if n[string(k)] == 0 {
			t.Errorf("no %s was done: the test shows less than it says", k)
		}
	}
	if n["without an answer"] == 0 {
		t.Error("each operation had an answer: the server was not down in the midst of them")
	}
}

func TestHistoriesAreLinearizableWhenTheServerIsKilled(t *testing.T) {
	count := times(t, 10_000, 100_000)
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	var plain, sealed []*redisstore.Store
	ring := keyRing(t)
	for range historyStores {
		client := hasty(t, server)
		plain = append(plain, newStore(t, client, redisstore.Options{}))
		sealed = append(sealed, newStore(t, client, redisstore.Options{Sealer: ring}))
	}
	total := make(tally)
	for n := 0; total["all"] < count && !t.Failed(); n++ {
		disturb := func(begin func()) (down op) {
			begin()
			time.Sleep(rand.N(15 * time.Millisecond))
			down.call = now()
			server.Kill()
			down.ret = now()
			if n%8 == 0 { // for longer than a store tries again
				time.Sleep(250 * time.Millisecond)
			}
			server.Restart(t)
			for _, store := range plain {
				awaitServer(t, store)
			}
			return down
		}
		if n%4 != 0 {
			disturb = nil
		}
		stores := plain
		if n/4%3 == 2 {
			stores = sealed
		}
		_, ops := play(t, stores, disturb)
		total.add(ops)
	}
	total.check(t)
}
