package sessions

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzFields: taking any text apart never panics; what it gives, put together
// again, gives the same; and JSON that encoding/json takes for an object, and
// with the same members, is one.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{
		"", "{}", " { } ", `{"a":1}`, `{"b":[1,{"c":"]"}],"a":"\"\\"}`, "{\"\\u0061\":null , \"é\":\t1e5 }", `{"a":1,"a":2}`, `{"a":[}`,
		`{"\ud800":1}`, `{"a":"\\","b":"\\\""}`, "\x01a\x03xyz", "\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x01b\x00\x01a\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, codec := range []Codec{JSON(), Gob()} {
			fields, err := parseFields(codec, data)
			if err == nil {
				again, err := parseFields(codec, string(encodeFields(nil, codec, fields)))
				if err != nil || len(fields)+len(again) > 0 && !reflect.DeepEqual(again, fields) {
					t.Errorf("%s: %q, put together and taken apart again, is %q, %v", codec.Name(), fields, again, err)
				}
			}
			if codec.Name() != "json" || !json.Valid([]byte(data)) {
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
			if len(want) != len(fields) {
				t.Errorf("%d members, want %d", len(fields), len(want))
			}
			for _, f := range fields {
				if string(want[f.key]) != f.value {
					t.Errorf("%q = %q, want %q", f.key, f.value, want[f.key])
				}
			}
		}
	})
}
