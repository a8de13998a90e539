package securecookie

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sessfs/sessions"
)

// CarrierOptions are the settings of a [Carrier]. The zero value keeps sessions for
// 14 days after they were last saved, 30 days at most, in up to four cookies that
// are named __Host-session.
type CarrierOptions struct {
	_ struct{} // no literal without names

	// CookieOptions are the cookies' name and attributes. RenewOnAccess restarts
	// the idle timeout of a session that is only read: a request seals it again
	// when it was last sealed longer ago than this. Zero means that only a save
	// does. With it, a slow request that only reads can bring back a session that
	// was destroyed meanwhile, when its response comes after that of the logout.
	// NotBefore refuses such a session. Valid is asked after NotBefore.
	//
	// A session that does not fit in one cookie is kept in several, named with
	// "-0", "-1" and so on behind the Name. So the Name must not end in such a
	// number itself.
	sessions.CookieOptions

	// IdleTimeout is how long a session lives after it was last sealed. A session's
	// own (see [sessions.Session.SetIdleTimeout]) takes its place. It is inside the
	// seal, and independent of the cookie's MaxAge, which is a request to the
	// browser. The default is 14 days, the least is a second. [sessions.Never] is
	// refused: a stolen cookie has no other end. NIST SP 800-63B-4 names an hour at
	// most for AAL2 and 15 minutes for AAL3; ASVS 5.0 7.3.1.
	IdleTimeout time.Duration

	// Lifetime is the absolute timeout: how long a session lives after it was
	// made or renewed, used or not. A session's own (see
	// [sessions.Session.SetLifetime]) takes its place. The default is 30 days, the
	// least is a second, and [sessions.Never] is refused. NIST SP 800-63B-4 names
	// 30 days at most for AAL1, 24 hours for AAL2 and 12 for AAL3; ASVS 5.0 7.3.2.
	Lifetime time.Duration

	// Codec encodes the values of new sessions. The default is
	// [sessions.JSON]. A session keeps the codec that it was made with, if
	// that is this one, JSON or [sessions.Gob].
	Codec sessions.Codec

	// MaxCookies is the number of cookies that a session may fill. One has about
	// 2,900 bytes of values, and each further one 3,050. The save of a larger
	// session returns [sessions.ErrTooLarge]. The default is 4, the most are
	// [MaxChunks]. Both are 2 when the cookies are Partitioned, since browsers keep
	// 10 KB for a partition. They keep 50 cookies of a domain, of all applications
	// together (RFC 6265bis 6.1).
	//
	// Servers and proxies limit the size of a request's header, and answer larger
	// ones with an error, which the user sees until the cookies expire. Node allows
	// 16 KB, nginx and Apache 8 KB in one line by default
	// (large_client_header_buffers, LimitRequestFieldSize), which is less than two
	// full cookies. Behind those set MaxCookies to 1.
	MaxCookies int

	// NotBefore returns the instant from which on sessions of an owner count.
	// Sessions that were made or renewed earlier are refused, by the time of that
	// and not of sealing, so that no request that is still running brings one back.
	// So sessions in cookies can be ended: keep an instant for each user, set it to
	// now when they change their password or log out everywhere, and after that
	// call [sessions.Session.Renew] on the session that is to stay. The zero Time
	// refuses none.
	//
	// It is called once for each load, and each Reload, of a session that has an
	// owner (see [sessions.Session.SetOwner]), by several goroutines at once. Its
	// error becomes that of the load. The time of a session's last Renew is exact
	// to the nanosecond. A database with coarser times must round the instant up,
	// and should add the difference of its servers' clocks. Then a few newer
	// sessions are refused as well; otherwise a few older ones would live on.
	NotBefore func(ctx context.Context, owner string) (time.Time, error)
}

const (
	defaultMaxCookies = 4
	maxPartitioned    = 2 // cookies of 4,096 bytes in the 10 KB of a partition
)

// NewCarrier returns a carrier of sessions that the ring seals. The error joins all
// that is wrong with the ring and the options. The ring needs an Audience: without
// one, applications that share keys and the default name of the cookie would accept
// each other's sessions.
func NewCarrier(ring *KeyRing, o CarrierOptions) (*Carrier, error) {
	template, err := o.Template()
	errs := []error{err}
	switch {
	case ring == nil || len(ring.keys) == 0:
		errs = append(errs, errors.New("the key ring has no keys"))
	case ring.audience == "":
		errs = append(errs, errors.New("the key ring has no Audience: another application with its keys could open the sessions"))
	}
	if o.Codec == nil {
		o.Codec = sessions.JSON()
	}
	errs = append(errs, o.setTimeouts(), o.setMaxCookies(template))
	base, err := sessions.NewBase(nil, sessions.BaseOptions{
		IDs:          sessions.RandomIDs(sessionIDSize), // 128 bits, as ASVS 5.0 7.2.3 demands
		Codec:        o.Codec,
		IdleTimeout:  o.IdleTimeout,
		Lifetime:     o.Lifetime,
		Key:          func(id string) string { return id },
		SelfExpiring: true, // by the times in the seal
	})
	if errors.Join(errs...) == nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("securecookie: cannot carry sessions: %w", err)
	}
	return &Carrier{ring, base, template, o.RenewOnAccess, o.IdleTimeout, o.Lifetime, o.Codec, o.MaxCookies, o.NotBefore, o.IsValid}, nil
}

func (o *CarrierOptions) setTimeouts() error {
	var errs []error
	for _, d := range []struct {
		name   string
		value  *time.Duration
		absent time.Duration
	}{{"IdleTimeout", &o.IdleTimeout, sessions.DefaultIdleTimeout}, {"Lifetime", &o.Lifetime, sessions.DefaultLifetime}} {
		switch {
		case *d.value == 0:
			*d.value = d.absent
		case *d.value == sessions.Never:
			errs = append(errs, fmt.Errorf("%s is Never: a stolen cookie has no other end", d.name))
		case *d.value < time.Second:
			errs = append(errs, fmt.Errorf("%s is less than a second: %v; an hour is time.Hour", d.name, *d.value))
		}
	}
	if o.RenewOnAccess > 0 && o.RenewOnAccess >= o.IdleTimeout && o.IdleTimeout > 0 {
		errs = append(errs, errors.New("RenewOnAccess is not less than IdleTimeout: a session would be over before it is renewed"))
	}
	return errors.Join(errs...)
}

func (o *CarrierOptions) setMaxCookies(template http.Cookie) error {
	var errs []error
	most := MaxChunks
	if template.Partitioned {
		most = maxPartitioned
	}
	switch n := o.MaxCookies; {
	case n == 0:
		o.MaxCookies = min(defaultMaxCookies, most)
	case n < 0:
		errs = append(errs, errors.New("MaxCookies is negative"))
	case n > most:
		errs = append(errs, fmt.Errorf("MaxCookies is more than %d", most))
	}
	if at := strings.LastIndexByte(template.Name, '-'); at >= 0 {
		if _, ok := parseNumber(template.Name[at+1:]); ok {
			errs = append(errs, errors.New("the cookie's Name ends in a hyphen and a number, as those of another session's chunks do"))
		}
	}
	return errors.Join(errs...)
}
