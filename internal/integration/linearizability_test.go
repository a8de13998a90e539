package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/processtest"
)

const (
	// shortOps is how many operations the short mode does, at least. With the
	// race detector it is a fifth of them.
	shortOps = 20_000

	// The size of one history. A checker's work grows with the number of
	// operations that overlap, and is nothing for histories of this size.
	historyProcesses = 3
	historyClients   = 3 // of a process
	historyOps       = 12
)

// Several goroutines of several processes use one session at the same time, each
// with the session that it loaded before. Readers among them take no lock. There
// must be an order of all operations, one at a time, in which every answer is right.
func TestHistoriesOfOneSessionAreLinearizable(t *testing.T) {
	h := newWorkers(t)
	until, ops := time.Now().Add(long(t)), shortOps
	if raceDetector {
		ops /= 5
	}
	rounds, count, kinds := 0, 0, make(map[string]int)
	for ; count < ops || time.Now().Before(until); rounds++ {
		for _, o := range h.play(t, rounds) {
			count++
			if kinds[o.Kind]++; o.Ended {
				kinds["of an ended session"]++
			}
			if len(value(o.A))+len(value(o.B))+len(value(o.Big)) > 0 {
				kinds["with new values"]++
			}
		}
		if t.Failed() {
			break
		}
	}
	for _, p := range h.processes {
		p.End(t)
	}
	for _, kind := range []string{opGet, opSave, opUpdate, opRenew, opDestroy, opDelete, opRm} {
		if kinds[kind] == 0 {
			t.Errorf("no %s was done: the test shows less than it says", kind)
		}
	}
	summary := ""
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		summary += fmt.Sprintf(", %s %d", kind, kinds[kind])
	}
	t.Logf("%d operations in %d histories%s", count, rounds, summary)
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// workers are the processes that make histories, and the store that makes their
// sessions.
type workers struct {
	store     *sessions.FilesystemSessionStore
	current   string
	processes []*processtest.Process
}

func newWorkers(t *testing.T) *workers {
	t.Helper()
	dir := t.TempDir()
	h := &workers{
		store:   newStore(t, historyOptions(filepath.Join(dir, "sessions"))),
		current: filepath.Join(dir, "current"),
	}
	for range historyProcesses {
		h.processes = append(h.processes, start(t, worker, filepath.Join(dir, "sessions")))
	}
	return h
}

// newRound makes a session and its round. The kind of round depends on the number, so
// that a few rounds have every kind.
//
// An operator takes part only where no session outgrows its slots: an rm between
// a writer's last look at its file and the rename of a larger one to the name, two
// system calls, is undone. rename(2) cannot prevent that.
func (w *workers) newRound(t *testing.T, number int) (round, values) {
	t.Helper()
	r := round{
		Current: w.current,
		Ops:     historyOps,
		Start:   monotonic() + int64(time.Millisecond),
		Rm:      number%2 == 0,
	}
	if long(t) > 0 {
		r.Ops = 5 + rand.IntN(30)
	}
	s := w.store.New()
	if number/2%2 == 0 {
		s.SetIdleTimeout(2 * time.Hour)
	}
	s.Set("a", "first")
	s.Set("b", "first")
	if r.Largest = 40_000; r.Rm {
		r.Largest = 12_000
		s.Set(roomKey, written("0.0.2000")) // 18 KB: slots of 31.5 KB, in which all fits
	}
	if err := w.store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	r.ID = s.ID()
	if err := os.WriteFile(w.current, []byte(r.ID), 0o600); err != nil {
		t.Fatal(err)
	}
	return r, values{A: "first", B: "first"}
}

// play makes one history and checks it.
func (w *workers) play(t *testing.T, number int) []op {
	t.Helper()
	r, first := w.newRound(t, number)
	for i, p := range w.processes {
		r.Clients = nil
		for c := range historyClients {
			r.Clients = append(r.Clients, i*historyClients+c)
		}
		order, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(p.In, "%s\n", order)
	}
	var ops []op
	for _, p := range w.processes {
		var some []op
		if err := json.Unmarshal([]byte(p.Line(t)), &some); err != nil {
			t.Fatal(err)
		}
		ops = append(ops, some...)
	}
	if got := check(t, r.ID, first, ops); got != porcupine.Ok {
		slices.SortFunc(ops, func(a, b op) int { return int(a.Call - b.Call) })
		for _, o := range ops {
			t.Log(o)
		}
		t.Errorf("history %d is not linearizable: %v", number, got)
	}
	if _, err := w.store.DeleteAll(background); err != nil {
		t.Error(err)
	}
	return ops
}
