package sessions

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// A Codec encodes single values of a session. Its methods are called by
// several goroutines at once.
//
// A codec of a package with the usual two functions is a few lines:
//
//	type msgpackCodec struct{}
//
//	func (msgpackCodec) Name() string                       { return "msgpack" }
//	func (msgpackCodec) Marshal(v any) ([]byte, error)      { return msgpack.Marshal(v) }
//	func (msgpackCodec) Unmarshal(data []byte, v any) error { return msgpack.Unmarshal(data, v) }
type Codec interface {
	// Name is kept with every session: 1 to 16 lower-case letters, digits and
	// hyphens. A codec named "json" must write JSON.
	Name() string

	// Marshal encodes a value. It must not keep or change it. A panic, which
	// is usually that of the value's own encoder, becomes a [ValueError].
	// Neither may use the session, which is locked meanwhile.
	Marshal(v any) ([]byte, error)

	// Unmarshal decodes what Marshal wrote into the variable that v points
	// to, which may be an *any: then it chooses the type. After an error or a
	// panic the value counts as absent. The data may come from an attacker
	// who can write files, so that it must not be able to run code, or to use
	// more memory than a small multiple of its length.
	Unmarshal(data []byte, v any) error
}

// JSON is the default codec. Into an any it decodes an integer that fits as
// int64, and any other number as float64.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

// maxJSONDepth is where encoding/json stops reading.
const maxJSONDepth = 10_000

// Marshal has short ways for the types that most values have, which spare a
// save the buffer and the encoder.
func (jsonCodec) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return []byte("null"), nil
	case bool:
		return strconv.AppendBool(nil, v), nil
	case int:
		return strconv.AppendInt(nil, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(nil, v, 10), nil
	case string:
		if plain(v) {
			return appendQuoted(make([]byte, 0, len(v)+2), v), nil
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	data := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	// What is nested too deeply to be read again is encoded all the same; it
	// takes a bracket at each end of each level.
	if len(data) >= 2*maxJSONDepth && !json.Valid(data) {
		return nil, errTooDeep
	}
	return data, nil
}

func (jsonCodec) Unmarshal(data []byte, v any) error {
	switch v := v.(type) {
	case *any:
		return unmarshalAny(data, v)
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
	return json.Unmarshal(data, v)
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

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// codecNamed finds the codec that a stored session names: the store's own, or
// one of the ready-made ones, which are always read. Nil when there is none.
func codecNamed(name string, own Codec) Codec {
	switch name {
	case own.Name():
		return own
	case "json":
		return JSON
	case "gob":
		return Gob()
	}
	return nil
}
