package sessions_test

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

type point struct {
	X, Y  int64
	Label string            `json:"label,omitempty"`
	Tags  map[string]string `json:"tags,omitempty"`
	At    *time.Time        `json:"at,omitempty"`
}

// roundTrip saves value under a typed key and loads it again.
func roundTrip[T any](t *testing.T, codec sessions.Codec, value T) {
	t.Helper()
	store := newStore(t, sessions.FilesystemOptions{Codec: codec})
	key := sessions.Key[T]("key")
	s := store.New()
	key.Set(s, value)
	if got, ok := key.Lookup(s); !ok || !reflect.DeepEqual(got, value) {
		t.Errorf("before the save: %#v, %v; want %#v", got, ok, value)
	}
	save(t, store, s)
	s = get(t, store, s.ID())
	for range 2 { // decoded, and kept
		if got, ok := key.Lookup(s); !ok || !reflect.DeepEqual(got, value) {
			t.Errorf("%T: %#v, %v; want %#v", value, got, ok, value)
		}
	}
	if got, ok := key.Pop(s); !ok || !reflect.DeepEqual(got, value) || s.Len() != 0 {
		t.Errorf("Pop = %#v, %v; want %#v", got, ok, value)
	}
}

func TestKeyReturnsTheValueThatWasSet(t *testing.T) {
	at := time.Date(2026, 11, 20, 21, 56, 59, 123456789, time.UTC)
	for name, codec := range map[string]sessions.Codec{"json": nil, "gob": sessions.Gob(point{}, time.Duration(0), []point(nil))} {
		t.Run(name, func(t *testing.T) {
			roundTrip(t, codec, int64(math.MaxInt64))
			roundTrip(t, codec, int64(math.MinInt64))
			roundTrip(t, codec, int64(1<<53+1)) // no float64 has it
			roundTrip(t, codec, uint64(math.MaxUint64))
			roundTrip(t, codec, 42)
			roundTrip(t, codec, -0.5)
			roundTrip(t, codec, math.MaxFloat64)
			roundTrip(t, codec, true)
			roundTrip(t, codec, "")
			roundTrip(t, codec, "plain")
			roundTrip(t, codec, "<é\u2028\x00\x7f\"\\\n&>")
			roundTrip(t, codec, []byte{0, 1, 0xff})
			roundTrip(t, codec, []string{"a", "b"})
			roundTrip(t, codec, at)
			roundTrip(t, codec, time.Minute)
			roundTrip(t, codec, point{X: 1 << 60, Y: -1, Label: "p", Tags: map[string]string{"k": "v"}, At: &at})
			roundTrip(t, codec, []point{{X: 1}, {Y: 2}})
		})
	}
}

func TestKeyThatDoesNotFitCountsAsAbsent(t *testing.T) {
	s := loaded(t, `{"s":"text","n":1.5,"big":18446744073709551615}`)
	if v, ok := sessions.Key[int64]("s").Lookup(s); v != 0 || ok {
		t.Errorf("a string as an int64 = %v, %v", v, ok)
	}
	if v, ok := sessions.Key[int64]("n").Lookup(s); v != 0 || ok {
		t.Errorf("1.5 as an int64 = %v, %v", v, ok)
	}
	if v, ok := sessions.Key[int8]("big").Lookup(s); v != 0 || ok {
		t.Errorf("a large number as an int8 = %v, %v", v, ok)
	}
	if v, ok := sessions.Key[uint64]("big").Lookup(s); v != math.MaxUint64 || !ok {
		t.Errorf("a large number as a uint64 = %v, %v", v, ok)
	}
	if v, ok := sessions.Key[point]("s").Lookup(s); v.X != 0 || ok {
		t.Errorf("a string as a struct = %v, %v", v, ok)
	}
	if v, ok := sessions.Key[string]("none").Lookup(s); v != "" || ok {
		t.Errorf("an absent key = %q, %v", v, ok)
	}
	if s.Modified() {
		t.Error("reading modified the session")
	}
}

func TestKeyReadsOneValueAsSeveralTypes(t *testing.T) {
	s := loaded(t, `{"p":{"X":9007199254740993,"label":"l"}}`)
	if got := s.Get("p").(map[string]any)["X"]; got != int64(9007199254740993) {
		t.Errorf("untyped: %v", got)
	}
	if got := sessions.Key[point]("p").Get(s); got.X != 9007199254740993 || got.Label != "l" {
		t.Errorf("as a struct: %+v", got)
	}
	if got := s.Get("p"); got == nil {
		t.Error("untyped again: nil")
	}
	s.Set("set", point{X: 7})
	if got := sessions.Key[map[string]any]("set").Get(s); got["X"] == nil {
		t.Errorf("what was set as a struct, as a map: %v", got)
	}
	if got := s.Get("set"); !reflect.DeepEqual(got, point{X: 7}) {
		t.Errorf("what was set is %v, want as it was set", got)
	}
}

// A reader asks for a value as one type, and returns how to change it in place.
type reader struct {
	name string
	read func(s *sessions.Session) (change func(to string))
}

var readers = []reader{
	{"untyped", func(s *sessions.Session) func(string) {
		switch v := s.Get("p").(type) {
		case point:
			return func(to string) { v.Tags["k"] = to }
		default:
			return func(to string) { v.(map[string]any)["tags"].(map[string]any)["k"] = to }
		}
	}},
	{"point", func(s *sessions.Session) func(string) {
		v := sessions.Key[point]("p").Get(s)
		return func(to string) { v.Tags["k"] = to }
	}},
	{"*point", func(s *sessions.Session) func(string) {
		v := sessions.Key[*point]("p").Get(s)
		return func(to string) { v.Tags["k"] = to }
	}},
	{"map", func(s *sessions.Session) func(string) {
		v := sessions.Key[map[string]any]("p").Get(s)
		return func(to string) { v["tags"].(map[string]any)["k"] = to }
	}},
}

// A value is read as two types, and changed as one of them, or as one after the
// other.
func TestMarkModifiedCarriesAChangeWhateverElseTheValueWasReadAs(t *testing.T) {
	states := map[string]func(store *sessions.FilesystemSessionStore, s *sessions.Session) *sessions.Session{
		"loaded": func(store *sessions.FilesystemSessionStore, s *sessions.Session) *sessions.Session {
			return get(t, store, s.ID())
		},
		"saved": func(_ *sessions.FilesystemSessionStore, s *sessions.Session) *sessions.Session { return s },
		"set": func(store *sessions.FilesystemSessionStore, s *sessions.Session) *sessions.Session {
			s = get(t, store, s.ID())
			s.Set("p", point{X: 1, Tags: map[string]string{"k": "v"}})
			return s
		},
		"cloned": func(store *sessions.FilesystemSessionStore, s *sessions.Session) *sessions.Session {
			s = get(t, store, s.ID())
			for _, r := range readers {
				r.read(s)
			}
			return s.Clone()
		},
	}
	for state, make := range states {
		for _, first := range readers {
			for _, second := range readers {
				for _, which := range []string{"first", "second", "first, before the other is read", "first, after a save", "second, after a save"} {
					t.Run(state+"/"+first.name+"/"+second.name+"/"+which, func(t *testing.T) {
						store := newStore(t, sessions.FilesystemOptions{})
						s := make(store, saved(t, store, "p", point{X: 1, Tags: map[string]string{"k": "v"}}))
						changeFirst := first.read(s)
						if which == "first, before the other is read" {
							changeFirst("w")
						}
						changeSecond := second.read(s)
						if strings.HasSuffix(which, "after a save") {
							s.Set("other", 1)
							save(t, store, s)
						}
						if strings.HasPrefix(which, "first") {
							changeFirst("w")
						} else {
							changeSecond("w")
						}
						for range 2 { // a saved value stays
							s.MarkModified()
							save(t, store, s)
							if got := sessions.Key[point]("p").Get(get(t, store, s.ID())); got.X != 1 || got.Tags["k"] != "w" {
								t.Errorf("stored: %+v", got)
							}
						}
						first.read(s)("x")
						s.MarkModified()
						save(t, store, s)
						if got := sessions.Key[point]("p").Get(get(t, store, s.ID())); got.X != 1 || got.Tags["k"] != "x" {
							t.Errorf("after another change: %+v", got)
						}
					})
				}
			}
		}
	}
}

// A value that was read as several types and not changed is not carried.
func TestMarkModifiedCarriesNothingThatWasOnlyReadAsSeveralTypes(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := get(t, store, saved(t, store, "p", point{X: 1, Y: 2, Label: "l", Tags: map[string]string{"k": "v"}}).ID())
	for _, r := range readers {
		r.read(s)
	}
	sessions.Key[struct{ X int }]("p").Get(s)
	other := get(t, store, s.ID())
	other.Set("p", "other")
	save(t, store, other)
	s.MarkModified()
	save(t, store, s)
	if got := get(t, store, s.ID()).Get("p"); got != "other" {
		t.Errorf("p = %v, want what another request set", got)
	}
}

// The answer to a question does not depend on the questions before it.
func TestGetDoesNotDependOnWhatTheValueWasReadAsBefore(t *testing.T) {
	questions := map[string]func(s *sessions.Session) any{
		"untyped":        func(s *sessions.Session) any { return s.Get("v") },
		"time":           func(s *sessions.Session) any { return sessions.Key[time.Time]("v").Get(s) },
		"string":         func(s *sessions.Session) any { return sessions.Key[string]("v").Get(s) },
		"point":          func(s *sessions.Session) any { return sessions.Key[point]("v").Get(s) },
		"map":            func(s *sessions.Session) any { return sessions.Key[map[string]any]("v").Get(s) },
		"map of numbers": func(s *sessions.Session) any { return sessions.Key[map[string]float64]("v").Get(s) },
		"list":           func(s *sessions.Session) any { return sessions.Key[[]any]("v").Get(s) },
		"list of ints":   func(s *sessions.Session) any { return sessions.Key[[]int]("v").Get(s) },
		"int":            func(s *sessions.Session) any { return sessions.Key[int]("v").Get(s) },
		"float":          func(s *sessions.Session) any { return sessions.Key[float64]("v").Get(s) },
		"any":            func(s *sessions.Session) any { return sessions.Key[any]("v").Get(s) },
	}
	for _, stored := range []string{`"2026-11-20T21:56:59Z"`, `{"X":1,"Y":2.0,"z":9007199254740993}`, `[1,2]`, `[1,2.0,"x",[3.0]]`, `2`, `2.0`, `null`} {
		for first, ask := range questions {
			for second, then := range questions {
				s, fresh := loaded(t, `{"v":`+stored+`}`), loaded(t, `{"v":`+stored+`}`)
				ask(s)
				if got, want := then(s), then(fresh); !reflect.DeepEqual(got, want) {
					t.Errorf("%s, asked for as %s after %s: %#v, want %#v", stored, second, first, got, want)
				}
			}
		}
	}
}
