package sessions_test

import (
	"reflect"
	"testing"

	"github.com/sessfs/sessions"
)

// A literal without names would break with the next option.
func TestOptionsAreWrittenWithNames(t *testing.T) {
	for _, o := range []any{sessions.BaseOptions{}, sessions.CookieOptions{}, sessions.FilesystemOptions{}, sessions.MiddlewareOptions{}} {
		if typ := reflect.TypeOf(o); typ.Field(0).Name != "_" {
			t.Errorf("%v can be written without names", typ)
		}
	}
}
