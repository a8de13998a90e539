package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// The other kind of store: its server keeps each value by itself, ends sessions by
// its own clock, and receives changes.
func TestServerThatMergesKeepsEveryRule(t *testing.T) {
	Run(t, func(t *testing.T, o Options) sessions.SessionStore { return newRemote(t, o.IdleTimeout) })
}

func TestUpdatesOfTwoClientsOfAServerAddUp(t *testing.T) {
	one := newRemote(t, 0)
	other := newRemote(t, 0)
	other.server = one.server
	const n sessions.Key[int64] = "n"
	s := one.New()
	n.Set(s, 0)
	if err := one.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	err := together(8, func(i int) error {
		store := []*remote{one, other}[i%2]
		for range 50 {
			s, err := store.Get(t.Context(), s.ID())
			if err == nil {
				err = store.Update(t.Context(), s, func(s *sessions.Session) error { n.Set(s, n.Get(s)+1); return nil })
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	got, loadErr := other.Get(t.Context(), s.ID())
	if err := errors.Join(err, loadErr); err != nil || n.Get(got) != 400 {
		t.Errorf("counted to %d, %v", n.Get(got), err)
	}
}

// A hash is a session on the server.
type hash struct {
	attributes sessions.Record
	values     map[string]string
	used       time.Time
}

func (h *hash) record() *sessions.Record {
	if h == nil {
		return nil
	}
	rec := h.attributes
	rec.Used, rec.Fields = h.used, []sessions.Field{}
	for key, value := range h.values {
		rec.Fields = append(rec.Fields, sessions.Field{Key: key, Value: value})
	}
	return &rec
}

// A server carries out requests, each of them whole.
type server struct {
	mu      sync.Mutex
	hashes  map[string]*hash
	answers map[string]answer // by the version that the request made
	idle    time.Duration
	asked   int
	closed  bool
}

// get returns a hash that has not expired.
func (sv *server) get(key string) *hash {
	h := sv.hashes[key]
	if h == nil {
		return nil
	}
	idle := sv.idle
	if own := h.attributes.IdleTimeout; own > 0 {
		idle = own
	}
	lifetime := h.attributes.Lifetime
	if idle > 0 && time.Since(h.used) >= idle || lifetime > 0 && time.Since(h.attributes.Created) >= lifetime {
		delete(sv.hashes, key)
		return nil
	}
	return h
}

// A request is a change as it is sent. The version that it makes is its own, by which
// the server notices a repeated request.
type request struct {
	key, newKey, ended   string
	on, makes            string // versions
	exact, fresh, renews bool
	cleared              bool
	deleted              []string
	set                  map[string]string
	attributes           sessions.Record
	sets                 sessions.Attributes
}

func newRequest(c *sessions.Change) request {
	r := request{
		key: c.Key(), newKey: c.NewKey(), ended: c.Ended(), makes: rand.Text(),
		fresh: c.Fresh(), renews: c.Renewed(), cleared: c.Cleared(), set: make(map[string]string),
	}
	r.on, r.exact = c.BuildsOn()
	r.attributes, r.sets = c.Attributes()
	for f := range c.Set() {
		r.set[f.Key] = f.Value
	}
	for key := range c.Deleted() {
		r.deleted = append(r.deleted, key)
	}
	return r
}

// An answer is the result of a request: done, taken when the new key is in use, or
// neither when the change builds on another record than the stored one.
type answer struct {
	done, taken bool
	now         *sessions.Record // the stored record; nil for none, and after done when the client knows it
}

func (sv *server) do(r request) answer {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	if a, ok := sv.answers[r.makes]; ok {
		return a // the request is repeated, perhaps after others
	}
	a := sv.carryOut(r)
	if a.done {
		sv.answers[r.makes] = a
	}
	return a
}

func (sv *server) carryOut(r request) answer {
	h := sv.get(r.key)
	needed := r.exact || r.newKey != "" && !r.fresh
	switch {
	case needed && h == nil && r.on != "":
		return answer{}
	case r.exact && h != nil && h.attributes.Version != r.on:
		return answer{now: h.record()}
	case r.newKey == "":
		delete(sv.hashes, r.ended)
		return answer{done: true}
	case r.fresh && sv.get(r.newKey) != nil:
		return answer{taken: true}
	}
	next := &hash{values: make(map[string]string)}
	if h != nil && (!r.fresh || r.renews) {
		next.attributes = h.attributes
		maps.Copy(next.values, h.values)
	}
	delete(sv.hashes, r.ended)
	next.apply(r)
	sv.hashes[r.newKey] = next
	if h != nil && !r.fresh && h.attributes.Version != r.on {
		return answer{done: true, now: next.record()}
	}
	return answer{done: true}
}

func (h *hash) apply(r request) {
	if r.cleared {
		clear(h.values)
	}
	for _, key := range r.deleted {
		delete(h.values, key)
	}
	maps.Copy(h.values, r.set)
	a := &h.attributes
	a.Codec, a.Version, h.used = r.attributes.Codec, r.makes, time.Now()
	if r.sets.Created {
		a.Created = r.attributes.Created
	}
	if r.sets.AuthenticatedAt {
		a.AuthenticatedAt = r.attributes.AuthenticatedAt
	}
	if r.sets.IdleTimeout {
		a.IdleTimeout = r.attributes.IdleTimeout
	}
	if r.sets.Lifetime {
		a.Lifetime = r.attributes.Lifetime
	}
	if r.sets.Persistence {
		a.Persistence = r.attributes.Persistence
	}
	if r.sets.Owner {
		a.Owner = r.attributes.Owner
	}
	if r.sets.Meta {
		a.Meta = r.attributes.Meta
	}
}

// A remote is the store of a server.
type remote struct {
	*sessions.Base
	server *server
}

func newRemote(t *testing.T, idle time.Duration) *remote {
	st := &remote{server: &server{hashes: make(map[string]*hash), answers: make(map[string]answer), idle: idle}}
	var err error
	st.Base, err = sessions.NewBase(st, sessions.BaseOptions{IdleTimeout: idle, SelfExpiring: true})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// ask calls the server, if it can be reached. Now and then the answer is lost, and
// the client asks again.
func ask[T any](ctx context.Context, sv *server, do func() T) (answer T, err error) {
	if err := ctx.Err(); err != nil {
		return answer, err
	}
	sv.mu.Lock()
	closed, lost := sv.closed, sv.asked%3 == 2
	sv.asked++
	sv.mu.Unlock()
	if closed {
		return answer, errClosed
	}
	if lost {
		do()
	}
	return do(), nil
}

func (st *remote) Load(ctx context.Context, key string) (sessions.Record, error) {
	rec, err := ask(ctx, st.server, func() *sessions.Record {
		st.server.mu.Lock()
		defer st.server.mu.Unlock()
		return st.server.get(key).record()
	})
	if rec == nil {
		return sessions.Record{}, errors.Join(err, missingUnless(err))
	}
	return *rec, err
}

func missingUnless(err error) error {
	if err != nil {
		return nil
	}
	return sessions.ErrNotStored
}

func (st *remote) Commit(ctx context.Context, c *sessions.Change) error {
	on := c.Base()
	for {
		if err := c.Apply(on); err != nil {
			return err
		}
		r := newRequest(c)
		a, err := ask(ctx, st.server, func() answer { return st.server.do(r) })
		switch {
		case err != nil:
			return err
		case a.taken:
			return sessions.ErrExists
		case a.done && a.now != nil:
			return c.SetStored(*a.now)
		case a.done:
			c.SetVersion(r.makes)
			return nil
		}
		on = a.now
	}
}

func (st *remote) Touch(ctx context.Context, s *sessions.Session, interval time.Duration) (touched bool, err error) {
	key, err := st.KeyOf(s)
	if err != nil {
		return false, err
	}
	var missing bool
	_, err = ask(ctx, st.server, func() bool {
		st.server.mu.Lock()
		defer st.server.mu.Unlock()
		h := st.server.get(key)
		if missing = h == nil; !missing && time.Since(h.used) >= interval {
			h.used, touched = time.Now(), true
		}
		return touched
	})
	if err == nil && missing {
		err = sessions.ErrDeleted
	}
	return touched, err
}

func (st *remote) GetTouch(ctx context.Context, id string, interval time.Duration) (s *sessions.Session, touched bool, err error) {
	s, err = st.GetFrom(ctx, id, func(ctx context.Context, key string) (sessions.Record, error) {
		_, err := ask(ctx, st.server, func() bool {
			st.server.mu.Lock()
			defer st.server.mu.Unlock()
			if h := st.server.get(key); h != nil && time.Since(h.used) >= interval {
				h.used, touched = time.Now(), true
			}
			return touched
		})
		if err != nil {
			return sessions.Record{}, err
		}
		return st.Load(ctx, key)
	})
	return s, touched, err
}

func (st *remote) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		keys, err := ask(ctx, st.server, func() (keys []string) {
			st.server.mu.Lock()
			defer st.server.mu.Unlock()
			for key := range st.server.hashes {
				if st.server.get(key) != nil {
					keys = append(keys, key)
				}
			}
			return keys
		})
		for _, key := range keys {
			if err = ctx.Err(); err != nil || !yield(key, nil) {
				break
			}
		}
		if err != nil {
			yield("", err)
		}
	}
}

func (st *remote) Close() error {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	st.server.closed = true
	return nil
}
