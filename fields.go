package sessions

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// encodeFields puts values into one text: a JSON object for JSON, and for any
// other codec each key and each value with its length, as a uvarint, before it.
func encodeFields(dst []byte, c Codec, fields []field) []byte {
	if c.Name() != "json" {
		for _, f := range fields {
			dst = append(binary.AppendUvarint(dst, uint64(len(f.key))), f.key...)
			dst = append(binary.AppendUvarint(dst, uint64(len(f.value))), f.value...)
		}
		return dst
	}
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(appendString(dst, f.key), ':'), f.value...)
	}
	return append(dst, '}')
}

// parseFields takes apart what encodeFields put together, which is found by
// its name to be the codec's, without looking into the values: those that
// nobody asks for are never decoded. The error is ErrCorrupt.
func parseFields(c Codec, data string) (fields []field, err error) {
	if c.Name() == "json" {
		fields, err = parseObject(data)
	} else {
		fields, err = parsePairs(data)
	}
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(fields); i++ {
		if fields[i].key <= fields[i-1].key { // not what encodeFields wrote
			return sortFields(fields)
		}
	}
	return fields, nil
}

func sortFields(fields []field) ([]field, error) {
	slices.SortFunc(fields, byKey)
	for i := 1; i < len(fields); i++ {
		if fields[i].key == fields[i-1].key {
			return nil, corrupt("a key stands twice")
		}
	}
	return fields, nil
}

func byKey(a, b field) int { return strings.Compare(a.key, b.key) }

func corrupt(why string) error { return fmt.Errorf("%w: %s", ErrCorrupt, why) }

func parsePairs(data string) (fields []field, err error) {
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
			fields = append(fields, field{key, next()})
		}
	}
	return fields, err
}

func uvarint(s string) (uint64, int) {
	return binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
}

// parseObject finds the members of a JSON object. It follows strings and
// brackets without recursion, so that no depth of nesting costs anything; that
// what stands between them is JSON is left to whoever decodes a value.
func parseObject(data string) ([]field, error) {
	p := scanner{data: data}
	if !p.take('{') {
		return nil, corrupt("no JSON object")
	}
	fields := make([]field, 0, 1+min(strings.Count(data, ","), 63)) // a guess
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
		fields = append(fields, field{key, value})
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
	if !p.skipString() {
		return "", false
	}
	if key := p.data[start+1 : p.at-1]; plain(key) {
		return key, true
	}
	var key string
	err := json.Unmarshal([]byte(p.data[start:p.at]), &key)
	return key, err == nil
}

// skipString goes behind the string that begins here.
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

// value goes behind the value that begins here: to the comma or bracket that
// belongs to the object around it.
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
