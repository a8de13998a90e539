package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/sessiontest"
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

// newClient returns a client of the handler, which gets its sessions from the store.
func newClient(store sessions.SessionStore, handler http.Handler) *http.Client {
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return sessiontest.NewClient(mw.Wrap(handler))
}

// do sends a request, "GET /cart" for example, and returns the response's body.
func do(client *http.Client, request string) string {
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequest(method, "https://example.com"+path, nil)
	if err != nil {
		log.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	return string(body)
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
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Login("user-42") // when the password was right: a new ID, and the session is that user's
		s.AddFlash("Welcome.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		fmt.Fprintf(w, "%q %v", s.Owner(), s.Flashes())
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Destroy()
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})

	client := newClient(store, mux)
	for _, visit := range []string{"GET /", "POST /login", "GET /", "POST /logout"} {
		fmt.Println(visit, do(client, visit))
	}
	// Output:
	// GET / "" []
	// POST /login "user-42" [Welcome.]
	// GET / "user-42" []
	// POST /logout "" []
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
		here.Login("ann")
		here.SetMeta(device)
		if err := store.Save(ctx, here); err != nil {
			log.Fatal(err)
		}
	}
	for info, err := range store.ListOwner(ctx, "ann") {
		if err != nil {
			log.Fatal(err)
		}
		if info.PublicID != here.PublicID() {
			ended, err := store.DeleteOne(ctx, "ann", info.PublicID)
			fmt.Println("ended the", info.Meta, ended, err)
		}
	}
	n, err := store.DeleteOwner(ctx, "ann", here.PublicID())
	fmt.Println("others left:", n, err)
	// Output:
	// ended the phone true <nil>
	// others left: 0 <nil>
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

// "Remember me": the user is logged in for 30 days, in this browser also after it
// was closed. Without it the session ends after the store's timeouts, and the
// browser forgets the cookie when it is closed.
func ExampleSession_Login_rememberMe() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Login("user-42")
		if r.FormValue("remember") != "" {
			s.SetIdleTimeout(30 * 24 * time.Hour)
			s.SetLifetime(30 * 24 * time.Hour)
		}
	})
	client := newClient(sessiontest.NewStore(), handler)
	res, err := client.Post("https://example.com/login?remember=yes", "", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Cookies()[0].MaxAge)
	// Output: 2592000
}

// Timeouts of one session: that of an administrator ends after 15 minutes without a
// request, and after 12 hours in any case.
func ExampleSession_SetLifetime() {
	s := sessiontest.NewStore().New()
	s.Login("admin-1")
	s.SetIdleTimeout(15 * time.Minute)
	s.SetLifetime(12 * time.Hour)
	fmt.Println(s.IdleTimeout(), s.Lifetime())
	// Output: 15m0s 12h0m0s
}

// What matters asks for the password again when the login is long ago.
func ExampleSession_AuthenticatedAt() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if time.Since(sessions.FromContext(r.Context()).AuthenticatedAt()) > 10*time.Minute {
			http.Redirect(w, r, "/login?again", http.StatusSeeOther)
			return
		}
		fmt.Fprint(w, "changed")
	}
	r, s := sessiontest.NewRequest("POST", "/password", nil)
	for range 2 {
		w := httptest.NewRecorder()
		handler(w, r)
		fmt.Println(w.Code)
		s.Login("user-42")
	}
	// Output:
	// 303
	// 200
}

// A message for the next page.
func ExampleSession_AddFlash() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cart", func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).AddFlash("It is in your cart.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, sessions.FromContext(r.Context()).Flashes())
	})
	client := newClient(sessiontest.NewStore(), mux)
	fmt.Println(do(client, "POST /cart")) // the client follows the redirect
	fmt.Println(do(client, "GET /"))
	// Output:
	// [It is in your cart.]
	// []
}

// A counter that misses no request, however many come at once.
func ExampleUpdate() {
	const visits sessions.Key[int] = "visits"
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := sessions.Update(r.Context(), func(s *sessions.Session) error {
			visits.Set(s, visits.Get(s)+1)
			return nil
		})
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, visits.Get(sessions.FromContext(r.Context())))
	})
	client := newClient(sessiontest.NewStore(), handler)
	fmt.Println(do(client, "GET /"), do(client, "GET /"))
	// Output: 1 2
}

// Server-sent events: what the stream changes is saved at once, and Reload tells when
// the session has ended.
func ExampleReload() {
	const seen sessions.Key[int] = "seen"
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Login("user-42")
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context()) // before the first byte
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range 3 { // in earnest from a channel
			if err := sessions.Reload(r.Context()); err != nil {
				return // logged out, or the store failed
			}
			fmt.Fprintf(w, "data: %d for %s\n\n", event, s.Owner())
			http.NewResponseController(w).Flush()
			seen.Set(s, event)
			if err := sessions.Save(r.Context()); err != nil {
				return
			}
		}
	})
	client := newClient(sessiontest.NewStore(), mux)
	do(client, "POST /login")
	fmt.Print(do(client, "GET /events"))
	// Output:
	// data: 0 for user-42
	//
	// data: 1 for user-42
	//
	// data: 2 for user-42
}

// An ErrorHandler with a page of the application's own.
func ExampleMiddlewareOptions_errorHandler() {
	store := sessiontest.NewStore()
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, sessions.ErrTooLarge) {
				http.Error(w, "That is too much to remember.", http.StatusRequestEntityTooLarge)
				return
			}
			w.Header().Set("Retry-After", "10")
			http.Error(w, "Try again in a moment.", http.StatusServiceUnavailable)
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	client := sessiontest.NewClient(mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Set("a", 1)
		fmt.Fprint(w, "done")
	})))
	store.Close() // the disk fails
	fmt.Print(do(client, "GET /"))
	// Output: Try again in a moment.
}
