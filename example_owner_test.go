package sessions_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/sessiontest"
)

// A change of the password logs the user out everywhere else. A session notes the
// version of the password at login; Valid compares it with the user's.
func ExampleCookieOptions_valid() {
	const version sessions.Key[int] = "password version"
	current := map[string]int{"ann": 1} // a column of the table of users

	store := sessiontest.NewStore()
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{
		Valid: func(_ context.Context, s *sessions.Session) (bool, error) {
			return s.Owner() == "" || version.Get(s) == current[s.Owner()], nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{})
	if err != nil {
		log.Fatal(err)
	}
	// One query reads the version together with the password's hash. A login that a
	// change overtakes between the two would note the new version.
	login := func(s *sessions.Session, user string, v int) {
		s.Login(user)
		version.Set(s, v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		login(sessions.FromContext(r.Context()), "ann", current["ann"])
	})
	mux.HandleFunc("POST /password", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		current[s.Owner()]++ // with the new password's hash
		login(s, s.Owner(), current[s.Owner()])
		err := sessions.Save(r.Context())
		if err == nil {
			_, err = store.DeleteOwner(r.Context(), s.Owner(), s.PublicID())
		}
		if err != nil {
			// The password is changed all the same, and Valid ends the others.
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q", sessions.FromContext(r.Context()).Owner())
	})

	phone, laptop := sessiontest.NewClient(mw.Wrap(mux)), sessiontest.NewClient(mw.Wrap(mux))
	do(phone, "POST /login")
	do(laptop, "POST /login")
	do(laptop, "POST /password")
	fmt.Println("laptop", do(laptop, "GET /"))
	fmt.Println("phone", do(phone, "GET /"))
	// Output:
	// laptop "ann"
	// phone ""
}

// A page on which users see where they are logged in, and end the other sessions.
// The notebook, in examples, has more of it.
func ExampleOwnerStore_page() {
	store := sessiontest.NewStore()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Login("ann")
		s.SetMeta(r.FormValue("device")) // or r.UserAgent() and r.RemoteAddr
	})
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		for info, err := range store.ListOwner(r.Context(), s.Owner()) {
			if err != nil { // some are missing
				http.Error(w, "try again", http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintf(w, "%s, here %t, logged in %t\n", info.Meta, info.PublicID == s.PublicID(), !info.AuthenticatedAt.IsZero())
		}
	})
	mux.HandleFunc("POST /sessions/end-others", func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		n, err := store.DeleteOwner(r.Context(), s.Owner(), s.PublicID())
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, n, " ended")
	})

	phone, laptop := newClient(store, mux), newClient(store, mux)
	do(phone, "POST /login?device=phone")
	fmt.Print(do(phone, "GET /sessions"))
	do(laptop, "POST /login?device=laptop")
	fmt.Println(do(laptop, "POST /sessions/end-others"))
	fmt.Print(do(laptop, "GET /sessions"))
	fmt.Print(do(phone, "GET /sessions"))
	// Output:
	// phone, here true, logged in true
	// 1 ended
	// laptop, here true, logged in true
}
