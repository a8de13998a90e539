// Package fields keeps the values of a session in one text, each findable by its
// key without decoding any: a JSON object, or pairs of a key and a value, each
// behind its length. It knows nothing of sessions or of the encoder of a value.
package fields

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// ErrSyntax is the error of a text that no Encode wrote.
var ErrSyntax = errors.New("fields: not a text of fields")

// A Field is one value as it is stored: its key and its encoding. Fields stand in
// the order of their keys, so that merging is one pass and the same values always
// have the same text.
type Field struct{ Key, Value string }

// A Format is a form of the text.
type Format bool

const (
	Pairs Format = false // for values of any bytes
	JSON  Format = true  // for values that are JSON texts
)

// Encode appends the text of fields. With Pairs each key and each value has its
// length, as a uvarint, before it.
func (f Format) Encode(dst []byte, fields []Field) []byte {
	if f == Pairs {
		for _, f := range fields {
			dst = append(binary.AppendUvarint(dst, uint64(len(f.Key))), f.Key...)
			dst = append(binary.AppendUvarint(dst, uint64(len(f.Value))), f.Value...)
		}
		return dst
	}
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(AppendString(dst, f.Key), ':'), f.Value...)
	}
	return append(dst, '}')
}

// Text is Encode for a text of its own, which it allocates at once.
func (f Format) Text(fields []Field) string {
	size := len("{}")
	for _, f := range fields {
		size += len(f.Key) + len(f.Value) + len(`"":,`)
	}
	text := f.Encode(make([]byte, 0, size), fields)
	return unsafe.String(unsafe.SliceData(text), len(text)) // text is not changed any more
}

// Parse splits a text into its fields, in the order of their keys, without
// decoding a value. The error is ErrSyntax.
func (f Format) Parse(data string) (fields []Field, err error) {
	if f == JSON {
		fields, err = parseObject(data)
	} else {
		fields, err = parsePairs(data)
	}
	if err != nil {
		return nil, err
	}
	if !Sorted(fields) { // not written by Encode
		return Sort(fields)
	}
	return fields, nil
}

// Sorted reports whether fields stand in the order of their keys, each once.
func Sorted(fields []Field) bool {
	for i := 1; i < len(fields); i++ {
		if fields[i].Key <= fields[i-1].Key {
			return false
		}
	}
	return true
}

// Sort brings fields into the order of their keys, in place. The error is
// ErrSyntax when a key stands twice.
func Sort(fields []Field) ([]Field, error) {
	slices.SortFunc(fields, byKey)
	for i := 1; i < len(fields); i++ {
		if fields[i].Key == fields[i-1].Key {
			return nil, corrupt("a key stands twice")
		}
	}
	return fields, nil
}

func byKey(a, b Field) int { return strings.Compare(a.Key, b.Key) }

func corrupt(why string) error { return fmt.Errorf("%w: %s", ErrSyntax, why) }

// A Change is a field that is set, or deleted when Gone. Mark is the caller's, and
// not looked at.
type Change[M any] struct {
	Field
	Gone bool
	Mark M
}

// Merge returns the stored fields with the changes made. Both must be sorted. With copies,
// a new key is a copy: one of a change may be a part of a large text.
func Merge[M any](stored []Field, changes []Change[M], copies bool) []Field {
	merged := make([]Field, 0, len(stored)+len(changes))
	for _, c := range changes {
		at, found := search(stored, c.Key)
		merged = append(merged, stored[:at]...)
		switch stored = stored[at:]; {
		case found:
			c.Key, stored = stored[0].Key, stored[1:]
		case copies:
			c.Key = strings.Clone(c.Key)
		}
		if !c.Gone {
			merged = append(merged, c.Field)
		}
	}
	return append(merged, stored...)
}

// Find returns the value of a key.
func Find(fields []Field, key string) (string, bool) {
	at, ok := search(fields, key)
	if !ok {
		return "", false
	}
	return fields[at].Value, true
}

// search returns where the key stands, or would stand.
func search(fields []Field, key string) (at int, found bool) {
	return slices.BinarySearchFunc(fields, key, func(f Field, key string) int { return strings.Compare(f.Key, key) })
}

func parsePairs(data string) (fields []Field, err error) {
	next := func() (part string) {
		n, length := uvarint(data)
		if length <= 0 || n > uint64(len(data)-length) {
			err = corrupt("a length is wrong")
			return ""
		}
		part, data = data[length:length+int(n)], data[length+int(n):]
		return part
	}
	for data != "" && err == nil {
		key := next()
		if err == nil {
			fields = append(fields, Field{key, next()})
		}
	}
	return fields, err
}

func uvarint(s string) (uint64, int) {
	return binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
}

// parseObject finds the members of a JSON object. It follows strings and
// brackets without recursion, so that no depth of nesting costs anything. Whether
// the text between them is JSON is left to the decoder of a value.
func parseObject(data string) ([]Field, error) {
	p := scanner{data: data}
	if !p.take('{') {
		return nil, corrupt("no JSON object")
	}
	fields := make([]Field, 0, 1+min(strings.Count(data, ","), 63)) // a guess
	if p.take('}') {
		return fields, p.end()
	}
	for {
		key, ok := p.key()
		if !ok || !p.take(':') {
			return nil, corrupt("a key is no JSON string")
		}
		value, ok := p.value()
		if !ok {
			return nil, corrupt("a value does not end")
		}
		fields = append(fields, Field{key, value})
		if p.take('}') {
			return fields, p.end()
		}
		if !p.take(',') {
			return nil, corrupt("no comma between two members")
		}
	}
}

// A scanner goes through a JSON text.
type scanner struct {
	data string
	at   int
}

// take skips white space and then c, if it is next.
func (p *scanner) take(c byte) bool {
	if p.at < len(p.data) && p.data[p.at] != c {
		p.space()
	}
	if p.at < len(p.data) && p.data[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *scanner) space() {
	for p.at < len(p.data) && isSpace(p.data[p.at]) {
		p.at++
	}
}

func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n') }

func (p *scanner) end() error {
	if p.space(); p.at < len(p.data) {
		return corrupt("text behind the JSON object")
	}
	return nil
}

func (p *scanner) key() (string, bool) {
	p.space()
	start := p.at
	if key, ok := p.plainString(); ok {
		return key, true
	}
	if !p.skipString() {
		return "", false
	}
	var key string
	err := json.Unmarshal([]byte(p.data[start:p.at]), &key)
	return key, err == nil
}

// plainString moves behind the string that begins here and returns its text, if that
// stands there as it is: one pass for nearly every key.
func (p *scanner) plainString() (string, bool) {
	if p.at >= len(p.data) || p.data[p.at] != '"' {
		return "", false
	}
	text := p.data[p.at+1:]
	for i := range len(text) {
		if !plainByte[text[i]] {
			if text[i] != '"' {
				return "", false
			}
			p.at += i + 2
			return text[:i], true
		}
	}
	return "", false
}

// skipString moves behind the string that begins here.
func (p *scanner) skipString() bool {
	if p.at >= len(p.data) || p.data[p.at] != '"' {
		return false
	}
	for p.at++; ; {
		n := strings.IndexByte(p.data[p.at:], '"')
		if n < 0 {
			return false
		}
		p.at += n + 1
		// A quote is one of the text when an odd number of backslashes stands before it.
		escapes := 0
		for p.data[p.at-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return true
		}
	}
}

// value returns the value that begins here, and stops at the comma or bracket of
// the object around it.
func (p *scanner) value() (string, bool) {
	p.space()
	start := p.at
	for depth := 0; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; c {
		case '"':
			if !p.skipString() {
				return "", false
			}
			p.at-- // back onto the closing quote
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				end := p.at
				for end > start && isSpace(p.data[end-1]) {
					end--
				}
				return p.data[start:end], end > start && c != ']'
			}
			if c != ',' {
				depth--
			}
		}
	}
	return "", false
}

// Plain reports whether a string stands in JSON as it is.
func Plain(s string) bool {
	for i := range len(s) {
		if !plainByte[s[i]] {
			return false
		}
	}
	return true
}

// plainByte is a table, since every key that is read is looked at.
var plainByte = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// AppendString appends a string as encoding/json does without HTML escapes.
func AppendString(dst []byte, s string) []byte {
	if Plain(s) {
		return AppendQuoted(dst, s)
	}
	dst = append(dst, '"')
	for _, r := range s { // bytes that are not UTF-8 become U+FFFD
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == '\u2028' || r == '\u2029':
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// AppendQuoted is AppendString for plain text.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// WithoutFractions writes 2.0 as 2, as encoding/json writes a float.
func WithoutFractions(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for p := (scanner{data: string(data)}); p.at < len(p.data); {
		rest := p.data[p.at:]
		switch {
		case rest[0] == '"':
			if !p.skipString() {
				return data
			}
			out = append(out, rest[:len(rest)-len(p.data[p.at:])]...)
		case strings.HasPrefix(rest, ".0") && (len(rest) == 2 || strings.IndexByte("0123456789eE", rest[2]) < 0):
			p.at += 2
		default:
			out = append(out, rest[0])
			p.at++
		}
	}
	return out
}
