package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// values are the values of a session in a history; "" is a value that is not there.
// N counts Updates.
type values struct {
	A, B, Big string
	N         int64
}

// An op is one operation on the session of a history, and its outcome.
type op struct {
	Client       int
	Call, Return int64 // CLOCK_MONOTONIC, nanoseconds
	Kind         string
	ID           string // of the session that it was for

	// A save's changes; nil is a value that the request did not touch, ""
	// one that it deleted. Clear comes first.
	Clear     bool
	A, B, Big *string

	Ended  bool   // the answer was that there is no such session
	Seen   values // as an Update's function found them, already locked
	After  values // of the session after the operation
	NewID  string // after a renewal
	Remove bool   // an operator's rm found a file
}

const (
	opGet     = "Get"
	opSave    = "Save"
	opUpdate  = "Update" // adds 1 to N
	opRenew   = "Renew"
	opDestroy = "Destroy"
	opDelete  = "Delete"
	opRm      = "rm" // by an operator, without a lock
)

// A life is the state of the model: the session has one ID at a time, and none once
// it has ended.
type life struct {
	id string // "" when it has ended
	values
}

// apply returns the values after a save. Only the values that the request changed
// count, not those that it had loaded.
func (o op) apply(v values) values {
	if o.Clear {
		v = values{}
	}
	for _, c := range []struct{ from, to *string }{{o.A, &v.A}, {o.B, &v.B}, {o.Big, &v.Big}} {
		if c.from != nil {
			*c.to = *c.from
		}
	}
	return v
}

// next is the sequential specification: it returns the state after the operation, if
// nothing else happens, and whether the operation's answer is then right.
func (o op) next(l life) (bool, life) {
	alive := l.id != "" && l.id == o.ID
	switch o.Kind {
	case opDestroy, opDelete, opRm:
		if !alive {
			return true, l
		}
		// Between a tombstone and the removal of the name, rm finds a file of an
		// ended session. Of a living one it must find a file.
		return o.Kind != opRm || o.Remove, life{}
	}
	if !alive {
		return o.Ended, l
	}
	after := o.apply(l.values)
	switch o.Kind {
	case opUpdate:
		if o.Seen != l.values {
			return false, l
		}
		after.N++
	case opRenew:
		l.id = o.NewID
	}
	return !o.Ended && o.After == after, life{l.id, after}
}

func (o op) String() string {
	show := func(name string, s *string) string {
		if s == nil {
			return ""
		}
		return fmt.Sprintf(" %s=%q", name, *s)
	}
	text := fmt.Sprintf("%d-%d client %d: %s %.6s", o.Call, o.Return, o.Client, o.Kind, o.ID)
	if o.Clear {
		text += " clear"
	}
	text += show("a", o.A) + show("b", o.B) + show("big", o.Big) + fmt.Sprintf(" -> %.6s %+v", o.NewID, o.After)
	if o.Ended {
		text += " ended"
	}
	return text
}

// check asks for an order of the operations that explains every answer, in
// which each takes effect at one moment between its call and its return.
func check(t *testing.T, id string, first values, ops []op) porcupine.CheckResult {
	t.Helper()
	model := porcupine.Model{
		Init: func() any { return life{id, first} },
		Step: func(state, input, _ any) (bool, any) { return input.(op).next(state.(life)) },
	}
	history := make([]porcupine.Operation, len(ops))
	for i, o := range ops {
		history[i] = porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: o.Return}
	}
	return porcupine.CheckOperationsTimeout(model, history, 2*time.Minute)
}

// The model must refuse wrong histories: a checker that accepts everything would
// find nothing.
func TestModelRefusesWrongHistories(t *testing.T) {
	str := func(s string) *string { return &s }
	at := func(call, end int64, o op) op {
		o.Call, o.Return = call, end
		if o.ID == "" {
			o.ID = "id"
		}
		return o
	}
	setA := op{Kind: opSave, A: str("new"), After: values{A: "new", B: "old"}}
	setB := op{Kind: opSave, B: str("new"), After: values{A: "new", B: "new"}}
	get := func(a, b string) op { return op{Kind: opGet, After: values{A: a, B: b}} }
	gone := op{Kind: opGet, Ended: true}
	counts := func(seen, after int64) op {
		return op{Kind: opUpdate, Seen: values{A: "old", B: "old", N: seen}, After: values{A: "old", B: "old", N: after}}
	}
	renewed := op{Kind: opRenew, NewID: "id2", After: values{A: "old", B: "old"}}
	under := func(id string, o op) op { o.ID = id; return o }
	for _, test := range []struct {
		name string
		want porcupine.CheckResult
		ops  []op
	}{
		{"a read after a save", porcupine.Ok, []op{at(1, 2, setA), at(3, 4, get("new", "old"))}},
		{"a read from before a finished save", porcupine.Illegal, []op{at(1, 2, setA), at(3, 4, get("old", "old"))}},
		{"a read beside a save, from before it", porcupine.Ok, []op{at(1, 4, setA), at(2, 3, get("old", "old"))}},
		{"a read that goes back behind another", porcupine.Illegal, []op{at(1, 9, setA), at(2, 3, get("new", "old")), at(4, 5, get("old", "old"))}},
		{"a value that nobody saved", porcupine.Illegal, []op{at(1, 2, get("what", "old"))}},
		{"half of a save", porcupine.Illegal, []op{at(1, 4, op{Kind: opSave, A: str("x"), B: str("x"), After: values{A: "x", B: "x"}}), at(2, 3, get("x", "old"))}},
		{"two saves of different values, merged", porcupine.Ok, []op{at(1, 4, setA), at(2, 5, setB), at(6, 7, get("new", "new"))}},
		{"two saves, one lost", porcupine.Illegal, []op{at(1, 4, setA), at(2, 5, setB), at(6, 7, get("old", "new"))}},
		{"two updates", porcupine.Ok, []op{at(1, 4, counts(0, 1)), at(2, 5, counts(1, 2))}},
		{"two updates of the same state", porcupine.Illegal, []op{at(1, 4, counts(0, 1)), at(2, 5, counts(0, 1))}},
		{"a logout", porcupine.Ok, []op{at(1, 2, op{Kind: opDestroy}), at(3, 4, gone), at(5, 6, op{Kind: opSave, Ended: true})}},
		{"a session that lives on after a logout", porcupine.Illegal, []op{at(1, 2, op{Kind: opDestroy}), at(3, 4, get("old", "old"))}},
		{"a save that is taken after a logout", porcupine.Illegal, []op{at(1, 2, op{Kind: opDelete}), at(3, 4, setA)}},
		{"a session that is revived", porcupine.Illegal, []op{at(1, 9, setA), at(2, 3, op{Kind: opRm, Remove: true}), at(4, 5, gone), at(6, 7, get("new", "old"))}},
		{"a session that vanishes by itself", porcupine.Illegal, []op{at(1, 2, setA), at(3, 4, gone)}},
		{"rm of a living session that finds no file", porcupine.Illegal, []op{at(1, 2, op{Kind: opRm}), at(3, 4, get("old", "old"))}},
		{"a renewal", porcupine.Ok, []op{at(1, 2, renewed), at(3, 4, gone), at(5, 6, under("id2", get("old", "old")))}},
		{"an old ID that still works", porcupine.Illegal, []op{at(1, 2, renewed), at(3, 4, get("old", "old"))}},
		{"a renewal that loses a save", porcupine.Illegal, []op{at(1, 2, setA), at(3, 4, renewed)}},
	} {
		if got := check(t, "id", values{A: "old", B: "old"}, test.ops); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
