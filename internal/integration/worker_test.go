package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sessfs/sessions"
)

// A round is one session, which several processes use at the same time.
type round struct {
	ID      string
	Current string // the file that holds the ID which the session has now
	Clients []int  // the numbers of the process's goroutines
	Ops     int    // of each
	Start   int64  // when all begin
	Largest int    // bytes of the largest value
	Rm      bool   // an operator is among the clients
}

// worker is a process that takes part in rounds and reports its deeds.
var worker = program("worker", func() error {
	store, err := openStore(historyOptions(os.Getenv(dirVariable)))
	if err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var r round
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return err
		}
		clients := make([]*client, len(r.Clients))
		var wg sync.WaitGroup
		time.Sleep(time.Duration(r.Start - monotonic()))
		for i, number := range r.Clients {
			clients[i] = &client{round: r, store: store, number: number}
			wg.Go(clients[i].run)
		}
		wg.Wait()
		var ops []op
		for _, c := range clients {
			if c.err != nil {
				return c.err
			}
			ops = append(ops, c.ops...)
		}
		report, err := json.Marshal(ops)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", report)
	}
	return nil
})

// historyOptions have a timeout, so that a session can have another one: each save
// then has one more step.
func historyOptions(dir string) sessions.FilesystemOptions {
	return sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour}
}

// A client is a goroutine that does one operation after the other.
type client struct {
	round
	store  *sessions.FilesystemSessionStore
	number int
	s      *sessions.Session // as it was loaded, perhaps long ago; nil for nothing
	count  int               // of values, for their names
	ended  int               // how often in a row it found no session
	ops    []op
	err    error
}

// run does the client's operations, and stops early when the session has ended.
func (c *client) run() {
	for range c.Ops {
		if c.err = c.step(); c.err != nil || c.ended == 4 {
			return
		}
	}
}

// step loads the session, or changes the one that was loaded before. A third of
// the clients does little else than read, as fast as it can.
func (c *client) step() error {
	reads := 25
	if c.number%3 == 0 {
		reads = 95
	}
	switch n := rand.IntN(100); {
	case c.s == nil || rand.IntN(100) < reads:
		return c.get()
	case n < 55:
		return c.save(opSave)
	case n < 85:
		return c.update()
	case n < 96:
		return c.save(opRenew)
	case n < 97:
		return c.save(opDestroy)
	case n < 98 || !c.Rm:
		return c.end(opDelete)
	}
	return c.end(opRm)
}

// do runs and notes an operation. ErrDeleted is a result like any other; other
// errors end the test.
func (c *client) do(o op, act func(*op) error) error {
	o.Client = c.number
	o.Call = monotonic()
	err := act(&o)
	o.Return = monotonic()
	if errors.Is(err, sessions.ErrDeleted) {
		o.Ended, err = true, nil
		if rand.IntN(3) > 0 { // otherwise it tries again with the same session
			c.s = nil
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.Kind, err)
	}
	c.ops = append(c.ops, o)
	return nil
}

func (c *client) get() error {
	id, err := os.ReadFile(c.Current)
	if err != nil {
		return err
	}
	var s *sessions.Session
	err = c.do(op{Kind: opGet, ID: string(id)}, func(o *op) (err error) {
		s, err = c.store.Get(background, o.ID)
		return err
	})
	if err != nil {
		return err
	}
	o := &c.ops[len(c.ops)-1]
	if c.s = s; s.New() {
		c.s, o.Ended = nil, true
		c.ended++
		return nil
	}
	c.ended = 0
	o.After, err = valuesOf(s)
	return err
}

// change makes up a request's changes to a session, and does them.
func (c *client) change(o *op, s *sessions.Session) {
	if !c.Rm && rand.IntN(20) == 0 { // not the value that makes room
		o.Clear = true
		s.Clear()
	}
	for _, v := range []struct {
		key  string
		note **string
		size int
	}{{"a", &o.A, 0}, {"b", &o.B, 0}, {"big", &o.Big, c.Largest}} {
		_, has := s.Lookup(v.key)
		switch n := rand.IntN(10); {
		case n < 4:
			c.count++
			name, value := longValue(fmt.Sprint(c.number, ".", c.count), v.size)
			s.Set(v.key, value)
			*v.note = &name
		case n < 6 && has:
			s.Delete(v.key)
			*v.note = new(string)
		}
	}
}

func (c *client) save(kind string) error {
	s, o := c.s, op{Kind: kind, ID: c.s.ID()}
	c.change(&o, s)
	switch kind {
	case opRenew:
		s.Renew()
	case opDestroy:
		s.Destroy()
		c.s = nil // it becomes another session
	default:
		s.MarkModified()
	}
	err := c.do(o, func(*op) error { return c.store.Save(background, s) })
	if err != nil || kind == opDestroy {
		return err
	}
	return c.after(s)
}

// after notes the values of a session after a save.
func (c *client) after(s *sessions.Session) (err error) {
	o := &c.ops[len(c.ops)-1]
	if o.Ended {
		return nil
	}
	if o.Kind == opRenew {
		o.NewID = s.ID()
		if err := c.announce(o.NewID); err != nil {
			return err
		}
	}
	o.After, err = valuesOf(s)
	return err
}

// announce tells all clients the session's new ID. One that reads it too late
// works with an old one, as a browser may.
func (c *client) announce(id string) error {
	temp := fmt.Sprint(c.Current, ".", c.number)
	if err := os.WriteFile(temp, []byte(id), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, c.Current)
}

func (c *client) update() error {
	s := c.s
	err := c.do(op{Kind: opUpdate, ID: s.ID()}, func(o *op) error {
		var damaged error
		err := c.store.Update(background, s, func(s *sessions.Session) error {
			o.Seen, damaged = valuesOf(s)
			c.change(o, s)
			counter.Set(s, counter.Get(s)+1)
			return nil
		})
		return errors.Join(err, damaged)
	})
	if err != nil {
		return err
	}
	return c.after(s)
}

// end ends the session at once, by the store or behind its back.
func (c *client) end(kind string) error {
	s := c.s
	return c.do(op{Kind: kind, ID: s.ID()}, func(o *op) error {
		if kind == opDelete {
			return c.store.Delete(background, s)
		}
		err := os.Remove(filepath.Join(os.Getenv(dirVariable), "session_"+o.ID+".sess"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		o.Remove = true
		return err
	})
}

const counter sessions.Key[int64] = "n"

// roomKey has a value that never changes.
const roomKey = "room"

// longValue returns a value that repeats its name all over, so that a torn one shows,
// and the name, which stands for it in the history and has its length.
func longValue(name string, most int) (string, string) {
	if most > 0 {
		name = fmt.Sprint(name, ".", rand.IntN(most/(len(name)+6)))
	}
	return name, written(name)
}

// written returns the value of a name.
func written(name string) string {
	parts := strings.Split(name, ".")
	if len(parts) < 3 {
		return name
	}
	repeats, err := strconv.Atoi(parts[2])
	if err != nil {
		return ""
	}
	return name + strings.Repeat("|"+name, repeats)
}

// valuesOf reads a session, long values by their names.
func valuesOf(s *sessions.Session) (v values, err error) {
	for key, value := range s.All() {
		text, _ := value.(string)
		name, _, _ := strings.Cut(text, "|")
		switch key {
		case "a":
			v.A = name
		case "b":
			v.B = name
		case "big":
			v.Big = name
		case string(counter):
			v.N = counter.Get(s)
			continue
		}
		if text != written(name) {
			err = fmt.Errorf("nobody wrote these %d bytes: %.60q", len(text), text)
		}
	}
	return v, err
}
