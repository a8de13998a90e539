package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sessfs/sessions/internal/sessionfile"
)

// CookieOptions are the properties of the session cookie. The zero value is a
// cookie named __Host-session with Secure, HttpOnly, SameSite=Lax and Path=/
// that the browser forgets when it is closed (ASVS 5.0 3.3.1 to 3.3.4).
type CookieOptions struct {
	_ struct{} // no literal without names

	// Cookie is the template of the cookie: Name, Path, Domain, MaxAge,
	// SameSite and Partitioned count.
	//
	// Name is "__Host-session" by default, which browsers take from no other
	// host and over no plain HTTP (RFC 6265bis 4.1.3.2). Where Path or Domain
	// do not allow that it is "__Secure-session", and with InsecureAllowHTTP
	// "session". MaxAge, in seconds, is how long the browser keeps the cookie;
	// zero means until it is closed, and at most 400 days are allowed. A
	// session's own timeout (see [Session.SetIdleTimeout]) takes its place. A cookie
	// with an age is sent again with every save, so that it does not end
	// before the session; a save after the response has begun cannot do that.
	Cookie http.Cookie

	// InsecureAllowHTTP leaves out Secure, so that the cookie travels over
	// plain HTTP, where anybody on the way can read it.
	InsecureAllowHTTP bool

	// InsecureAllowScript leaves out HttpOnly, so that every script on the
	// page can read the cookie.
	InsecureAllowScript bool

	// RenewOnAccess is the shortest interval after which a request that only
	// reads its session restarts the idle timeout, and renews a cookie that
	// has an age. Zero means that only saving does; every save does. A renewal
	// that would have to wait for others who save the session is left out. The
	// store must be a [Toucher]. With sessions in sealed cookies, a slow reader
	// can bring back a session that was destroyed meanwhile: see NotBefore of
	// package securecookie.
	RenewOnAccess time.Duration

	// Valid reports whether a session still counts: whether its owner has not
	// been blocked since, for example, or changed the password. It is asked once
	// for each stored session that is loaded, before the handler has it, with the
	// context of the request, and again by [Reload]; by several goroutines at
	// once. It reads the session and does not change it, and it does not ask for
	// the request's session.
	//
	// A session for which it returns false is ended in its store; in sealed
	// cookies it only does not count. The request gets a new one. The cookie is
	// not taken from the browser: a login beside this request may just have set
	// another. An error is that of the load, and ends nothing, so that a database
	// that is down logs no user out.
	//
	// When a password changes: store the user's new version, call
	// [Session.Login] and [Save], and then end the owner's other sessions. A login
	// notes the version that was read together with the password's hash: one that
	// is read later may belong to the next password.
	Valid func(ctx context.Context, s *Session) (bool, error)
}

const (
	maxCookieName = 256
	maxCookieAttr = 1024            // bytes; RFC 6265bis 5.7
	maxCookieAge  = 400 * 24 * 3600 // seconds; RFC 6265bis 5.5
	hostPrefix    = "__Host-"       // RFC 6265bis 4.1.3.2
	securePrefix  = "__Secure-"     // RFC 6265bis 4.1.3.1
	cookieName    = "session"
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
		if c.Secure {
			c.Name = securePrefix + cookieName
			if c.Path == "/" && c.Domain == "" {
				c.Name = hostPrefix + cookieName
			}
		}
	}
	if o.RenewOnAccess < 0 {
		refuse("RenewOnAccess is negative")
	}
	errs = append(errs, checkCookie(c)...)
	return c, errors.Join(errs...)
}

// checkCookie finds options that a browser would refuse, or silently change.
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
	return append(errs, checkPrefix(c))
}

// checkPrefix compares the cookie with the strictest of cookiePrefixes that its
// Name has.
func checkPrefix(c http.Cookie) error {
	for _, p := range cookiePrefixes {
		if !hasPrefixFold(c.Name, p.prefix) {
			continue
		}
		if c.Secure && (c.HttpOnly || !p.httpOnly) && (c.Path == "/" && c.Domain == "" || !p.host) {
			return nil
		}
		return fmt.Errorf("a cookie named %s… needs %s", p.prefix, p.needs)
	}
	return nil
}

// cookiePrefixes are the names whose rules browsers enforce (RFC 6265bis
// 4.1.3), a prefix before its own beginning.
var cookiePrefixes = []struct {
	prefix         string
	host, httpOnly bool
	needs          string // Secure, and the rules of host and httpOnly
}{
	{"__Host-Http-", true, true, "Secure, HttpOnly, Path=/ and no Domain"},
	{hostPrefix, true, false, "Secure, Path=/ and no Domain"},
	{"__Http-", false, true, "Secure and HttpOnly"},
	{securePrefix, false, false, "Secure"},
}

// hasPrefixFold compares as browsers do with the names' prefixes.
func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// cookieMaxAge returns the Max-Age of the cookie of a session, in seconds.
func cookieMaxAge(t sessionfile.Timeouts, a *attributes, template int) int {
	t = t.With(sessionfile.Timeouts{Idle: a.idleTimeout, Lifetime: a.lifetime})
	age := time.Duration(template) * time.Second
	if a.idleTimeout > 0 {
		age = a.idleTimeout
	}
	switch a.persistence {
	case PersistUntilClosed:
		return 0
	case PersistIdle:
		age = cmp.Or(t.Idle, maxCookieAge*time.Second)
	}
	if age > 0 && t.Lifetime > 0 {
		left := t.Lifetime - time.Since(a.created)
		age = max(time.Second, min(age, wholeSeconds(left)))
	}
	return int(min(age/time.Second, maxCookieAge))
}

// CookieMaxAge returns the Max-Age, in seconds, of a cookie for the session of a
// record, 0 for none: that of the template, unless the session has an idle timeout
// or a [Persistence] of its own; no longer than the session can live, or than 400
// days. It is for a [Carrier].
func (b *Base) CookieMaxAge(rec *Record, template int) int {
	a := rec.attributes()
	return cookieMaxAge(b.timeouts, &a, template)
}
