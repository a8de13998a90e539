// Package httpheader sets the headers of a response that has a session: the
// same for sessions in files and for sessions in cookies.
package httpheader

import (
	"net/http"
	"strings"
)

// SetCookie puts a cookie into a response's header, in place of one of the
// same name that was there, and says that no cache may keep the response.
func SetCookie(h http.Header, c http.Cookie) {
	const key = "Set-Cookie"
	var lines []string
	for _, line := range h[key] {
		if !strings.HasPrefix(line, c.Name+"=") {
			lines = append(lines, line)
		}
	}
	h[key] = append(lines, c.String())
	noStore(h)
}

// noStore adds to what the handler said of caching, and takes nothing away.
// See ASVS 5.0 14.3.2.
func noStore(h http.Header) {
	const key = "Cache-Control"
	if !HasToken(h[key], "no-store") {
		h[key] = append(h[key], "no-store")
	}
}

// VaryCookie says that the response depends on the request's cookies (RFC 9110
// 12.5.5), without which a shared cache serves one user's page to another.
func VaryCookie(h http.Header) {
	const key = "Vary"
	if !HasToken(h[key], "cookie") && !HasToken(h[key], "*") {
		h[key] = append(h[key], "Cookie")
	}
}

// HasToken looks for a member of a comma-separated header, whatever its case.
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
