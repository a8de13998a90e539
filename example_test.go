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

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/sessiontest"
)

// openStore keeps sessions in a directory that goes away with the example.
func openStore() (store *sessions.FilesystemSessionStore, remove func()) {
	dir, removeDir := tempDir()
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir})
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		store.Close()
		removeDir()
	}
}

// tempDir makes a directory that goes away with the example.
func tempDir() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "sessions-example")
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(dir) }
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

// A handler that answers a failure of its save itself, in place of the ErrorHandler.
func ExampleSave() {
	const draft sessions.Key[string] = "draft"
	store, remove := openStore()
	defer remove()
	client := newClient(store, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		draft.Set(s, r.FormValue("text"))
		err := sessions.Save(r.Context())
		switch {
		case errors.Is(err, sessions.ErrTooLarge):
			s.Discard() // or the middleware would try again, and answer
			http.Error(w, "Too long for a draft.", http.StatusRequestEntityTooLarge)
		case err != nil:
			s.Discard()
			http.Error(w, "Try again in a moment.", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "Your draft is saved.")
		}
	}))
	fmt.Print(do(client, "POST /?text=short"))
	fmt.Print(do(client, "POST /?text="+strings.Repeat("long", 1<<19)))
	// Output:
	// Your draft is saved.
	// Too long for a draft.
}

// Server-sent events: the changes of a stream are saved at once, and Reload tells when
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
