package sessions

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// A field is one value as it is stored: its key and its encoding. Fields stand
// in the order of their keys, so that merging is one pass and the same values
// always have the same encoding.
type field struct{ key, value string }

func compareKeys(f field, key string) int { return strings.Compare(f.key, key) }

// A cell is what this process knows of one value beyond its field: it was
// decoded, set or deleted. A session of fifty values of which two are used has
// fifty fields, which cost next to nothing, and two cells.
type cell struct {
	value   any    // decoded, or as it was set; what Get hands out
	encoded string // the stored encoding that value was decoded from or saved as
	gone    bool   // deleted; value is none
	changed uint64 // the session's clock when it was set or deleted; zero when it was not
}

// field returns the stored encoding of key.
func (s *Session) field(key string) (string, bool) {
	if s.cleared > 0 {
		return "", false
	}
	fields := s.baseFields()
	if i, ok := slices.BinarySearchFunc(fields, key, compareKeys); ok {
		return fields[i].value, true
	}
	return "", false
}

// baseFields returns the stored values. Data that cannot be taken apart make
// the session one that could not be loaded.
func (s *Session) baseFields() []field {
	if !s.parsed {
		s.fields, s.err = parseFields(s.codec, s.base.Data)
		s.parsed = true
	}
	return s.fields
}

func (s *Session) has(key string) bool {
	if c := s.cells[key]; c != nil {
		return !c.gone
	}
	_, ok := s.field(key)
	return ok
}

// keys returns the keys of all values, sorted.
func (s *Session) keys() []string {
	var keys []string
	if s.cleared == 0 {
		for _, f := range s.baseFields() {
			if c := s.cells[f.key]; c == nil || !c.gone {
				keys = append(keys, f.key)
			}
		}
	}
	for key, c := range s.cells {
		if _, stored := s.field(key); !stored && !c.gone {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// lookup returns the value of key as a T.
func lookup[T any](s *Session, key string) (T, bool) {
	var v T
	c := s.cells[key]
	if c == nil {
		encoded, ok := s.field(key)
		if !ok || s.unmarshal(encoded, &v) != nil {
			var zero T
			return zero, false
		}
		// What can be changed in place is kept: MarkModified looks at it, and
		// whoever asks again gets the same one.
		if changeable(reflect.ValueOf(&v).Elem()) {
			s.putCell(key, &cell{value: v, encoded: encoded})
		}
		return v, true
	}
	if c.gone {
		return v, false
	}
	if v, ok := c.value.(T); ok || c.value == nil && isInterface[T]() {
		return v, true
	}
	// Held as another type: by way of its encoding as it is now, since it may
	// have been changed in place.
	data, err := s.marshal(c.value)
	if err != nil || s.unmarshal(data, &v) != nil {
		var zero T
		return zero, false
	}
	if c.changed == 0 { // what was set is saved as it was set
		c.value = v
	}
	return v, true
}

func isInterface[T any]() bool { return reflect.TypeFor[T]().Kind() == reflect.Interface }

// changeable says whether a value can be changed through a copy of it.
func changeable(v reflect.Value) bool {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Struct, reflect.Array:
		return true
	}
	return false
}

// marshal encodes a value. Its encoder is the application's code: a panic there
// is an error like any other.
func (s *Session) marshal(value any) (data string, err error) {
	defer recoverError(&err)
	b, err := s.codec.Marshal(value)
	return string(b), err
}

// unmarshal is the inverse of marshal.
func (s *Session) unmarshal(data string, v any) (err error) {
	defer recoverError(&err)
	return s.codec.Unmarshal([]byte(data), v)
}

// A change is what a save carries for one key.
type change struct {
	field
	gone bool
	at   uint64 // the session's clock; zero for a change in place
}

// changes encodes what was set, and finds what was deleted or, when the
// session is marked, changed in place. They are sorted by key.
func (s *Session) changes(changes []change) ([]change, error) {
	for key, c := range s.cells {
		switch {
		case c.gone:
			changes = append(changes, change{field{key: key}, true, c.changed})
		case c.changed > 0 || s.marked > 0:
			data, err := s.marshal(c.value)
			if err == nil && s.codec.Name() == "json" && !utf8.ValidString(key) {
				err = errKeyNotUTF8
			}
			if err != nil {
				return nil, newValueError(s.codec, key, c.value, err)
			}
			if c.changed > 0 || s.changedInPlace(c, data) {
				changes = append(changes, change{field{key, data}, false, c.changed})
			}
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.key, b.key) })
	return changes, nil
}

// changedInPlace compares a value with what it was decoded from. Not every
// value has its old encoding when it is encoded again (gob writes maps in any
// order, and an untyped Get makes a map of a struct), so different encodings
// are compared decoded: as a T of its own, and as an untyped Get decodes.
func (s *Session) changedInPlace(c *cell, encoded string) bool {
	if encoded == c.encoded {
		return false
	}
	same := func(was any) bool {
		return s.unmarshal(c.encoded, was) == nil &&
			reflect.DeepEqual(reflect.ValueOf(was).Elem().Interface(), c.value)
	}
	return !same(new(any)) && (c.value == nil || !same(reflect.New(reflect.TypeOf(c.value)).Interface()))
}

// noteInPlace makes ordinary changes of those in place, when there may be any:
// what a value was decoded from is about to be forgotten.
func (s *Session) noteInPlace() {
	if s.marked == 0 {
		return
	}
	for _, c := range s.cells {
		if c.changed > 0 || c.gone {
			continue
		}
		// What cannot be encoded any more is the save's to report.
		data, err := s.marshal(c.value)
		if err != nil || s.changedInPlace(c, data) {
			c.changed = s.marked
		}
	}
}

// apply carries changes over to the fields that are stored now.
func apply(stored []field, changes []change) []field {
	merged := make([]field, 0, len(stored)+len(changes))
	for len(stored) > 0 || len(changes) > 0 {
		switch {
		case len(changes) == 0 || len(stored) > 0 && stored[0].key < changes[0].key:
			merged, stored = append(merged, stored[0]), stored[1:]
		default:
			if len(stored) > 0 && stored[0].key == changes[0].key {
				stored = stored[1:]
			}
			if !changes[0].gone {
				merged = append(merged, changes[0].field)
			}
			changes = changes[1:]
		}
	}
	return merged
}

// snapshot returns the state as it is, to be brought back by assigning it.
func (s *Session) snapshot() state {
	was := s.state
	was.cells = maps.Clone(s.cells)
	for key, c := range was.cells {
		copied := *c
		was.cells[key] = &copied
	}
	return was
}
