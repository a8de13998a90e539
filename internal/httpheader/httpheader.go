// Package httpheader sets the headers of a response that has a session: the
// same for sessions in files and for sessions in cookies.
package httpheader

import (
	"net/http"
	"slices"
	"strings"
)

const (
	setCookie    = "Set-Cookie"
	cacheControl = "Cache-Control"
	vary         = "Vary"
)

// SetCookie sets a cookie in a response's header, replaces one of the same name,
// and forbids caches to keep the response.
func SetCookie(h http.Header, c http.Cookie) {
	RemoveCookie(h, c.Name)
	h[setCookie] = append(h[setCookie], c.String())
	NoStore(h)
}

// RemoveCookie takes a cookie out of a response's header.
func RemoveCookie(h http.Header, name string) {
	if len(h[setCookie]) == 0 {
		return
	}
	var others []string
	for _, line := range h[setCookie] {
		if !strings.HasPrefix(line, name+"=") {
			others = append(others, line)
		}
	}
	if h[setCookie] = others; len(others) == 0 {
		delete(h, setCookie)
	}
}

// NoStore adds to the handler's Cache-Control, and takes nothing away. See ASVS
// 5.0 14.3.2.
func NoStore(h http.Header) {
	if !HasToken(h[cacheControl], "no-store") {
		h[cacheControl] = append(h[cacheControl], "no-store")
	}
}

// Personal marks a response as one for this user. It sets Vary: Cookie (RFC 9110
// 12.5.5), without which a shared cache serves one user's page to another. For
// caches that ignore Vary it sets Cache-Control: private, unless the handler has set
// a Cache-Control of its own.
func Personal(h http.Header) {
	if len(h[vary]) == 0 && len(h[cacheControl]) == 0 { // nearly always: one allocation for both
		both := []string{"Cookie", "private"}
		h[vary], h[cacheControl] = both[:1:1], both[1:]
		return
	}
	if !HasToken(h[vary], "cookie") && !HasToken(h[vary], "*") {
		h[vary] = append(h[vary], "Cookie")
	}
	if len(h[cacheControl]) == 0 {
		h[cacheControl] = []string{"private"}
	}
}

// Restore sets h to the headers in before, and to those of the cookies in keep that
// h sets.
func Restore(h, before http.Header, keep []string) {
	kept := slices.DeleteFunc(slices.Clone(h[setCookie]), func(line string) bool { return !slices.Contains(keep, line) })
	clear(h)
	for key, values := range before {
		h[key] = values
	}
	if len(kept) > 0 {
		h[setCookie] = append(slices.Clip(h[setCookie]), kept...)
		NoStore(h)
	}
}

// HasToken reports whether a comma-separated header has a member, in any case.
func HasToken(lines []string, token string) bool {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(member), token) {
				return true
			}
		}
	}
	return false
}
