package sessions

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sessfs/sessions/internal/fields"
)

// field returns the stored encoding of key.
func (s *Session) field(key string) (string, bool) {
	if s.asked[toClear] > 0 {
		return "", false
	}
	return fields.Find(s.baseFields(), key)
}

// baseFields returns the stored values. Data that cannot be taken apart make
// the session one that could not be loaded.
func (s *Session) baseFields() []Field {
	if !s.parsed {
		s.fields, s.err = parseValues(s.codec, &s.base)
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
	if s.asked[toClear] == 0 {
		for _, f := range s.baseFields() {
			if c := s.cells[f.Key]; c == nil || !c.gone {
				keys = append(keys, f.Key)
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

// A change is the part of a save for one key.
type change = fields.Change[changed]

// changed is the kind of a change.
type changed struct {
	at   uint64 // the session's clock; zero for a change in place
	from *view  // whose encoding it is
}

// changes encodes the values that were set, and finds those that were deleted or,
// when the session is marked, changed in place. They are sorted by key.
func (s *Session) changes(changes []change) ([]change, error) {
	for key, c := range s.cells {
		switch {
		case c.gone:
			changes = append(changes, change{Field: Field{Key: key}, Gone: true, Mark: changed{at: c.changed}})
		case c.changed > 0 || s.asked[toCompareInPlace] > 0:
			from, data, err := s.encode(c, s.asked[toCompareInPlace] > 0)
			if from == nil {
				continue
			}
			if err == nil && formatOf(s.codec) == fields.JSON && !utf8.ValidString(key) {
				err = errKeyNotUTF8
			}
			if err != nil {
				return nil, newValueError(s.codec, key, from.value, err)
			}
			changes = append(changes, change{Field: Field{Key: key, Value: data}, Mark: changed{c.changed, from}})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.Key, b.Key) })
	return changes, nil
}

// recordInPlaceChanges makes ordinary changes of those in place, when there may be any:
// the text that a value was decoded from is about to be forgotten.
func (s *Session) recordInPlaceChanges() {
	if s.asked[toCompareInPlace] == 0 {
		return
	}
	for _, c := range s.cells {
		if c.changed > 0 || c.gone {
			continue
		}
		// A value that cannot be encoded any more is the save's to report.
		if from, _, _ := s.encode(c, true); from != nil {
			c.changed = s.asked[toCompareInPlace]
		}
	}
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
