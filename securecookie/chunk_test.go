package securecookie_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

// load returns the session of a Cookie header.
func load(t testing.TB, carrier *securecookie.Carrier, lines ...string) *sessions.Session {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Cookie"] = lines
	s, err := carrier.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cookiesOf returns "name=value" of each cookie of a session whose value "a" has that
// size.
func cookiesOf(t testing.TB, carrier *securecookie.Carrier, size int) []string {
	t.Helper()
	s := carrier.New()
	s.Set("a", strings.Repeat("x", size))
	w := httptest.NewRecorder()
	if err := carrier.Commit(w, httptest.NewRequest("GET", "/", nil), s); err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, c := range w.Result().Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return pairs
}

func TestChunksAreASessionOnlyAsOneSet(t *testing.T) {
	carrier := newCarrier(t, newRing(t, "test"), named("session"))
	a, b := cookiesOf(t, carrier, 9000), cookiesOf(t, carrier, 9001) // three chunks each
	long, single := cookiesOf(t, carrier, 12000), cookiesOf(t, carrier, 10)
	if len(a) != 3 || len(b) != 3 || len(long) != 4 || len(single) != 1 {
		t.Fatal(len(a), len(b), len(long), len(single))
	}
	rename := func(pair, name string) string { return name + pair[strings.IndexByte(pair, '='):] }
	value := func(pair string) string { return pair[strings.IndexByte(pair, '=')+1:] }
	body := func(pair string) string { return pair[strings.LastIndexByte(pair, '.')+1:] }
	claim := func(count string) []string {
		var pairs []string
		for i, pair := range a {
			pairs = append(pairs, fmt.Sprintf("session-%d=%s%s", i, count, value(pair)[1:]))
		}
		return pairs
	}
	var most []string // as long as chunks can be, so that only the count is wrong
	for i := range securecookie.MaxChunks {
		most = append(most, fmt.Sprintf("session-%d=21.AAAAAAAA.%s", i, strings.Repeat("A", 4093-len("session")-len("-19")-len("20.AAAAAAAA."))))
	}
	for _, row := range []struct {
		name  string
		pairs []string
		want  int // bytes of the value; 0 for none
	}{
		{"whole", a, 9000},
		{"backwards", []string{a[2], a[1], a[0]}, 9000}, // the order in the header is free
		{"beside others", []string{"x=y", a[0], "session-x=1", a[1], "sessions=", a[2], "=z"}, 9000},
		{"a stale chunk of a longer set", append(slices.Clone(a), long[3]), 9000},
		{"a single cookie", single, 10},
		{"a single cookie beside a chunk", []string{single[0], a[1]}, 10},
		{"a set beside an empty single cookie", append([]string{"session="}, a...), 9000},
		{"a set beside a broken single cookie", append([]string{single[0] + "A"}, a...), 9000},

		{"first missing", a[1:], 0},
		{"middle missing", []string{a[0], a[2]}, 0},
		{"last missing", a[:2], 0},
		{"only one", a[:1], 0},
		{"one doubled", []string{a[0], a[1], a[1], a[2]}, 0},
		{"one twice, in the place of another", []string{a[0], a[1], rename(a[1], "session-2")}, 0},
		{"two exchanged", []string{a[0], rename(a[2], "session-1"), rename(a[1], "session-2")}, 0},
		{"first from another set", []string{b[0], a[1], a[2]}, 0},
		{"middle from another set", []string{a[0], b[1], a[2]}, 0},
		{"last from another set", []string{a[0], a[1], b[2]}, 0},
		{"new set mixed with a stale one", []string{a[0], a[1], long[2], long[3]}, 0},
		{"another set's under this set's id", []string{a[0], strings.Replace(b[1], value(b[1])[:11], value(a[1])[:11], 1), a[2]}, 0},
		{"the whole under another set id", []string{strings.Replace(a[0], value(a[0])[2:10], "AAAAAAAA", 1),
			strings.Replace(a[1], value(a[1])[2:10], "AAAAAAAA", 1), strings.Replace(a[2], value(a[2])[2:10], "AAAAAAAA", 1)}, 0},
		{"cut later", []string{a[0][:len(a[0])-1], strings.Replace(a[1], body(a[1]), a[0][len(a[0])-1:]+body(a[1]), 1), a[2]}, 0},
		{"cut earlier", []string{a[0], a[1][:len(a[1])-1], strings.Replace(a[2], body(a[2]), a[1][len(a[1])-1:]+body(a[2]), 1)}, 0},
		{"the chunks in a single cookie", []string{"session=" + body(a[0]) + body(a[1]) + body(a[2])}, 0},
		{"a chunk as the single cookie", []string{rename(a[0], "session")}, 0},
		{"a single cookie as the chunk", []string{rename(single[0], "session-0")}, 0},
		{"count 2", claim("2"), 0},
		{"count 4", claim("4"), 0},
		{"count 03", claim("03"), 0},
		{"count 0", claim("0"), 0},
		{"count 1", claim("1")[:1], 0},
		{"no count", claim(""), 0},
		{"count -3", claim("-3"), 0},
		{"count 20", claim("20"), 0},
		{"count 21", claim("21"), 0},
		{"count 21, and 20 that are full", most, 0},
		{"count 10^9", claim("1000000000"), 0},
		{"count 2^64+3", claim("18446744073709551619"), 0},
		{"no part", []string{a[0][:len("session-0=3.AAAAAAAA.")], a[1], a[2]}, 0},
		{"empty", []string{"session-0=", "session-1=", "session-2="}, 0},
		{"leading zeros", []string{a[0], rename(a[1], "session-01"), a[2]}, 0},
		{"without a name", []string{"=" + single[0]}, 0},
		{"without a name, spaced", []string{" = " + single[0]}, 0},
		{"quoted", []string{`session="` + value(single[0]) + `"`}, 0},
		{"a space before the equals sign", []string{"session =" + value(single[0])}, 0},
		{"another case", []string{rename(single[0], "Session")}, 0},
		{"three times", []string{single[0], single[0], single[0]}, 0},
	} {
		s := load(t, carrier, strings.Join(row.pairs, "; "))
		got, _ := s.Get("a").(string)
		if len(got) != row.want || s.New() != (row.want == 0) {
			t.Errorf("%s: got %d bytes, new %v, want %d", row.name, len(got), s.New(), row.want)
		}
		if got, _ := load(t, carrier, row.pairs...).Get("a").(string); len(got) != row.want {
			t.Errorf("%s, in a line each: got %d bytes, want %d", row.name, len(got), row.want)
		}
	}
}

func TestChunkWithAChangedByteIsRefused(t *testing.T) {
	carrier := newCarrier(t, newRing(t, "test"), named("session"))
	pairs := cookiesOf(t, carrier, 5000)
	for i, pair := range pairs {
		for at := range len(pair) {
			if at > 40 && at < len(pair)-40 && at%97 != 0 {
				continue // some of the many that are alike
			}
			for _, changed := range []string{
				pair[:at] + string([]byte{pair[at] ^ 1}) + pair[at+1:],
				pair[:at] + "A" + pair[at:],
				pair[:at] + "\n" + pair[at:],
				pair[:at] + pair[at+1:],
			} {
				cookies := slices.Clone(pairs)
				if cookies[i] = changed; changed == pair {
					continue
				}
				if s := load(t, carrier, strings.Join(cookies, "; ")); !s.New() {
					t.Fatalf("chunk %d, changed at %d: loaded", i, at)
				}
			}
		}
	}
}

func TestCarrierLoadsTheNewestOfTwoSessions(t *testing.T) {
	ring, now := clock(t)
	carrier := newCarrier(t, ring, named("session"))
	sets := make([][]string, 3)
	for i, size := range []int{10, 9000, 9500} {
		*now = now.Add(1e6)
		sets[i] = cookiesOf(t, carrier, size)
	}
	for _, row := range []struct{ first, second, want int }{
		{0, 1, 9000}, {1, 0, 9000}, {1, 2, 9500}, {2, 1, 9500}, {0, 2, 9500}, {2, 0, 9500},
	} {
		s := load(t, carrier, append(slices.Clone(sets[row.first]), sets[row.second]...)...)
		if got, _ := s.Get("a").(string); len(got) != row.want {
			t.Errorf("%d before %d: got %d bytes, want %d", row.first, row.second, len(got), row.want)
		}
	}
}

func TestMaxCookiesThatIsLoweredStillReadsLargeSessions(t *testing.T) {
	ring := newRing(t, "test")
	o := withMaxCookies(securecookie.MaxChunks)
	b := &browser{t: t, carrier: newCarrier(t, ring, o)}
	b.put("a", strings.Repeat("x", 50_000))
	b.carrier = newCarrier(t, ring, withMaxCookies(1))
	if got, _ := b.get("a").(string); len(got) != 50_000 {
		t.Errorf("got %d bytes", len(got))
	}
	b.put("a", "small")
	if len(b.cookies) != 1 || b.get("a") != "small" {
		t.Errorf("left %v", b.names())
	}
}

// As many cookies as a client can send in the 1 MB that net/http reads.
func TestCarrierReadsManyCookiesForNothing(t *testing.T) {
	carrier := newCarrier(t, newRing(t, "test"), named("session"))
	whole := cookiesOf(t, carrier, 9000)
	many := func(format string) string {
		var b strings.Builder
		for i := range 3000 {
			fmt.Fprintf(&b, format+"; ", i)
		}
		return b.String()
	}
	for name, row := range map[string]struct {
		header string
		n      int // cookies that expire when a session is destroyed
	}{
		"of other names":        {many("x%d=y"), 0},
		"of one name":           {strings.Repeat("session=3.AAAAAAAA.; ", 3000), 1},
		"of the first chunk":    {strings.Repeat(whole[0]+"; ", 200), 1},
		"of all chunks' names":  {many("session-%d=3.AAAAAAAA.AAAA"), securecookie.MaxChunks},
		"with claims":           {many("session-%d=1000000000.AAAAAAAA.AAAA"), securecookie.MaxChunks},
		"sealed, of one name":   {strings.Repeat(cookiesOf(t, carrier, 2000)[0]+"; ", 300), 1},
		"semicolons":            {strings.Repeat(";", 1<<20), 0},
		"one long cookie":       {"session=" + strings.Repeat("A", 1<<20), 1},
		"one long first chunk":  {"session-0=2.AAAAAAAA." + strings.Repeat("A", 1<<20), 1},
		"a name without an end": {"session-" + strings.Repeat("1", 1<<20), 0},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", row.header)
		if got := testing.AllocsPerRun(10, func() {
			if s, err := carrier.Load(r); err != nil || !s.New() {
				t.Fatal(s, err)
			}
		}); got > 12 {
			t.Errorf("%s: %v allocations", name, got)
		}
		s := carrier.New()
		s.Destroy()
		w := httptest.NewRecorder()
		if err := carrier.Commit(w, r, s); err != nil || len(w.Result().Cookies()) != row.n {
			t.Errorf("%s: %d cookies set, want %d", name, len(w.Result().Cookies()), row.n)
		}
	}
}

// A siteWithJar serves one handler over TLS, with the cookie jar of a client.
func siteWithJar(t *testing.T, o securecookie.CarrierOptions, handler http.HandlerFunc) (*httptest.Server, *cookiejar.Jar) {
	t.Helper()
	mw, err := sessions.NewMiddleware(newCarrier(t, newRing(t, "test"), o), sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(mw.Wrap(handler))
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	server.Client().Jar = jar
	return server, jar
}

func TestChunksOfEverySizeTravelThroughAServerAndACookieJar(t *testing.T) {
	server, jar := siteWithJar(t, withMaxCookies(securecookie.MaxChunks), func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		if size, err := strconv.Atoi(r.FormValue("size")); err == nil {
			s.Set("a", strings.Repeat("x", size))
		}
		v, _ := s.Get("a").(string)
		fmt.Fprint(w, len(v))
	})
	site, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	get := func(query string) (string, []*http.Cookie) {
		t.Helper()
		res, err := server.Client().Get(server.URL + query)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(body)), res.Cookies()
	}
	try := func(size, wantCookies int) {
		t.Helper()
		_, set := get(fmt.Sprintf("/?size=%d", size))
		for _, c := range set {
			if len(c.Name)+len(c.Value) > 4093 {
				t.Errorf("%d bytes: a cookie of %d", size, len(c.Name)+len(c.Value))
			}
		}
		if got, _ := get("/"); got != strconv.Itoa(size) {
			t.Errorf("%d bytes: got %s", size, got)
		}
		if got := len(jar.Cookies(site)); got != wantCookies {
			t.Errorf("%d bytes: %d cookies in the jar, want %d", size, got, wantCookies)
		}
	}
	try(0, 1)
	try(1, 1)
	sizes := boundaries(t)
	for i, size := range sizes {
		try(size-1, i+1)
		try(size, i+1)
		if i+1 < len(sizes) {
			try(size+1, i+2)
		}
	}
	most := sizes[len(sizes)-1]
	if got, set := get(fmt.Sprintf("/?size=%d", most+1)); len(set) != 0 || got != "Internal Server Error" {
		t.Errorf("one byte over the cap: %q, %d cookies", got, len(set))
	}
	if got, _ := get("/"); got != strconv.Itoa(most) {
		t.Errorf("after the failure: got %s", got)
	}
	for i := len(sizes) - 1; i >= 0; i-- { // and back, without a stale chunk
		try(sizes[i], i+1)
	}
}

// boundaries are the largest sizes of a value "a" that fit in 1 cookie, 2 and
// so on, by the sizes of the package comment.
func boundaries(t *testing.T) (sizes []int) {
	t.Helper()
	const name = len("__Host-session")
	// 81 bytes are format 1's; a session's are 1 + 16 + 8 + 1, uvarints for no
	// login, two timeouts, owner and note that are not set, "json" behind its
	// length, and {"a":""}.
	fits := func(chars int) int {
		bytes := base64.RawURLEncoding.DecodedLen(chars)
		return bytes - 81 - (1 + 16 + 8 + 1 + 5 + 5) - len(`{"a":""}`)
	}
	sizes = append(sizes, fits(4093-name))
	for n := 2; n <= securecookie.MaxChunks; n++ {
		sizes = append(sizes, fits(n*(4093-name-len("-19")-len("20.AAAAAAAA."))))
	}
	return sizes
}
