package sessiontest_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/sessiontest"
)

// greet is the handler under test.
func greet(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	fmt.Fprintf(w, "Hello, %s.", s.Owner())
	s.Set("greeted", true)
}

// A handler by itself, with a session that the test has made.
func ExampleNewRequest() {
	r, s := sessiontest.NewRequest("GET", "/", nil)
	s.Login("ann")
	w := httptest.NewRecorder()
	greet(w, r)
	fmt.Println(w.Body, s.Get("greeted"))
	// Output: Hello, ann. true
}

// A whole application, with a client that keeps its cookies.
func ExampleNewClient() {
	cookies, err := sessions.NewCookies(sessiontest.NewStore(), sessions.CookieOptions{})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Login("ann")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /", greet)

	client := sessiontest.NewClient(mw.Wrap(mux))
	res, err := client.Post("https://example.com/login", "", nil)
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	fmt.Println(string(body), err)
	// Output: Hello, ann. <nil>
}
