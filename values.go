package sessions

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A field is one value as it is stored: its key and its encoding. Fields stand
// in the order of their keys, so that merging is one pass and the same values
// always have the same encoding.
type field struct{ key, value string }

func compareKeys(f field, key string) int { return strings.Compare(f.key, key) }

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

// A change is what a save carries for one key.
type change struct {
	field
	gone bool
	at   uint64 // the session's clock; zero for a change in place
	from *view  // whose encoding it is
}

// changes encodes what was set, and finds what was deleted or, when the
// session is marked, changed in place. They are sorted by key.
func (s *Session) changes(changes []change) ([]change, error) {
	for key, c := range s.cells {
		switch {
		case c.gone:
			changes = append(changes, change{field: field{key: key}, gone: true, at: c.changed})
		case c.changed > 0 || s.marked > 0:
			from, data, err := s.encode(c, s.marked > 0)
			if from == nil {
				continue
			}
			if err == nil && s.codec.Name() == "json" && !utf8.ValidString(key) {
				err = errKeyNotUTF8
			}
			if err != nil {
				return nil, newValueError(s.codec, key, from.value, err)
			}
			changes = append(changes, change{field{key, data}, false, c.changed, from})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.key, b.key) })
	return changes, nil
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
		if from, _, _ := s.encode(c, true); from != nil {
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
