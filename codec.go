package sessions

import (
	"errors"
	"fmt"
	"strings"
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
	// hyphens. The name "json" is for a JSONCodec.
	Name() string

	// Marshal encodes a value. It must not keep or change it. A panic, which
	// is usually that of the value's own encoder, becomes a [ValueError].
	// Neither may use the session, which is locked meanwhile.
	Marshal(v any) ([]byte, error)

	// Unmarshal decodes data of Marshal into the variable that v points
	// to, which may be an *any: then it chooses the type. After an error or a
	// panic the value counts as absent. The data may come from an attacker
	// who can write files, so that it must not be able to run code, or to use
	// more memory than a small multiple of its length.
	Unmarshal(data []byte, v any) error
}

// A JSONCodec is a Codec whose encodings are JSON texts. All values of its
// sessions are stored as one JSON object, which people can read, and the keys of
// values must be valid UTF-8.
type JSONCodec interface {
	Codec
	EncodesJSON() // does nothing
}

// checkCodec refuses a codec whose name cannot be kept.
func checkCodec(c Codec) error {
	name := c.Name()
	if len(name) < 1 || len(name) > 16 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("the Codec has the name %q: want 1 to 16 lower-case letters, digits and hyphens", name)
	}
	if _, ok := c.(JSONCodec); name == "json" && !ok {
		return errors.New(`the Codec has the name "json", which is for a JSONCodec`)
	}
	return nil
}

// codecNamed returns the codec that a stored session names: own, which is the
// store's, or one of the ready-made ones, which are always read. It is nil when
// there is none of that name.
func codecNamed(name string, own Codec) Codec {
	switch name {
	case own.Name():
		return own
	case "json":
		return JSON()
	case "gob":
		return Gob()
	}
	return nil
}
