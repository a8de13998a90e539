package werkzeug_test

import (
	"crypto"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sessfs/sessions/securecookie"
	"github.com/sessfs/sessions/securecookie/werkzeug"
)

// Moving from werkzeug: requests come with the cookie that Python wrote, and
// leave with one that is encrypted, bound to its name, and expires. When the
// longest-lived of the old cookies has expired, the codec goes.
func Example() {
	old, err := werkzeug.New("the SECRET_KEY of the Python application", werkzeug.Options{
		Hash: crypto.SHA256, // its hash_method; without this line SHA-1, Python's default
	})
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{
		Keys:     []securecookie.Key{securecookie.GenerateKey()},
		Audience: "shop.example.com",
	})
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	const oldName, newName = "session", "__Host-session"

	load := func(r *http.Request) map[string]any {
		if cookie, err := r.Cookie(newName); err == nil {
			values := map[string]any{}
			if data, _, err := ring.OpenCookie(newName, cookie.Value); err == nil && json.Unmarshal(data, &values) == nil {
				return values
			}
			return map[string]any{} // never an old cookie beside a bad new one
		}
		values, _ := old.Unserialize(werkzeug.CookieValue(r, oldName)) // empty if it is invalid
		return values
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		values := load(r)
		data, err := json.Marshal(values)
		if err != nil {
			http.Error(w, "session", http.StatusInternalServerError)
			return
		}
		value, err := ring.SealCookie(newName, data, securecookie.Times{Absolute: time.Now().Add(24 * time.Hour)})
		if err != nil {
			http.Error(w, "session", http.StatusInternalServerError)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: newName, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.SetCookie(w, &http.Cookie{Name: oldName, Path: "/", MaxAge: -1})
		fmt.Fprint(w, "user ", values["user_id"])
	}

	// A browser that was logged in by Python:
	value, err := old.Serialize(map[string]any{"user_id": 42}, time.Now().Add(time.Hour))
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: oldName, Value: value})
	w := httptest.NewRecorder()
	handler(w, r)
	fmt.Println(w.Body)

	// Its next request, with the new cookie:
	r = httptest.NewRequest("GET", "/", nil)
	r.AddCookie(w.Result().Cookies()[0])
	w = httptest.NewRecorder()
	handler(w, r)
	fmt.Println(w.Body)
	// Output:
	// user 42
	// user 42
}
