package werkzeug

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxDepth is about the limit of Python's json.
	maxDepth = 1000

	// maxDigits is the longest integer that Python reads or writes by
	// default (sys.int_info.default_max_str_digits), since CVE-2020-10735:
	// conversion takes quadratic time.
	maxDigits = 4300
)

var (
	errNotUTF8  = errors.New("securecookie/werkzeug: a string that is not UTF-8")
	errTooLarge = errors.New("securecookie/werkzeug: more than 64 KiB")
)

// encodeJSON writes v as Python's json.dumps does with sorted keys and the
// separators "," and ":".
func encodeJSON(v any) ([]byte, error) { return appendJSON(nil, reflect.ValueOf(v), 0) }

func appendJSON(b []byte, v reflect.Value, depth int) ([]byte, error) {
	// The limits also end values that refer to themselves.
	switch {
	case depth > maxDepth:
		return nil, errors.New("securecookie/werkzeug: nested too deeply")
	case len(b) > maxValue:
		return nil, errTooLarge
	}
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		return append(b, "null"...), nil
	}
	switch special := v.Interface().(type) {
	case *big.Int:
		return appendBigInt(b, special)
	case json.Number:
		n, ok := parseNumber(string(special))
		if !ok {
			return nil, errors.New("securecookie/werkzeug: a json.Number that is none")
		}
		return appendJSON(b, reflect.ValueOf(n), depth)
	}
	switch {
	case v.Kind() == reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), nil
	case v.Kind() == reflect.String:
		return appendString(b, v.String())
	case v.CanInt():
		return strconv.AppendInt(b, v.Int(), 10), nil
	case v.CanUint() && v.Kind() != reflect.Uintptr:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case v.CanFloat():
		return appendFloat(b, v.Float())
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return appendMap(b, v, depth)
	case (v.Kind() == reflect.Slice || v.Kind() == reflect.Array) && v.Type().Elem().Kind() != reflect.Uint8:
		return appendList(b, v, depth)
	}
	return nil, fmt.Errorf("securecookie/werkzeug: cannot write a value of type %v", v.Type())
}

func appendList(b []byte, v reflect.Value, depth int) ([]byte, error) {
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendJSON(b, v.Index(i), depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendMap(b []byte, v reflect.Value, depth int) ([]byte, error) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return cmp.Compare(x.String(), y.String()) })
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendString(b, key.String()); err != nil {
			return nil, err
		}
		if b, err = appendJSON(append(b, ':'), v.MapIndex(key), depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendString writes ASCII only, as Python's ensure_ascii does; DEL is
// escaped, "/" and the characters of HTML are not.
func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errNotUTF8
	}
	b = append(b, '"')
	for _, r := range s {
		if i := strings.IndexRune("\"\\\n\r\t\b\f", r); i >= 0 {
			b = append(b, '\\', `"\nrtbf`[i])
		} else if ' ' <= r && r <= '~' {
			b = append(b, byte(r))
		} else if hi, lo := utf16.EncodeRune(r); r > 0xffff {
			b = fmt.Appendf(b, `\u%04x\u%04x`, hi, lo)
		} else {
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"'), nil
}

// appendFloat writes f as Python's repr: the shortest digits that come back
// as f, with an exponent below 1e-4 and from 1e16, and a point otherwise.
func appendFloat(b []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errors.New("securecookie/werkzeug: a float that JSON does not have")
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(b, f, 'e', -1, 64), nil
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	if !bytes.Contains(b[start:], []byte(".")) {
		b = append(b, ".0"...)
	}
	return b, nil
}

func appendBigInt(b []byte, n *big.Int) ([]byte, error) {
	if n == nil {
		return nil, errors.New("securecookie/werkzeug: cannot write a nil *big.Int")
	}
	// The length in bits first, so that a giant is not converted.
	if n.BitLen() > maxDigits*4 || len(new(big.Int).Abs(n).String()) > maxDigits {
		return nil, fmt.Errorf("securecookie/werkzeug: an integer of more than %d digits", maxDigits)
	}
	return n.Append(b, 10), nil
}

// decodeJSON reads one JSON value, with integers and floats kept apart.
func decodeJSON(text []byte) (any, bool) {
	// Package json would replace bytes that it cannot decode by U+FFFD, and a
	// changed value is worse than an error.
	if !utf8.Valid(text) || hasLoneSurrogate(text) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	return convert(v, 0)
}

// convert replaces the json.Numbers in v, in place where it can.
func convert(v any, depth int) (any, bool) {
	if depth > maxDepth {
		return nil, false
	}
	ok := true
	switch v := v.(type) {
	case json.Number:
		return parseNumber(string(v))
	case []any:
		for i := range v {
			if v[i], ok = convert(v[i], depth+1); !ok {
				return nil, false
			}
		}
	case map[string]any:
		for key := range v {
			if v[key], ok = convert(v[key], depth+1); !ok {
				return nil, false
			}
		}
	}
	return v, true
}

// parseNumber reads a JSON number as Python does: without a point and an
// exponent it is an integer of any size.
func parseNumber(text string) (any, bool) {
	if !json.Valid([]byte(text)) || strings.Trim(text, "+-.0123456789eE") != "" {
		return nil, false
	}
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	if len(strings.TrimPrefix(text, "-")) > maxDigits {
		return nil, false
	}
	n, ok := new(big.Int).SetString(text, 10)
	return n, ok
}

// hasLoneSurrogate reports whether text escapes half a surrogate pair:
// Python's strings can hold one, Go's cannot.
func hasLoneSurrogate(text []byte) bool {
	unit := func(i int) rune {
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if r := unit(i); !utf16.IsSurrogate(r) {
			i++ // the escaped character, which may be a backslash
		} else if next := unit(i + 6); utf16.DecodeRune(r, next) == utf8.RuneError {
			return true
		} else {
			i += 11
		}
	}
	return false
}
