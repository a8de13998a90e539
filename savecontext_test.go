package sessions_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessfs/sessions"
)

// A contextStore passes the context of each save to a function.
type contextStore struct {
	sessions.SessionStore
	save func(context.Context) error
}

func (st contextStore) Save(ctx context.Context, _ *sessions.Session) error { return st.save(ctx) }

// commitWith calls Commit of a changed session with a request of the context.
func commitWith(t *testing.T, ctx context.Context, save func(context.Context) error) error {
	t.Helper()
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "a", 1)
	s.Set("a", 2)
	cookies, err := sessions.NewCookies(contextStore{store, save}, sessions.CookieOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return cookies.Commit(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx), s)
}

// requestKey is the key of a value in a request's context.
type requestKey struct{}

// A save that waits has 30 seconds, whatever becomes of the request.
func TestSaveContextEndsThirtySecondsAfterItIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		request, end := context.WithCancel(context.WithValue(t.Context(), requestKey{}, "value"))
		end()
		err := commitWith(t, request, func(ctx context.Context) error {
			if ctx.Err() != nil || ctx.Value(requestKey{}) != "value" {
				t.Errorf("the context has ended (%v), or has no value (%v)", ctx.Err(), ctx.Value(requestKey{}))
			}
			start, before := time.Now(), runtime.NumGoroutine()
			deadline, ok := ctx.Deadline()
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			if n := runtime.NumGoroutine(); n != before {
				t.Errorf("a derived context started %d goroutines", n-before)
			}
			if ctx.Value(requestKey{}) != "value" {
				t.Error("the value went with the wait")
			}
			<-child.Done()
			if waited := time.Since(start); waited != 30*time.Second || !ok || !deadline.Equal(start.Add(waited)) {
				t.Errorf("waited %v, with deadline %v", waited, deadline.Sub(start))
			}
			return ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Commit = %v, want the end of the wait", err)
		}
	})
}

// A store may keep the context: it ends with the save, waited for or not.
func TestSaveContextEndsWithTheSave(t *testing.T) {
	for name, during := range map[string]func(context.Context){"waited for": func(ctx context.Context) { ctx.Done() }, "not waited for": func(context.Context) {}} {
		t.Run(name, func(t *testing.T) {
			var kept context.Context
			err := commitWith(t, t.Context(), func(ctx context.Context) error {
				during(ctx)
				kept = ctx
				return nil
			})
			if err != nil || !errors.Is(kept.Err(), context.Canceled) {
				t.Errorf("Commit = %v, and the context has ended with %v", err, kept.Err())
			}
			select {
			case <-kept.Done():
			default:
				t.Error("Done is open after the save")
			}
		})
	}
}
