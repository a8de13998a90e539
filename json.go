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

	"github.com/sessfs/sessions/internal/fields"
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

func (jsonCodec) EncodesJSON() {}

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
	// A value nested too deeply to be read again is encoded all the same; it
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
		return fields.AppendString(dst, v), nil
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
		dst = append(fields.AppendString(dst, key), ':')
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
	case *string, *int, *int64:
		if unmarshalScalar(string(data), v) {
			return nil
		}
	}
	err := json.Unmarshal(data, v)
	if errors.As(err, new(*json.UnmarshalTypeError)) {
		// A whole number that was set as a float may be asked for as an integer.
		reflect.ValueOf(v).Elem().SetZero()
		err = json.Unmarshal(fields.WithoutFractions(data), v)
	}
	return err
}

// unmarshalScalar has short ways for the types that most values have, and reports
// whether one was enough. It keeps nothing of data, which may be a part of a large text.
func unmarshalScalar(data string, v any) bool {
	switch v := v.(type) {
	case *string:
		text, ok := plainText(data)
		if ok {
			*v = text
		}
		return ok
	case *int:
		n, ok := plainInteger(data)
		if ok && int64(int(n)) == n {
			*v = int(n)
		}
		return ok && int64(int(n)) == n
	case *int64:
		n, ok := plainInteger(data)
		if ok {
			*v = n
		}
		return ok
	case *any:
		return unmarshalAnyScalar(data, v)
	}
	return false
}

// unmarshalAnyScalar is unmarshalScalar for an untyped Get.
func unmarshalAnyScalar(data string, v *any) bool {
	if text, ok := plainText(data); ok {
		*v = text
		return true
	}
	if n, ok := plainInteger(data); ok {
		*v = n
		return true
	}
	switch data {
	case "true":
		*v = true
	case "false":
		*v = false
	default:
		return false
	}
	return true
}

// plainText returns the text of a JSON string that has no escapes.
func plainText(data string) (string, bool) {
	last := len(data) - 1
	if last < 1 || data[0] != '"' || data[last] != '"' || !fields.Plain(data[1:last]) {
		return "", false
	}
	return strings.Clone(data[1:last]), true
}

// plainInteger returns a JSON number without fraction and exponent, if it fits.
func plainInteger(data string) (int64, bool) {
	digits := strings.TrimPrefix(data, "-")
	if digits == "" || digits[0] < '0' || digits[0] > '9' || digits[0] == '0' && digits != "0" {
		return 0, false // what strconv would take
	}
	n, err := strconv.ParseInt(data, 10, 64)
	return n, err == nil
}

// unmarshalAs decodes as an untyped Get does, into one of its types.
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
	if len(bytes.TrimRight(data[dec.InputOffset():], " \t\r\n")) > 0 {
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
		f, _ := v.Float64() // too large a number becomes an infinity
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
