package sqlstore_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/examples/sqlstore"
	"github.com/sessfs/sessions/sessiontest"
)

// The middleware over a database, tried without a server.
func Example() {
	dir, err := os.MkdirTemp("", "sqlstore")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := sqlstore.Open(filepath.Join(dir, "sessions.db"), time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{})
	if err != nil {
		log.Fatal(err)
	}
	const visits sessions.Key[int] = "visits"
	client := sessiontest.NewClient(mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := sessions.Update(r.Context(), func(s *sessions.Session) error {
			visits.Set(s, visits.Get(s)+1)
			return nil
		})
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "visits: ", visits.Get(sessions.FromContext(r.Context())))
	})))
	for range 2 {
		res, err := client.Get("https://example.com/")
		if err != nil {
			log.Fatal(err)
		}
		page, err := io.ReadAll(res.Body)
		fmt.Println(string(page), err)
	}
	// Output:
	// visits: 1 <nil>
	// visits: 2 <nil>
}
