package sessions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// JSON returns the default codec.
//
// Into an any, a map[string]any or an []any it decodes a number without fraction
// and exponent that fits as int64, and any other number as float64. It writes a
// float64 or float32 that is a whole number with a fraction, 2 as 2.0, so that it
// comes back as a float64: by itself, in []any and map[string]any at any depth,
// in []float64 and in map[string]float64. Inside of other types, structs for
// example, encoding/json writes it without.
func JSON() Codec { return jsonCodec{} }

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

// maxJSONDepth is where encoding/json stops reading.
const maxJSONDepth = 10_000

func (jsonCodec) Marshal(v any) ([]byte, error) {
	var dst []byte
	if s, ok := v.(string); ok {
		dst = make([]byte, 0, len(s)+2)
	}
	data, err := appendJSON(dst, v, 0)
	if err != nil {
		return nil, err
	}
	// What is nested too deeply to be read again is encoded all the same; it
	// takes a bracket at each end of each level.
	if len(data) >= 2*maxJSONDepth && !json.Valid(data) {
		return nil, errTooDeep
	}
	return data, nil
}

// appendJSON appends the encoding of v, which is depth levels deep in a value.
// It has short ways for the types that most values have, which spare a save the
// buffer and the encoder.
func appendJSON(dst []byte, v any, depth int) ([]byte, error) {
	if depth > maxJSONDepth {
		return nil, errTooDeep
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case string:
		return appendString(dst, v), nil
	case float64:
		return appendFloat(dst, v, 64)
	case float32:
		return appendFloat(dst, float64(v), 32)
	case []any:
		return appendList(dst, v, depth)
	case map[string]any:
		return appendMap(dst, v, depth)
	case []float64:
		return appendList(dst, v, depth)
	case map[string]float64:
		return appendMap(dst, v, depth)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), nil
}

// appendFloat writes a number so that it can be told from an integer.
func appendFloat(dst []byte, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, &json.UnsupportedValueError{Value: reflect.ValueOf(f), Str: strconv.FormatFloat(f, 'g', -1, bits)}
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'g', -1, bits)
	if !bytes.ContainsAny(dst[start:], ".e") {
		dst = append(dst, ".0"...)
	}
	return dst, nil
}

func appendList[E any](dst []byte, list []E, depth int) (_ []byte, err error) {
	if list == nil {
		return append(dst, "null"...), nil
	}
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendJSON(dst, v, depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func appendMap[E any](dst []byte, m map[string]E, depth int) (_ []byte, err error) {
	if m == nil {
		return append(dst, "null"...), nil
	}
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, key), ':')
		if dst, err = appendJSON(dst, m[key], depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func (jsonCodec) Unmarshal(data []byte, v any) error {
	switch v := v.(type) {
	case *any:
		return unmarshalAny(data, v)
	case *map[string]any:
		return unmarshalAs(data, v)
	case *[]any:
		return unmarshalAs(data, v)
	case *string:
		if len(data) >= 2 && data[0] == '"' && data[len(data)-1] == '"' && plain(string(data[1:len(data)-1])) {
			*v = string(data[1 : len(data)-1])
			return nil
		}
	case *int64:
		if n, err := strconv.ParseInt(string(data), 10, 64); err == nil {
			*v = n
			return nil
		}
	}
	err := json.Unmarshal(data, v)
	if errors.As(err, new(*json.UnmarshalTypeError)) {
		// A whole number that was set as a float may be asked for as an integer.
		reflect.ValueOf(v).Elem().SetZero()
		err = json.Unmarshal(withoutFractions(data), v)
	}
	return err
}

// withoutFractions writes 2.0 as 2, as encoding/json writes a float.
func withoutFractions(data []byte) []byte {
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

// unmarshalAs decodes as an untyped Get does, into one of the types that it gives.
func unmarshalAs[T any](data []byte, v *T) error {
	var decoded any
	if err := unmarshalAny(data, &decoded); err != nil || decoded == nil {
		return err
	}
	value, ok := decoded.(T)
	if !ok {
		return fmt.Errorf("a %T is stored, not a %T", decoded, value)
	}
	*v = value
	return nil
}

func unmarshalAny(data []byte, v *any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.InputOffset() != int64(len(data)) {
		return errors.New("data after the value")
	}
	*v = plainNumbers(*v)
	return nil
}

// plainNumbers replaces each json.Number.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // what is too large becomes an infinity
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plainNumbers(v[key])
		}
	}
	return v
}

// plain says whether a string stands in JSON as it is.
func plain(s string) bool {
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

// appendString appends a string as encoding/json does that escapes no HTML.
func appendString(dst []byte, s string) []byte {
	if plain(s) {
		return appendQuoted(dst, s)
	}
	dst = append(dst, '"')
	for _, r := range s { // what is not UTF-8 becomes U+FFFD
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

// appendQuoted is appendString of what is plain.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
