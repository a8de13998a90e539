package fields_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/sessfs/sessions/internal/fields"
)

// FuzzFields: Parse never panics; fields that it returns, encoded and parsed again,
// are the same; and of JSON it accepts objects alone, with the members that
// encoding/json finds.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{
		"", "{}", " { } ", `{"a":1}`, `{"b":[1,{"c":"]"}],"a":"\"\\"}`, "{\"\\u0061\":null , \"é\":\t1e5 }", `{"a":1,"a":2}`, `{"a":[}`,
		`{"\ud800":1}`, `{"a":"\\","b":"\\\""}`, "\x01a\x03xyz", "\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x01b\x00\x01a\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, format := range []fields.Format{fields.JSON, fields.Pairs} {
			got, err := format.Parse(data)
			if err == nil {
				again, err := format.Parse(string(format.Encode(nil, got)))
				if err != nil || len(got)+len(again) > 0 && !reflect.DeepEqual(again, got) {
					t.Errorf("JSON %v: %q, encoded and parsed again, is %q, %v", format, got, again, err)
				}
			}
			if format != fields.JSON || !json.Valid([]byte(data)) {
				continue
			}
			var want map[string]json.RawMessage
			if json.Unmarshal([]byte(data), &want) != nil || want == nil {
				if err == nil {
					t.Errorf("%q is no object, and was taken for one", data)
				}
				continue
			}
			if err != nil {
				continue // a key that stands twice
			}
			if len(want) != len(got) {
				t.Errorf("%d members, want %d", len(got), len(want))
			}
			for _, f := range got {
				if string(want[f.Key]) != f.Value {
					t.Errorf("%q = %q, want %q", f.Key, f.Value, want[f.Key])
				}
			}
		}
	})
}
