package securecookie_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

func exampleCarrier(o securecookie.CarrierOptions) *securecookie.Carrier {
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{
		Keys:     []securecookie.Key{securecookie.GenerateKey()}, // in earnest from ParseKeys
		Audience: "shop.example.com",
	})
	if err != nil {
		log.Fatal(err)
	}
	carrier, err := securecookie.NewCarrier(ring, o)
	if err != nil {
		log.Fatal(err)
	}
	return carrier
}

// Behind the middleware, a handler cannot tell where its session is kept.
func ExampleNewCarrier() {
	carrier := exampleCarrier(securecookie.CarrierOptions{IdleTimeout: time.Hour})
	mw, err := sessions.NewMiddleware(carrier, sessions.MiddlewareOptions{})
	if err != nil {
		log.Fatal(err)
	}
	const visits sessions.Key[int] = "visits"
	handler := mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		visits.Set(s, visits.Get(s)+1)
		fmt.Fprintln(w, "visits:", visits.Get(s))
	}))

	var cookie *http.Cookie
	for range 2 {
		r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
		if cookie != nil {
			r.AddCookie(cookie)
		}
		handler.ServeHTTP(w, r)
		cookie = w.Result().Cookies()[0]
		fmt.Print(w.Body)
	}
	// Output:
	// visits: 1
	// visits: 2
}

// Without the middleware: load from the request, save to the response if it
// should be saved.
func ExampleCarrier() {
	carrier := exampleCarrier(securecookie.CarrierOptions{})
	handler := func(w http.ResponseWriter, r *http.Request) {
		s, err := carrier.Load(r)
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		s.SetDefault("first", "today")
		if err := carrier.Commit(w, r, s); err != nil { // before the first byte
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "since", s.Get("first"))
	}
	w := httptest.NewRecorder()
	handler(w, httptest.NewRequest("GET", "/", nil))
	fmt.Print(w.Result().Cookies()[0].Name, " ", w.Body)
	// Output: __Host-session since today
}

// A map, for elsewhere than a cookie: a link in a mail, say.
func ExampleCarrier_Serialize() {
	carrier := exampleCarrier(securecookie.CarrierOptions{})
	s := carrier.New()
	s.SetAll(maps.All(map[string]any{"user": "ann", "may": []string{"reset"}}))
	value, err := carrier.Serialize(s, time.Now().Add(time.Hour))
	if err != nil {
		log.Fatal(err)
	}

	for _, v := range []string{value, value + "A"} {
		s, err := carrier.Unserialize(context.Background(), v)
		fmt.Println(maps.Collect(s.All()), err)
	}
	// Output:
	// map[may:[reset] user:ann] <nil>
	// map[] <nil>
}
