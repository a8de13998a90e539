package securecookie_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sessfs/sessions/securecookie"
)

// Keys from the environment, written there by the keygen command.
func ExampleParseKeys() {
	env := securecookie.GenerateKey().Reveal() + " " + securecookie.GenerateKey().Reveal()
	keys, err := securecookie.ParseKeys(env)
	if err != nil {
		fmt.Println(err)
		return
	}
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: keys, Audience: "shop.example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(keys), "keys, the first seals:", strings.Contains(ring.String(), keys[0].ID()))
	// Output: 2 keys, the first seals: true
}

func ExampleKeyRing_SealCookie() {
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{
		Keys:     []securecookie.Key{securecookie.GenerateKey()},
		Audience: "shop.example.com",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	const name = "__Host-cart"
	w := httptest.NewRecorder()
	value, err := ring.SealCookie(name, []byte(`["apples"]`), securecookie.Times{
		Idle:     time.Now().Add(time.Hour),
		Absolute: time.Now().Add(30 * 24 * time.Hour),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})

	// The next request brings the cookie back.
	cookie := w.Result().Cookies()[0]
	data, _, err := ring.OpenCookie(name, cookie.Value)
	fmt.Println(string(data), err)

	// Under another name, or changed, it is invalid.
	_, _, err = ring.OpenCookie("__Host-user", cookie.Value)
	fmt.Println(err)
	// Output:
	// ["apples"] <nil>
	// securecookie: invalid value
}

// A new key comes first; the old one stays until its last cookie has expired.
func ExampleNewKeyRing_rotation() {
	old, current := securecookie.GenerateKey(), securecookie.GenerateKey()
	before, _ := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: []securecookie.Key{old}})
	during, _ := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: []securecookie.Key{current, old}})
	after, _ := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: []securecookie.Key{current}})

	value, _ := before.SealCookie("session", []byte("data"), securecookie.Times{})
	_, _, err := during.OpenCookie("session", value)
	fmt.Println(err)
	_, _, err = after.OpenCookie("session", value)
	fmt.Println(err)
	// Output:
	// <nil>
	// securecookie: invalid value
}
