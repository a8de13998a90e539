package sessions

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"
)

// Gob returns a codec for values of Go types, which an untyped Get returns
// as they were. The types of examples, a User{} say, are registered with
// [gob.Register]; the basic types, slices of them, [time.Time], []any and
// map[string]any need not be.
func Gob(examples ...any) Codec {
	registerCommon()
	for _, v := range examples {
		gob.Register(v)
	}
	return gobCodec{}
}

var registerCommon = sync.OnceFunc(func() {
	gob.Register(time.Time{})
	gob.Register([]any(nil))
	gob.Register(map[string]any(nil))
})

type gobCodec struct{}

func (gobCodec) Name() string { return "gob" }

func (gobCodec) Marshal(v any) ([]byte, error) {
	if v == nil {
		return nil, nil // gob has no nil; no bytes at all are one
	}
	if err := checkDepth(reflect.ValueOf(v), maxGobDepth); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (gobCodec) Unmarshal(data []byte, v any) error {
	var decoded any
	if len(data) > 0 {
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&decoded); err != nil {
			return err
		}
	}
	target := reflect.ValueOf(v).Elem()
	value := reflect.ValueOf(decoded)
	switch {
	case !value.IsValid():
		target.SetZero()
	case value.Type().AssignableTo(target.Type()):
		target.Set(value)
	default:
		return fmt.Errorf("a %v is stored, not a %v", value.Type(), target.Type())
	}
	return nil
}

// maxGobDepth is far beyond the values of a session and far below the limit of the
// stack.
const maxGobDepth = 1000

// checkDepth refuses values that gob would follow until the stack overflows, which no
// program survives: gob does not look for cycles.
func checkDepth(v reflect.Value, depth int) error {
	if depth == 0 {
		return errTooDeep
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return checkDepth(v.Elem(), depth-1)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if err := errors.Join(checkDepth(it.Key(), depth-1), checkDepth(it.Value(), depth-1)); err != nil {
				return errTooDeep
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := checkDepth(v.Index(i), depth-1); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if err := checkDepth(v.Field(i), depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}
