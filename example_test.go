package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"time"

	"github.com/sessfs/sessions"
)

// openStore keeps sessions in a directory that goes away with the example.
func openStore() (store *sessions.FilesystemSessionStore, remove func()) {
	dir, err := os.MkdirTemp("", "sessions-example")
	if err != nil {
		log.Fatal(err)
	}
	store, err = sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir})
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		store.Close()
		os.RemoveAll(dir)
	}
}

// A store can be used directly: this is all there is to it.
func Example() {
	store, remove := openStore()
	defer remove()
	ctx := context.Background()

	s := store.New()
	s.Set("cart", []string{"apple", "pear"})
	if err := store.Save(ctx, s); err != nil {
		log.Fatal(err)
	}

	// In the next request, by the ID from its cookie:
	s, err := store.Get(ctx, s.ID())
	if err != nil {
		log.Fatal(err) // the disk failed; an unknown ID is no error
	}
	fmt.Println(s.New(), s.Get("cart"))
	// Output: false [apple pear]
}

// Login, logout, and everything between, in handlers wrapped in the middleware.
func ExampleMiddleware() {
	store, remove := openStore()
	defer remove()
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{})
	if err != nil {
		log.Fatal(err)
	}

	const userID sessions.Key[int64] = "user_id"
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Renew() // a new ID: a holder of the old one is not logged in with the user
		userID.Set(s, 42)
		s.AddFlash("Welcome.")
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		id, ok := userID.Lookup(s)
		fmt.Println(r.URL.Path, id, ok, s.Flashes())
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Destroy()
	})
	handler := mw.Wrap(mux)

	var cookie *http.Cookie
	visit := func(method, path string) {
		r := httptest.NewRequest(method, path, nil)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if cookies := w.Result().Cookies(); len(cookies) > 0 {
			cookie = cookies[0]
		}
	}
	visit("GET", "/before")
	visit("POST", "/login")
	visit("GET", "/first")
	visit("GET", "/second")
	visit("POST", "/logout")
	visit("GET", "/after")
	// Output:
	// /before 0 false []
	// /first 42 true [Welcome.]
	// /second 42 true []
	// /after 0 false []
}

// Without the middleware, a carrier's two methods do its work.
func ExampleCookies() {
	store, remove := openStore()
	defer remove()
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{Cookie: http.Cookie{MaxAge: 14 * 24 * 3600}})
	if err != nil {
		log.Fatal(err)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		s, err := cookies.Load(r)
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		s.Set("foo", 42)
		if err := cookies.Commit(w, r, s); err != nil { // before the first byte
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "saved")
	}
	w := httptest.NewRecorder()
	handler(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Result().Cookies()[0].Name, w.Header().Get("Cache-Control"))
	// Output: __Host-session no-store
}

// A counter that many requests increment at once needs more than Get and Save:
// between the two, another request may count.
func ExampleUpdater() {
	store, remove := openStore()
	defer remove()
	ctx := context.Background()
	const count sessions.Key[int] = "count"
	s := store.New()
	if err := store.Save(ctx, s); err != nil {
		log.Fatal(err)
	}
	id := s.ID()

	var requests sync.WaitGroup
	for range 10 {
		requests.Go(func() {
			s, err := store.Get(ctx, id)
			if err == nil {
				err = store.Update(ctx, s, func(s *sessions.Session) error {
					count.Set(s, count.Get(s)+1)
					return nil
				})
			}
			if err != nil {
				log.Fatal(err)
			}
		})
	}
	requests.Wait()
	s, _ = store.Get(ctx, id)
	fmt.Println(count.Get(s))
	// Output: 10
}

// A user's list of their own sessions, which one click ends.
func ExampleOwnerStore() {
	store, remove := openStore()
	defer remove()
	ctx := context.Background()
	var here *sessions.Session
	for _, device := range []string{"phone", "laptop"} {
		here = store.New()
		here.SetOwner("ann")
		here.Set("device", device)
		if err := store.Save(ctx, here); err != nil {
			log.Fatal(err)
		}
	}
	n, err := store.DeleteOwner(ctx, "ann", here.ID())
	fmt.Println("ended elsewhere:", n, err)
	for s, err := range store.ListOwner(ctx, "ann") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("left:", s.Get("device"))
	}
	// Output:
	// ended elsewhere: 1 <nil>
	// left: laptop
}

// A value that was changed in place is saved only when that is said.
func ExampleSession_MarkModified() {
	store, remove := openStore()
	defer remove()
	ctx := context.Background()
	s := store.New()
	s.Set("prefs", map[string]any{"theme": "light"})
	if err := store.Save(ctx, s); err != nil {
		log.Fatal(err)
	}

	s, _ = store.Get(ctx, s.ID())
	s.Get("prefs").(map[string]any)["theme"] = "dark"
	fmt.Println("should be saved:", s.ShouldSave()) // nothing would be saved: incorrect
	s.MarkModified()
	fmt.Println("should be saved:", s.ShouldSave())
	// Output:
	// should be saved: false
	// should be saved: true
}

// An error of a save can be told apart.
func ExampleSessionStore_errors() {
	store, remove := openStore()
	defer remove()
	ctx := context.Background()
	s := store.New()
	s.Set("callback", func() {})
	var bad *sessions.ValueError
	if err := store.Save(ctx, s); errors.As(err, &bad) {
		fmt.Println(bad.Key, "-", err)
	}
	// Output: callback - sessions: a value of type func() cannot be encoded: json has no form for a func()
}

// "Remember me" is a timeout of the session's own.
func ExampleSession_SetIdleTimeout() {
	store, remove := openStore()
	defer remove()
	s := store.New()
	s.Set("user", "ann")
	s.SetIdleTimeout(30 * 24 * time.Hour)
	fmt.Println(store.Save(context.Background(), s), s.IdleTimeout())
	// Output: <nil> 720h0m0s
}
