package sessions_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

type cyclic struct{ Next *cyclic }

// unencodable gives values that a codec has no form for; the codecs' names.
func unencodable() map[string]map[string]any {
	ring := &cyclic{}
	ring.Next = ring
	self := map[string]any{}
	self["secretself"] = self
	list := make([]any, 1)
	list[0] = list
	return map[string]map[string]any{
		"json": {
			"channel": make(chan int), "func": func() {}, "complex": 1i, "NaN": math.NaN(), "Inf": []float64{math.Inf(-1)},
			"cyclic pointer": ring, "cyclic map": self, "cyclic list": list, "number": json.Number("secretvalue"),
			"raw": json.RawMessage(`{"secretvalue`), "nested": map[string]any{"secretvalue": make(chan int)},
			"marshaler": badMarshaler{}, "time": time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		},
		"gob": {
			"channel": make(chan int), "func": func() {}, "cyclic pointer": ring, "cyclic map": self, "cyclic list": list,
			"unregistered": struct{ A int }{1}, "nested": map[string]any{"secretvalue": make(chan int)},
			"nil pointer": (*cyclic)(nil), "no exported field": struct{ a int }{1},
		},
	}
}

type badMarshaler struct{}

func (badMarshaler) MarshalJSON() ([]byte, error) { return nil, errors.New("secretvalue") }

func TestAValueThatCannotBeEncodedIsAnErrorThatChangesNothing(t *testing.T) {
	codecs := map[string]sessions.Codec{"json": sessions.JSON, "gob": sessions.Gob(&cyclic{})}
	for codec, values := range unencodable() {
		for name, value := range values {
			t.Run(codec+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				store := newStore(t, sessions.FilesystemOptions{Path: dir, Codec: codecs[codec]})
				s := saved(t, store, "a", "before")
				file := fileOf(t, dir, s)
				before := content(t, file)
				s.Set("a", "after")
				s.Set("secretkey", value)
				for what, err := range map[string]error{
					"Save":   store.Save(background, s),
					"Update": store.Update(background, get(t, store, s.ID()), func(s *sessions.Session) error { s.Set("secretkey", value); return nil }),
				} {
					var valueErr *sessions.ValueError
					if !errors.As(err, &valueErr) || valueErr.Key != "secretkey" || valueErr.Type != reflect.TypeOf(value) || valueErr.Err == nil {
						t.Fatalf("%s = %v; want a ValueError for the key", what, err)
					}
					if text := fmt.Sprintf("%v %s %+v", err, err, err); strings.Contains(text, "secret") {
						t.Errorf("%s: the error shows the key or the value: %s", what, text)
					}
				}
				if content(t, file) != before {
					t.Error("the file was changed")
				}
				if !s.Modified() || s.Get("a") != "after" {
					t.Errorf("%v: want the session as it was", s)
				}
				s.Delete("secretkey") // and the rest can be saved
				save(t, store, s)
				if got := get(t, store, s.ID()).Get("a"); got != "after" {
					t.Errorf("a = %v", got)
				}
				fresh := store.New()
				fresh.Set("x", value)
				if err := store.Save(background, fresh); err == nil || len(names(t, dir)) != 1 || !fresh.New() {
					t.Errorf("a new session: %v, %d files", err, len(names(t, dir)))
				}
			})
		}
	}
}

func TestAKeyThatIsNoUTF8IsRefusedWhereItWouldChange(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	s.Set("a\xffb", 1)
	var valueErr *sessions.ValueError
	if err := store.Save(background, s); !errors.As(err, &valueErr) || valueErr.Key != "a\xffb" || strings.Contains(err.Error(), "a\xffb") {
		t.Errorf("Save = %v; want a ValueError", err)
	}
	asGob := newStore(t, sessions.FilesystemOptions{Codec: sessions.Gob()})
	s = saved(t, asGob, "a\xffb", 1)
	if got := get(t, asGob, s.ID()).Get("a\xffb"); got != 1 {
		t.Errorf("with gob: %v, want 1", got)
	}
}

func TestGobGivesBackGoTypes(t *testing.T) {
	want := map[string]any{
		"int": 1, "uint8": uint8(2), "float32": float32(1.5), "complex": 1i, "string": "x", "bytes": []byte("y"), "nil": nil,
		"strings": []string{"a"}, "list": []any{1, "x", []any{true}}, "map": map[string]any{"k": int64(1)},
		"time": time.Date(2026, 11, 20, 0, 0, 0, 1, time.UTC), "struct": point{X: 1}, "NaN": nil,
	}
	store := newStore(t, sessions.FilesystemOptions{Codec: sessions.Gob(point{})})
	s := store.New()
	for key, value := range want {
		s.Set(key, value)
	}
	save(t, store, s)
	if got := values(get(t, store, s.ID())); !reflect.DeepEqual(got, want) {
		t.Errorf("%#v,\nwant %#v", got, want)
	}
}

func TestDeeplyNestedStoredValuesCostNothing(t *testing.T) {
	const depth = 10_000_000
	start := time.Now()
	for name, data := range map[string]string{
		"list": `{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `,"b":1}`,
		"map":  `{"a":` + strings.Repeat(`{"":`, depth/4) + "1" + strings.Repeat("}", depth/4) + `,"b":1}`,
	} {
		s := loaded(t, data)
		if v, ok := s.Lookup("a"); v != nil || ok || s.Get("b") != int64(1) {
			t.Errorf("%s: a = %v, %v, b = %v", name, v != nil, ok, s.Get("b"))
		}
	}
	if _, err := sessions.LoadSession("id", nil, sessions.Record{Data: strings.Repeat(`{"a":`, depth)}); !errors.Is(err, sessions.ErrCorrupt) {
		t.Errorf("LoadSession = %v, want ErrCorrupt", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestDataThatNoCodecWroteIsCorrupt(t *testing.T) {
	for _, data := range []string{
		"", "null", "[]", "1", `"a"`, "{", "}", "{}}", "{} {}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`,
		`{"a":1]`, `{"a:1}`, `{"a":"x}`, `{"a":1}x`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"\x":1}`, "{\"a\nb\":1}", `{"a":[1}`,
	} {
		if _, err := sessions.LoadSession("id", sessions.JSON, sessions.Record{Data: data}); !errors.Is(err, sessions.ErrCorrupt) {
			t.Errorf("JSON %q: %v, want ErrCorrupt", data, err)
		}
	}
	for _, data := range []string{
		"\x01", "\x01a", "\x01a\x02x", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x80", "\x01a\x00\x01a\x00",
	} {
		if _, err := sessions.LoadSession("id", upperCodec{}, sessions.Record{Data: data}); !errors.Is(err, sessions.ErrCorrupt) {
			t.Errorf("pairs %q: %v, want ErrCorrupt", data, err)
		}
	}
}
