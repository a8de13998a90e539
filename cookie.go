package sessions

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// CookieOptions says what the session cookie is like. The zero value is a
// cookie named __Host-session with Secure, HttpOnly, SameSite=Lax and Path=/
// that the browser forgets when it is closed (ASVS 5.0 3.3.1 to 3.3.4).
type CookieOptions struct {
	// Cookie is the template of the cookie: Name, Path, Domain, MaxAge,
	// SameSite and Partitioned count.
	//
	// Name is "__Host-session" by default, which browsers take from no other
	// host and over no plain HTTP (RFC 6265bis 4.1.3.2), and "session" where
	// the other options do not allow that. MaxAge, in seconds, is how long
	// the browser keeps the cookie; zero means until it is closed, and at
	// most 400 days are allowed. A session's own timeout (see
	// [Session.SetMaxAge]) takes its place.
	Cookie http.Cookie

	// InsecureAllowHTTP leaves out Secure, so that the cookie travels over
	// plain HTTP, where anybody on the way can read it.
	InsecureAllowHTTP bool

	// InsecureAllowScript leaves out HttpOnly, so that every script on the
	// page can read the cookie.
	InsecureAllowScript bool

	// RenewOnAccess makes a request that only reads its session begin the idle
	// time anew, and with it the age of a cookie that has one, but not more
	// often than this. Zero means that only saving does. The store must be a
	// [Toucher].
	RenewOnAccess time.Duration
}

const (
	maxCookieName  = 256
	maxCookieAttr  = 1024            // bytes; RFC 6265bis 5.7
	maxCookieAge   = 400 * 24 * 3600 // seconds; RFC 6265bis 5.5
	hostPrefix     = "__Host-"       // RFC 6265bis 4.1.3.2
	securePrefix   = "__Secure-"     // RFC 6265bis 4.1.3.1
	hostCookieName = hostPrefix + "session"
	cookieName     = "session"
)

// Template returns the cookie with the defaults filled in. The error lists all
// that is wrong.
func (o CookieOptions) Template() (http.Cookie, error) {
	c := o.Cookie
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.InsecureAllowHTTP && c.Secure {
		refuse("the cookie is Secure, and InsecureAllowHTTP says that it is not")
	}
	c.Secure = c.Secure || !o.InsecureAllowHTTP
	c.HttpOnly = !o.InsecureAllowScript
	if o.InsecureAllowScript && o.Cookie.HttpOnly {
		refuse("the cookie is HttpOnly, and InsecureAllowScript says that it is not")
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if c.SameSite == 0 || c.SameSite == http.SameSiteDefaultMode {
		c.SameSite = http.SameSiteLaxMode
	}
	if c.Name == "" {
		c.Name = cookieName
		if c.Secure && c.Path == "/" && c.Domain == "" {
			c.Name = hostCookieName
		}
	}
	if o.RenewOnAccess < 0 {
		refuse("RenewOnAccess is negative")
	}
	errs = append(errs, checkCookie(c)...)
	return c, errors.Join(errs...)
}

// checkCookie finds what a browser would refuse, or silently do otherwise.
func checkCookie(c http.Cookie) (errs []error) {
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Value != "" || !c.Expires.IsZero() || c.RawExpires != "" || c.Raw != "" || c.Unparsed != nil || c.Quoted {
		refuse("the cookie has a Value, an Expires or what only a parser sets; its age is MaxAge")
	}
	c.Expires, c.Value = time.Time{}, ""
	if err := c.Valid(); err != nil || c.Path[0] != '/' {
		refuse("the cookie's Name, Path or Domain has characters that are not allowed, or Path does not begin with a slash")
	}
	if len(c.Name) > maxCookieName {
		refuse("the cookie's Name is longer than %d characters", maxCookieName)
	}
	if len(c.Path) > maxCookieAttr || len(c.Domain) > maxCookieAttr {
		refuse("the cookie's Path or Domain is longer than %d bytes", maxCookieAttr)
	}
	if c.MaxAge < 0 {
		refuse("the cookie's MaxAge is negative")
	}
	if c.MaxAge > maxCookieAge {
		refuse("the cookie's MaxAge is more than 400 days, %d seconds", maxCookieAge)
	}
	if c.SameSite < http.SameSiteDefaultMode || c.SameSite > http.SameSiteNoneMode {
		refuse("the cookie's SameSite is none of Lax, Strict and None")
	}
	if c.SameSite == http.SameSiteNoneMode && !c.Secure {
		refuse("the cookie has SameSite=None, which needs Secure")
	}
	if c.Partitioned && !c.Secure {
		refuse("the cookie is Partitioned, which needs Secure")
	}
	if hasPrefixFold(c.Name, hostPrefix) && (!c.Secure || c.Path != "/" || c.Domain != "") {
		refuse("a cookie named %s… needs Secure, Path=/ and no Domain", hostPrefix)
	}
	if hasPrefixFold(c.Name, securePrefix) && !c.Secure {
		refuse("a cookie named %s… needs Secure", securePrefix)
	}
	return errs
}

// hasPrefixFold compares as browsers do with the names' prefixes.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
