package sessions_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/sessiontest"
)

// A login, once the password was right. The session gets a new ID and keeps the
// values of the visit before, unless they are another user's.
func ExampleSession_Login() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Login("user-42")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
	r, s := sessiontest.NewRequest("POST", "/login", nil)
	s.Set("cart", "apples")
	handler(httptest.NewRecorder(), r)
	fmt.Println(s.Owner(), s.Get("cart"))
	// Output: user-42 apples
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

// A logout. The farewell goes into a session of its own.
func ExampleSession_Destroy() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		s.Destroy()
		s.AddFlash("You are logged out.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
	r, s := sessiontest.NewRequest("POST", "/logout", nil)
	s.Login("user-42")
	handler(httptest.NewRecorder(), r)
	fmt.Printf("%q %v\n", s.Owner(), s.Flashes())
	// Output: "" [You are logged out.]
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

// A change of the password asks for the old one again when the login is long ago.
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

// Keys are constants: a value has one name and one type in all handlers.
func ExampleKey() {
	type item struct {
		Name string
		N    int
	}
	const cart sessions.Key[[]item] = "cart"

	s := sessiontest.NewStore().New()
	cart.Set(s, append(cart.Get(s), item{"apple", 3}))
	fmt.Println(cart.Get(s))
	// Output: [{apple 3}]
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

// Messages of a type of one's own, for a page that shows each kind its way.
func ExampleFlashesAs() {
	type notice struct{ Level, Text string }
	s := sessiontest.NewStore().New()
	s.AddFlash(notice{"warning", "One is left."})
	for _, n := range sessions.FlashesAs[notice](s) {
		fmt.Printf("%s: %s\n", n.Level, n.Text)
	}
	// Output: warning: One is left.
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
