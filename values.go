package sessions

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/sessfs/sessions/internal/fields"
)

// values are the values of a session: the fields of the record that they build on,
// and the cells of those that this process has decoded, set or deleted.
type values struct {
	tracker
	codec  Codec
	base   Record  // as it was loaded or last saved; of an adopted session, when that was
	fields []Field // base's; see baseFields
	parsed bool    // fields are filled in
	err    error   // why the session could not be loaded
	cells  map[string]*cell
}

// field returns the stored encoding of key.
func (s *values) field(key string) (string, bool) {
	if s.asked[toClear] > 0 {
		return "", false
	}
	return fields.Find(s.baseFields(), key)
}

// baseFields returns the stored values. Data that cannot be taken apart make
// the session one that could not be loaded.
func (s *values) baseFields() []Field {
	if !s.parsed {
		s.fields, s.err = parseValues(s.codec, &s.base)
		s.parsed = true
	}
	return s.fields
}

func (s *values) has(key string) bool {
	if c := s.cells[key]; c != nil {
		return !c.gone
	}
	_, ok := s.field(key)
	return ok
}

// keys returns the keys of all values, sorted.
func (s *values) keys() []string {
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

// hasAny reports whether there is a value.
func (s *values) hasAny() bool {
	for _, c := range s.cells {
		if !c.gone {
			return true
		}
	}
	if s.asked[toClear] > 0 {
		return false
	}
	for _, f := range s.baseFields() {
		if s.cells[f.Key] == nil { // the others are gone
			return true
		}
	}
	return false
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
func (s *values) changes(changes []change) ([]change, error) {
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
func (s *values) recordInPlaceChanges() {
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

// copyCells returns cells that may be changed without changing these.
func (s *values) copyCells() map[string]*cell {
	cells := maps.Clone(s.cells)
	for key, c := range cells {
		copied := *c
		cells[key] = &copied
	}
	return cells
}

func (s *values) set(key string, value any) {
	c := s.cells[key]
	if c == nil {
		c = new(cell)
		s.putCell(key, c)
	}
	*c = cell{view: view{value: value, set: true}, changed: s.markChanged()}
}

func (s *values) putCell(key string, c *cell) {
	if s.cells == nil {
		s.cells = make(map[string]*cell)
	}
	s.cells[key] = c
}

func (s *values) remove(key string) {
	if s.has(key) {
		s.putCell(key, &cell{gone: true, changed: s.markChanged()})
	}
}

func (s *values) clear() {
	s.asked[toClear] = s.markChanged()
	s.cells = nil
}

// A cell is the state of one value in this process beyond its field: it was
// decoded, set or deleted. A session of fifty values of which two are used has
// fifty fields, which cost next to nothing, and two cells.
type cell struct {
	view           // as the value was set, or first handed out
	gone    bool   // deleted; there is no view
	changed uint64 // the session's clock when it was set or deleted; zero when it was not
}

// A view is a value as it was set or handed out: one for each type that it was
// asked for as. So no answer depends on the questions before it, and
// MarkModified looks at all that the application may have changed. Those behind
// the first, the last one handed out before the others, are never changed:
// clones share them.
type view struct {
	value   any
	encoded string // the text that it was decoded from, or saved as
	set     bool   // rather than decoded
	untyped bool   // decoded into an interface, which leaves the type to the codec
	next    *view  // of the same value, handed out as another type
}

// viewAs returns the value that was handed out as a T.
func viewAs[T any](v *view) (T, bool) {
	var none T
	isInterface := reflect.TypeFor[T]().Kind() == reflect.Interface
	if !v.set && v.untyped != isInterface {
		return none, false
	}
	if value, ok := v.value.(T); ok {
		return value, true
	}
	return none, isInterface && v.value == nil
}

// lookup returns the value of key as a T.
func lookup[T any](s *values, key string) (T, bool) {
	var none T
	c := s.cells[key]
	switch {
	case c == nil:
		encoded, ok := s.field(key)
		if !ok {
			return none, false
		}
		if v, ok := lookupScalar[T](s, encoded); ok {
			return v, true
		}
		return decodeView[T](s, key, c, encoded)
	case c.gone:
		return none, false
	}
	for w := &c.view; w != nil; w = w.next {
		if v, ok := viewAs[T](w); ok {
			return v, true
		}
	}
	// Known as another type: by way of its encoding as it is now, since it
	// may have been changed in place.
	_, encoded, err := s.encode(c, true)
	if err != nil {
		return none, false
	}
	return decodeView[T](s, key, c, encoded)
}

// lookupScalar decodes a value that is stored as JSON and cannot be changed in place,
// a string for example. It spares most lookups reflection, and three of four
// allocations.
func lookupScalar[T any](s *values, encoded string) (v T, ok bool) {
	if _, isJSON := s.codec.(jsonCodec); !isJSON {
		return v, false
	}
	return v, unmarshalScalar(encoded, &v)
}

// decodeView decodes a value as a T.
func decodeView[T any](s *values, key string, c *cell, encoded string) (T, bool) {
	var v, none T
	if s.unmarshal(encoded, &v) != nil {
		return none, false
	}
	// A value that can be changed in place is kept: MarkModified looks at it, and
	// the next question gets the same one.
	if value := reflect.ValueOf(&v).Elem(); changeable(value) {
		s.keepView(key, c, view{value: v, encoded: encoded, untyped: value.Kind() == reflect.Interface})
	}
	return v, true
}

// changeable reports whether a value can be changed through a copy of it.
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

func (s *values) keepView(key string, c *cell, v view) {
	if c == nil {
		s.putCell(key, &cell{view: v})
		return
	}
	v.next = c.next
	c.next = &v
}

// encode returns the encoding that a cell's value has now, and the view that it
// is of: nil when it is the stored one. With inPlace it looks whether a view was
// changed in place; of several that were, the one that was handed out last
// counts.
func (s *values) encode(c *cell, inPlace bool) (from *view, data string, err error) {
	if inPlace {
		for v := c.next; v != nil; v = v.next {
			if data, changed, err := s.changedInPlace(v); changed || err != nil {
				return v, data, err
			}
		}
	}
	if c.changed > 0 {
		data, err = s.marshal(c.value)
		return &c.view, data, err
	}
	data, changed, err := s.changedInPlace(&c.view)
	if changed || err != nil {
		return &c.view, data, err
	}
	return nil, c.encoded, nil
}

// changedInPlace compares a value with the text that it was decoded from. Not every
// value has its old encoding when it is encoded again (gob writes maps in any
// order, and an untyped Get makes a map of a struct), so different encodings
// are compared decoded: as a T of its own, and as an untyped Get decodes.
func (s *values) changedInPlace(v *view) (data string, changed bool, err error) {
	data, err = s.marshal(v.value)
	if err != nil || data == v.encoded {
		return data, false, err
	}
	same := func(was any) bool {
		return s.unmarshal(v.encoded, was) == nil &&
			reflect.DeepEqual(reflect.ValueOf(was).Elem().Interface(), v.value)
	}
	return data, !same(new(any)) && (v.value == nil || !same(reflect.New(reflect.TypeOf(v.value)).Interface())), nil
}

// settle notes that a view was saved. Others stay if they show the same.
func (c *cell) settle(saved *view, encoded string) {
	settled := cell{view: *saved}
	settled.encoded, settled.next = encoded, nil
	for v := &c.view; v != nil; v = v.next {
		if v != saved && v.encoded == encoded {
			other := *v
			other.next = settled.next
			settled.next = &other
		}
	}
	*c = settled
}

// marshal encodes a value. Its encoder is the application's code: a panic there
// is an error like any other.
func (s *values) marshal(value any) (data string, err error) {
	defer recoverError(&err)
	b, err := s.codec.Marshal(value)
	if _, own := s.codec.(jsonCodec); own {
		return unsafe.String(unsafe.SliceData(b), len(b)), err // no one else has b
	}
	return string(b), err
}

// unmarshal is the inverse of marshal.
func (s *values) unmarshal(data string, v any) (err error) {
	defer recoverError(&err)
	return s.codec.Unmarshal([]byte(data), v)
}
