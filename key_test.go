package sessions_test

import (
	"math"
	"reflect"
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

func TestATypedKeyGivesBackWhatWasPutIn(t *testing.T) {
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

func TestATypedKeyThatDoesNotFitCountsAsAbsent(t *testing.T) {
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

func TestOneValueMayBeReadAsSeveralTypes(t *testing.T) {
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
