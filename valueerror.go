package sessions

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

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
