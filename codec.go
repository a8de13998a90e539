package sessions

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/sessfs/sessions/internal/fields"
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

var errTooDeep = errors.New("a cycle, or nested too deeply")

// formatOf returns the form in which a codec's values stand in one text.
func formatOf(c Codec) fields.Format {
	_, ok := c.(JSONCodec)
	return fields.Format(ok)
}

var errKeyNotUTF8 = errors.New("its key is not valid UTF-8, which JSON cannot keep")

// errPanicked stands in the chain of an error that was a panic.
var errPanicked = errors.New("a panic")

// recoverError is deferred around code of the application. It turns a panic
// into an error, whose text may show the value.
func recoverError(err *error) {
	switch p := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("%w: %w", errPanicked, p)
	default:
		*err = fmt.Errorf("%w: %v", errPanicked, p)
	}
}

// A ValueError is the error of a save for a value that cannot be encoded, or
// whose encoder panics. Its text has the value's type alone, since keys and
// values are not for logs.
type ValueError struct {
	Key  string       // of the value
	Type reflect.Type // of the value
	Err  error        // the codec's or the panic's, whose text may show the value

	reason string
}

func newValueError(c Codec, key string, value any, err error) *ValueError {
	e := &ValueError{Key: key, Type: reflect.TypeOf(value), Err: err}
	var jsonType *json.UnsupportedTypeError
	var jsonValue *json.UnsupportedValueError
	switch {
	case errors.Is(err, errPanicked):
		e.reason = "its encoder panicked"
	case errors.As(err, &jsonType):
		e.reason = fmt.Sprintf("%s has no form for a %v", c.Name(), jsonType.Type)
	case errors.As(err, &jsonValue) && jsonValue.Value.CanFloat():
		e.reason = "a NaN or an infinite number"
	case errors.As(err, &jsonValue), errors.Is(err, errTooDeep):
		e.reason = errTooDeep.Error()
	case errors.Is(err, errKeyNotUTF8):
		e.reason = err.Error()
	default:
		e.reason = "refused by " + c.Name()
	}
	return e
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("sessions: a value of type %v cannot be encoded: %s", e.Type, e.reason)
}

// Unwrap returns the codec's error.
func (e *ValueError) Unwrap() error { return e.Err }
