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

// unencodable returns values that a codec has no form for, by the codecs' names.
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

func TestSaveOfAValueThatCannotBeEncodedChangesNothing(t *testing.T) {
	codecs := map[string]sessions.Codec{"json": sessions.JSON(), "gob": sessions.Gob(&cyclic{})}
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

func TestSaveRefusesAKeyThatIsNoUTF8WhereItWouldChange(t *testing.T) {
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

// A jsonOfMine is JSON by an encoder of one's own.
type jsonOfMine struct {
	sessions.Codec
	name string
}

func (c jsonOfMine) Name() string { return c.name }
func (c jsonOfMine) EncodesJSON() {}

func TestJSONCodecDecidesByItsMethodAndNotItsName(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, Codec: jsonOfMine{sessions.JSON(), "mine"}})
	s := saved(t, store, "user", "ann")
	if text := content(t, fileOf(t, dir, s)); !strings.Contains(text, `{"user":"ann"}`) {
		t.Errorf("the file has no JSON object: %.200q", text)
	}
	s.Set("\xff", 1)
	if err := store.Save(background, s); !errors.As(err, new(*sessions.ValueError)) {
		t.Errorf("a key that is not UTF-8: got %v, want a *ValueError", err)
	}
	var other struct{ sessions.Codec } // has the name, and not the method
	other.Codec = sessions.JSON()
	if _, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, Codec: other}); err == nil {
		t.Error("a codec of the name \"json\" that is no JSONCodec is taken")
	}
	same := newStore(t, sessions.FilesystemOptions{Path: t.TempDir(), Codec: jsonOfMine{sessions.JSON(), "json"}})
	if got := get(t, same, saved(t, same, "user", "ann").ID()); got.Get("user") != "ann" {
		t.Errorf("got %v", got)
	}
}

func TestGobReturnsGoTypes(t *testing.T) {
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

func TestLookupOfADeeplyNestedValueCostsNothing(t *testing.T) {
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
	if _, err := nowhere.Load("id", "id", sessions.Record{Codec: "json", Data: strings.Repeat(`{"a":`, depth)}); !errors.Is(err, sessions.ErrCorrupt) {
		t.Errorf("Load = %v, want ErrCorrupt", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestLoadOfDataThatNoCodecWroteIsErrCorrupt(t *testing.T) {
	for _, data := range []string{
		"", "null", "[]", "1", `"a"`, "{", "}", "{}}", "{} {}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`,
		`{"a":1]`, `{"a:1}`, `{"a":"x}`, `{"a":1}x`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"\x":1}`, "{\"a\nb\":1}", `{"a":[1}`,
	} {
		if _, err := nowhere.Load("id", "id", sessions.Record{Codec: "json", Data: data}); !errors.Is(err, sessions.ErrCorrupt) {
			t.Errorf("JSON %q: %v, want ErrCorrupt", data, err)
		}
	}
	for _, data := range []string{
		"\x01", "\x01a", "\x01a\x02x", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x80", "\x01a\x00\x01a\x00",
	} {
		if _, err := nowhere.Load("id", "id", sessions.Record{Codec: "gob", Data: data}); !errors.Is(err, sessions.ErrCorrupt) {
			t.Errorf("pairs %q: %v, want ErrCorrupt", data, err)
		}
	}
}

// A value comes back, untyped, as one of seven types, which depends on the type
// that was set alone.
func TestGetReturnsFloatsAsFloatsAndIntegersAsIntegers(t *testing.T) {
	for name, row := range map[string]struct{ set, want any }{
		"whole float":        {2.0, 2.0},
		"float":              {2.5, 2.5},
		"zero":               {0.0, 0.0},
		"negative zero":      {math.Copysign(0, -1), math.Copysign(0, -1)},
		"negative":           {-3.0, -3.0},
		"large":              {1e20, 1e20},
		"larger":             {1e21, 1e21},
		"beyond int64":       {float64(1 << 63), float64(1 << 63)},
		"largest":            {math.MaxFloat64, math.MaxFloat64},
		"smallest":           {math.SmallestNonzeroFloat64, math.SmallestNonzeroFloat64},
		"float32":            {float32(2), 2.0},
		"float32, fraction":  {float32(0.1), 0.1},
		"int":                {2, int64(2)},
		"int8":               {int8(-2), int64(-2)},
		"uint64":             {uint64(2), int64(2)},
		"largest int64":      {int64(math.MaxInt64), int64(math.MaxInt64)},
		"list":               {[]any{2.0, 2, []any{3.0, "x", nil}}, []any{2.0, int64(2), []any{3.0, "x", nil}}},
		"map":                {map[string]any{"f": 2.0, "i": 2, "m": map[string]any{"f": 3.0}}, map[string]any{"f": 2.0, "i": int64(2), "m": map[string]any{"f": 3.0}}},
		"list of maps":       {[]any{map[string]any{"f": []any{1.0}}}, []any{map[string]any{"f": []any{1.0}}}},
		"list of floats":     {[]float64{1, 2.5}, []any{1.0, 2.5}},
		"map of floats":      {map[string]float64{"a": 1, "b": 2.5}, map[string]any{"a": 1.0, "b": 2.5}},
		"floats in a list":   {[]any{[]float64{1}, map[string]float64{"a": 1}}, []any{[]any{1.0}, map[string]any{"a": 1.0}}},
		"texts with numbers": {map[string]any{"2.0": "2.0", "\"3.0": "\\\"4.0,"}, map[string]any{"2.0": "2.0", "\"3.0": "\\\"4.0,"}},
		"nil list":           {[]any(nil), nil},
		"nil map":            {map[string]any(nil), nil},
		"empty":              {[]any{map[string]any{}, []any{}, []float64{}}, []any{map[string]any{}, []any{}, []any{}}},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, sessions.FilesystemOptions{})
			s := get(t, store, saved(t, store, "v", []any{row.set, map[string]any{"in": row.set}}).ID())
			s.Set("v0", row.set)
			want := []any{row.want, map[string]any{"in": row.want}}
			for _, round := range []string{"set", "changed in place", "copied"} {
				save(t, store, s)
				s = get(t, store, s.ID())
				got := s.Get("v").([]any)
				if !reflect.DeepEqual(got, want) || fmt.Sprintf("%#v", s.Get("v0")) != fmt.Sprintf("%#v", row.want) {
					t.Fatalf("%s: %#v and %#v, want %#v", round, got, s.Get("v0"), want)
				}
				if typed := sessions.Key[[]any]("v").Get(s); !reflect.DeepEqual(typed, want) {
					t.Errorf("%s, as a Key of a list: %#v, want %#v", round, typed, want)
				}
				if m, ok := row.want.(map[string]any); ok && !reflect.DeepEqual(sessions.Key[map[string]any]("v0").Get(s), m) {
					t.Errorf("%s, as a Key of a map: %#v", round, sessions.Key[map[string]any]("v0").Get(s))
				}
				if round == "set" {
					got[1].(map[string]any)["more"] = 1.0
					want[1].(map[string]any)["more"] = 1.0
					s.MarkModified()
				} else {
					s.Set("v", got)
				}
			}
		})
	}
}

func TestKeyReadsAWholeFloatAsAnInteger(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	s.Set("n", 2.0)
	s.Set("half", 2.5)
	s.Set("tree", map[string]any{"X": 7.0, "Y": -1.0, "label": "2.0", "tags": map[string]any{"\"3.0,": "4.0"}})
	s.Set("list", []any{1.0, 20.0, 1e30})
	for range 2 { // as it was set, and loaded
		if got, ok := sessions.Key[int]("n").Lookup(s); got != 2 || !ok {
			t.Errorf("n = %v, %v", got, ok)
		}
		if got, ok := sessions.Key[int]("half").Lookup(s); ok {
			t.Errorf("2.5 as an integer = %v", got)
		}
		if got := sessions.Key[point]("tree").Get(s); !reflect.DeepEqual(got, point{X: 7, Y: -1, Label: "2.0", Tags: map[string]string{"\"3.0,": "4.0"}}) {
			t.Errorf("tree = %+v", got)
		}
		if got := sessions.Key[[]float64]("list").Get(s); !reflect.DeepEqual(got, []float64{1, 20, 1e30}) {
			t.Errorf("list = %v", got)
		}
		if _, ok := sessions.Key[[]int]("list").Lookup(s); ok {
			t.Error("1e30 was read as an integer")
		}
		save(t, store, s)
		s = get(t, store, s.ID())
	}
}

// Whatever is in a tree, its encoding is JSON that decodes as encoding/json's own
// does, and into the same tree again.
func FuzzJSONTree(f *testing.F) {
	for _, s := range []string{"", "plain", "<é\u2028\x00\x7f\"\\\n&>", "\xff\xc0", "\b\f\r\t", "2.0"} {
		f.Add(s, "key", 2.0, int64(2))
		f.Add("value", s, 1e21, int64(math.MinInt64))
	}
	f.Fuzz(func(t *testing.T, text, key string, number float64, n int64) {
		tree := map[string]any{key: text, "list": []any{text, number, n, true, nil, []float64{number}, map[string]float64{key: number}}}
		data, err := sessions.JSON().Marshal(tree)
		if math.IsNaN(number) || math.IsInf(number, 0) {
			if err == nil {
				t.Error("a number that JSON does not have was encoded")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		var got, own any
		if err := errors.Join(json.Unmarshal(data, &got), json.Unmarshal(want, &own)); err != nil || !reflect.DeepEqual(got, own) {
			t.Errorf("%s, want %s", data, want)
		}
		var back any
		if err := sessions.JSON().Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		list := back.(map[string]any)["list"].([]any)
		if list[1] != number || list[2] != n || !reflect.DeepEqual(list[5], []any{number}) {
			t.Errorf("%s came back as %#v", data, list)
		}
		again, err := sessions.JSON().Marshal(back)
		if err != nil || string(again) != string(data) {
			t.Errorf("%s, encoded again, is %s", data, again)
		}
	})
}

// The default codec has short ways, which a codec of one's own has not.
func TestGetDecodesByItsShortWaysAsByTheCodec(t *testing.T) {
	dir := t.TempDir()
	short := newStore(t, sessions.FilesystemOptions{Path: dir})
	long := newStore(t, sessions.FilesystemOptions{Path: dir, Codec: jsonOfMine{sessions.JSON(), "json"}})
	for _, text := range []string{
		`""`, `"ann"`, `"\u0061"`, `"a\"b"`, `"é"`, `"1"`, `"<&>"`,
		"0", "-0", "7", "-12", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e3", "2.0", "2.5", "1E400",
		"true", "false", "null", "[]", `["a"]`, "{}", `{"a":1}`,
	} {
		id := saved(t, short, "k", json.RawMessage(text)).ID()
		sameLookups[any](t, text, get(t, short, id), get(t, long, id))
		sameLookups[string](t, text, get(t, short, id), get(t, long, id))
		sameLookups[int](t, text, get(t, short, id), get(t, long, id))
		sameLookups[int64](t, text, get(t, short, id), get(t, long, id))
		sameLookups[int8](t, text, get(t, short, id), get(t, long, id))
		sameLookups[bool](t, text, get(t, short, id), get(t, long, id))
	}
}

func sameLookups[T any](t *testing.T, text string, a, b *sessions.Session) {
	t.Helper()
	got, ok := sessions.Key[T]("k").Lookup(a)
	want, wantOK := sessions.Key[T]("k").Lookup(b)
	if !reflect.DeepEqual(got, want) || ok != wantOK {
		t.Errorf("%s as %T is %#v, %v, want %#v, %v", text, got, got, ok, want, wantOK)
	}
}

// A Backend of one's own may have values that a database, or a person, has laid out.
func TestGetTakesTheWhiteSpaceOfJSONAroundAValue(t *testing.T) {
	b := &faultyBackend{records: make(map[string]sessions.Record)}
	base, err := sessions.NewBase(b, sessions.BaseOptions{Key: func(id string) string { return id }})
	if err != nil {
		t.Fatal(err)
	}
	id := base.GenerateKey()
	texts := map[string]any{
		" 7\n": int64(7), "\t\"ann\" ": "ann", "\r\n2.5 ": 2.5, " true ": true, " null ": nil, " [1, 2] ": []any{int64(1), int64(2)},
		"\n{\"a\": 1}\r\n": map[string]any{"a": int64(1)},
		"7 8":              nil, "7\u00a0": nil, "7\v": nil, // these are no JSON
	}
	rec := sessions.Record{Codec: "json", Created: time.Now(), Used: time.Now()}
	for text := range texts {
		rec.Fields = append(rec.Fields, sessions.Field{Key: text, Value: text})
	}
	b.records[id] = rec
	for _, again := range []bool{false, true} { // the second time from a record that a save has made
		s, err := base.Get(t.Context(), id)
		if err != nil || s.New() {
			t.Fatal(s, err)
		}
		for text, want := range texts {
			if got := s.Get(text); !reflect.DeepEqual(got, want) {
				t.Errorf("%q: got %#v, want %#v", text, got, want)
			}
		}
		if got := sessions.Key[int](" 7\n").Get(s); got != 7 {
			t.Errorf("typed: got %d, want 7", got)
		}
		if again {
			break
		}
		s.Set("new", 1)
		if err := base.Save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJSONRefusesNumbersOfGoThatAreNotJSON(t *testing.T) {
	for _, text := range []string{"007", "-01", "+5", "0x1", "1_0", "-", ""} {
		var n int
		var n64 int64
		if err := sessions.JSON().Unmarshal([]byte(text), &n); err == nil {
			t.Errorf("%q is the int %d", text, n)
		}
		if err := sessions.JSON().Unmarshal([]byte(text), &n64); err == nil {
			t.Errorf("%q is the int64 %d", text, n64)
		}
	}
}
