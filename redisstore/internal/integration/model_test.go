package integration

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// values are the values of a session in a history; "" is a value that is not there. N
// counts updates.
type values struct {
	A, B string
	N    int
}

type kind string

const (
	get      kind = "get"
	save     kind = "save"
	update   kind = "update" // adds 1 to N
	renew    kind = "renew"
	destroy  kind = "destroy"
	failover kind = "failover" // a replica takes the master's place
)

// An op is an operation on the session of a history, and its outcome.
type op struct {
	kind         kind
	client       int
	call, ret    int64
	id           string // of the session that it was for
	clear        bool   // comes first
	a, b         *string
	unknown      bool   // there was no answer: it was carried out, is yet to be, or will not be
	ended        bool   // the answer was that there is no such session
	repeated     bool   // the connection may have broken, so that it was sent again
	blind        bool   // the result is not known
	seen, result values // as an update found them, and after the operation
	newID        string // after a renewal
}

// A life is a state of the session: it has one ID at a time, and none when it has ended.
type life struct {
	id string
	values
}

// A state is a life after all earlier ones, to which a failover may go back.
type state struct {
	life
	past []life
}

func (s state) equal(o state) bool { return s.life == o.life && slices.Equal(s.past, o.past) }

func (s state) then(l life) state {
	if l == s.life {
		return s
	}
	return state{l, append(slices.Clip(s.past), s.life)}
}

// next returns the states after the operation that its answer allows. One without an
// answer always is the last in some order, and without effect there.
func (o op) next(s state) []any {
	if o.kind == failover {
		all := []any{s}
		for i, l := range s.past {
			all = append(all, state{l, s.past[:i:i]})
		}
		return all
	}
	if s.id == "" || s.id != o.id {
		if o.unknown || o.ended || o.kind == destroy {
			return []any{s}
		}
		return nil
	}
	l := life{s.id, o.apply(s.values)}
	switch o.kind {
	case destroy:
		return []any{s.then(life{})}
	case renew:
		l.id = o.newID
	case update:
		l.N++
	}
	if !o.unknown && (o.ended || !o.blind && o.result != l.values || o.kind == update && o.seen != s.values) {
		return nil
	}
	return []any{s.then(l)}
}

// parts returns the operations that one is whose connection may have broken. When it was
// carried out, and sent again after others, the answer is that of the second time.
func (o op) parts() []op {
	if !o.repeated || o.unknown || o.kind == get || o.kind == destroy {
		return []op{o}
	}
	first, second := o, op{kind: get, client: o.client, call: o.call, ret: o.ret, id: cmp.Or(o.newID, o.id), ended: o.ended, result: o.result}
	if first.blind = true; o.ended {
		first.unknown, second = true, o
	}
	return []op{first, second}
}

// apply returns the values after a save, which carries the changes of its own request.
func (o op) apply(v values) values {
	if o.clear {
		v = values{}
	}
	if o.a != nil {
		v.A = *o.a
	}
	if o.b != nil {
		v.B = *o.b
	}
	return v
}

func (o op) String() string {
	text := fmt.Sprintf("%d-%d client %d: %s %.12s", o.call, o.ret, o.client, o.kind, o.id)
	if o.clear {
		text += " clear"
	}
	for name, v := range map[string]*string{"a": o.a, "b": o.b} {
		if v != nil {
			text += fmt.Sprintf(" %s=%q", name, *v)
		}
	}
	return text + fmt.Sprintf(" -> %.12s %+v ended=%v unknown=%v", o.newID, o.result, o.ended, o.unknown)
}

// linearizable reports whether there is an order of the operations, one at a time, in which every
// answer is right. It is unknown when none was found within the limit.
func linearizable(first life, ops []op, limit time.Duration) porcupine.CheckResult {
	model := porcupine.NondeterministicModel{
		Init:  func() []any { return []any{state{first, []life{{}}}} },
		Step:  func(s, input, _ any) []any { return input.(op).next(s.(state)) },
		Equal: func(a, b any) bool { return a.(state).equal(b.(state)) },
	}
	end := int64(0)
	for _, o := range ops {
		end = max(end, o.ret)
	}
	var history []porcupine.Operation
	for _, o := range ops {
		if o.unknown {
			if o.kind == get {
				continue
			}
			o.ret = end + 1
		}
		for _, o := range o.parts() {
			history = append(history, porcupine.Operation{ClientId: o.client, Input: o, Call: o.call, Return: o.ret})
		}
	}
	return porcupine.CheckOperationsTimeout(model.ToModel(), history, limit)
}

// The model must refuse wrong histories: a checker that accepts everything finds nothing.
func TestModelRefusesWrongHistories(t *testing.T) {
	str := func(s string) *string { return &s }
	at := func(call, ret int64, o op) op {
		o.call, o.ret = call, ret
		if o.id == "" {
			o.id = "id"
		}
		return o
	}
	read := func(a string, n int) op { return op{kind: get, result: values{A: a, B: "old", N: n}} }
	setA := op{kind: save, a: str("new"), result: values{A: "new", B: "old"}}
	lost := op{kind: save, a: str("lost"), unknown: true}
	refused := op{kind: save, a: str("new"), ended: true}
	again := refused
	again.repeated = true
	setB := op{kind: save, b: str("new"), result: values{A: "new", B: "new"}}
	later := op{kind: save, a: str("new"), result: values{A: "new", B: "new"}}
	laterAgain := later
	laterAgain.repeated = true
	counts := func(from int) op {
		return op{kind: update, seen: values{A: "old", B: "old", N: from}, result: values{A: "old", B: "old", N: from + 1}}
	}
	gone := op{kind: get, ended: true}
	under := func(id string, o op) op { o.id = id; return o }
	renewed := op{kind: renew, newID: "id2", result: values{A: "old", B: "old"}}
	for _, test := range []struct {
		name string
		want bool
		ops  []op
	}{
		{"a read after a save", true, []op{at(1, 2, setA), at(3, 4, read("new", 0))}},
		{"a read from before a finished save", false, []op{at(1, 2, setA), at(3, 4, read("old", 0))}},
		{"a read that goes back behind another", false, []op{at(1, 9, setA), at(2, 3, read("new", 0)), at(4, 5, read("old", 0))}},
		{"two updates of the same state", false, []op{at(1, 4, counts(0)), at(2, 5, counts(0))}},
		{"two updates", true, []op{at(1, 4, counts(0)), at(2, 5, counts(1))}},
		{"a session that lives on after a logout", false, []op{at(1, 2, op{kind: destroy}), at(3, 4, read("old", 0))}},
		{"a save after a logout", false, []op{at(1, 2, op{kind: destroy}), at(3, 4, setA)}},
		{"a session that vanishes", false, []op{at(1, 2, setA), at(3, 4, gone)}},
		{"a renewal", true, []op{at(1, 2, renewed), at(3, 4, gone), at(5, 6, under("id2", read("old", 0)))}},
		{"an old ID that still works", false, []op{at(1, 2, renewed), at(3, 4, read("old", 0))}},
		{"a save without an answer, carried out", true, []op{at(1, 2, lost), at(3, 4, read("lost", 0))}},
		{"a save without an answer, not carried out", true, []op{at(1, 2, lost), at(3, 4, read("old", 0))}},
		{"a save without an answer, carried out late", true, []op{at(1, 2, lost), at(3, 4, read("old", 0)), at(5, 6, read("lost", 0))}},
		{"a save without an answer, carried out and taken back", false, []op{at(1, 2, lost), at(3, 4, read("lost", 0)), at(5, 6, read("old", 0))}},
		{"an update without an answer that counts twice", false, []op{at(1, 2, op{kind: update, unknown: true}), at(3, 4, read("old", 2))}},
		{"a save that is refused and yet carried out", false, []op{at(1, 5, refused), at(2, 3, read("new", 0)), at(4, 9, op{kind: destroy})}},
		{"the same when it was sent twice", true, []op{at(1, 5, again), at(2, 3, read("new", 0)), at(4, 9, op{kind: destroy})}},
		{"the same when the session lives on", false, []op{at(1, 5, again), at(2, 3, read("new", 0)), at(6, 9, op{kind: destroy})}},
		{"a save whose result has another's", false, []op{at(1, 5, later), at(2, 3, setB)}},
		{"the same when it was sent twice", true, []op{at(1, 5, laterAgain), at(2, 3, setB)}},
		{"an acknowledged save, taken back by a failover", true, []op{at(1, 2, setA), at(3, 4, op{kind: failover}), at(5, 6, read("old", 0))}},
		{"a session that the failover takes back", true, []op{at(1, 2, setA), at(3, 4, op{kind: failover}), at(5, 6, gone)}},
		{"a state that never was, after a failover", false, []op{at(1, 2, counts(0)), at(3, 4, setAfter(1)), at(5, 6, op{kind: failover}), at(7, 8, read("new", 0))}},
		{"a state that a failover took back", false, []op{at(1, 2, setA), at(3, 4, op{kind: failover}), at(5, 6, read("old", 0)), at(7, 8, read("new", 0))}},
	} {
		if got := linearizable(life{"id", values{A: "old", B: "old"}}, test.ops, time.Minute) == porcupine.Ok; got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// setAfter is a save of A after n updates.
func setAfter(n int) op {
	a := "new"
	return op{kind: save, a: &a, result: values{A: "new", B: "old", N: n}}
}
