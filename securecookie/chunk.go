package securecookie

import (
	"crypto/rand"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/httpheader"
)

// MaxChunks is the greatest number of cookies for one session: 20, of the 50
// that browsers keep at least for a domain (RFC 6265bis 6.1). Cookies named
// with a higher number than 19 are left alone.
const MaxChunks = 20

const (
	// maxCookie is how many bytes of name and value together browsers accept.
	// RFC 6265bis 5.7 has 4,096; some browsers have counted the equals sign,
	// and older ones accepted three bytes less.
	maxCookie = 4093

	setIDSize = 6                                 // random bytes, to tell one browser's sets apart
	setIDText = 8                                 // characters
	maxPrefix = len("20.") + setIDText + len(".") // characters
	maxSuffix = len("-19")                        // characters of a chunk's name behind the session's

	// maxSame is how many cookies of one name are read. Browsers send several
	// when they differ in Path or Domain. When there are more than two, none is
	// read.
	maxSame = 2
)

// partSize returns how many characters of a value fit into a chunk: 3,822 with the
// longest name, of 256.
func (c *Carrier) partSize() int {
	return maxCookie - len(c.template.Name) - maxSuffix - maxPrefix
}

// parts are the values of a session's cookies.
type parts struct {
	single string // "" for a session that is in chunks, or nowhere
	chunks []string
}

// names returns the names of the cookies that the parts are in.
func (p parts) names() (names nameSet) {
	if p.single != "" {
		return 1
	}
	for i := range p.chunks {
		names |= chunkName(i)
	}
	return names
}

// A nameSet has bit 0 for the session's name, and bit i+1 for that of chunk i.
type nameSet uint32

func chunkName(i int) nameSet { return 2 << i }

// split seals a session and cuts it into values that fit in cookies.
func (c *Carrier) split(plaintext []byte, t Times) (parts, error) {
	size := encodedLen(overheadSize + timesSize + len(plaintext))
	if size <= maxCookie-len(c.template.Name) {
		value, err := c.seal(c.template.Name, plaintext, t)
		return parts{single: value}, err
	}
	part := c.partSize()
	count := (size + part - 1) / part
	if count > c.maxCookies {
		return parts{}, fmt.Errorf("%w: %d bytes in %d cookies, limit %d cookies of %d", sessions.ErrTooLarge, size, count, c.maxCookies, part)
	}
	var id [setIDSize]byte
	rand.Read(id[:]) // never fails, by its documentation
	prefix := strconv.Itoa(count) + "." + string(appendEncode(nil, id[:])) + "."
	value, err := c.seal(c.nameOfSet(prefix), plaintext, t)
	if err != nil {
		return parts{}, err
	}
	chunks := make([]string, 0, count)
	for len(value) > 0 {
		n := min(part, len(value))
		chunks = append(chunks, prefix+value[:n])
		value = value[n:]
	}
	return parts{chunks: chunks}, nil
}

// nameOfSet returns the name for which a set of chunks is sealed.
func (c *Carrier) nameOfSet(prefix string) string { return c.template.Name + ";" + prefix }

// found is the part of a header that is a session's cookies.
type found struct {
	c     *Carrier
	names nameSet
	slots [1 + MaxChunks]slot // the single cookie, then the chunks
}

// A slot has the values of the cookies of one name.
type slot struct {
	values [maxSame]string
	n      int // the number in the header; when it is more than maxSame, none is read
}

func (s *slot) all() []string {
	if s.n > len(s.values) {
		return nil
	}
	return s.values[:s.n]
}

// find returns this session's cookies in Cookie headers, by their exact names. It
// reads once and does not allocate: a header may have thousands of others.
// =name=value (CVE-2023-23934) is a cookie without a name.
func (c *Carrier) find(header []string) (f found) {
	f.c = c
	for _, line := range header {
		for pair := range strings.SplitSeq(line, ";") {
			rest, ok := strings.CutPrefix(strings.Trim(pair, " \t"), c.template.Name)
			if !ok {
				continue
			}
			if i, value, ok := parsePair(rest); ok {
				f.names |= 1 << i
				if s := &f.slots[i]; s.n < maxSame {
					s.values[s.n] = value
				}
				f.slots[i].n++
			}
		}
	}
	return f
}

// parsePair reads "=value" as slot 0, and "-i=value" as slot i+1.
func parsePair(s string) (i int, value string, ok bool) {
	suffix, value, ok := strings.Cut(s, "=")
	if !ok || suffix == "" {
		return 0, value, ok
	}
	if suffix[0] != '-' {
		return 0, "", false
	}
	i, ok = parseNumber(suffix[1:])
	return i + 1, value, ok && i < MaxChunks
}

// parseNumber reads a decimal number of one or two digits without a leading
// zero. Larger ones are not ours.
func parseNumber(s string) (n int, ok bool) {
	if len(s) < 1 || len(s) > 2 || len(s) == 2 && s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// candidates yields the whole values that the cookies may hold, at most four, and the
// name for which each was sealed.
func (f *found) candidates(yield func(name, value string) bool) {
	for _, value := range f.slots[0].all() {
		if len(f.c.template.Name)+len(value) <= maxCookie && !yield(f.c.template.Name, value) {
			return
		}
	}
	for _, first := range f.slots[1].all() {
		if prefix, count, ok := parsePrefix(first); ok {
			if value, ok := f.join(prefix, count); ok && !yield(f.c.nameOfSet(prefix), value) {
				return
			}
		}
	}
}

// parsePrefix returns the beginning of a chunk, which is the same in all of its set,
// and the number of chunks.
func parsePrefix(chunk string) (prefix string, count int, ok bool) {
	digits, rest, ok := strings.Cut(chunk[:min(len(chunk), maxPrefix)], ".")
	if !ok || len(rest) <= setIDText || rest[setIDText] != '.' {
		return "", 0, false
	}
	count, ok = parseNumber(digits)
	return chunk[:len(digits)+setIDText+2], count, ok && count >= 2 && count <= MaxChunks
}

// join joins a set of chunks. Each must be there once, and all but the last must have
// full length.
func (f *found) join(prefix string, count int) (string, bool) {
	var whole []string
	full := f.c.partSize()
	for i := range count {
		part, n := "", 0
		for _, chunk := range f.slots[1+i].all() {
			if p, ok := strings.CutPrefix(chunk, prefix); ok {
				part, n = p, n+1
			}
		}
		if n != 1 || len(part) > full || i < count-1 && len(part) < full {
			return "", false
		}
		whole = append(whole, part)
	}
	return strings.Join(whole, ""), true
}

// set sets the cookies of a session. It expires those of the session that the request
// had, or that this response was about to set, and that are not needed any more.
func (c *Carrier) set(response http.Header, request []string, cookie http.Cookie, p parts) {
	name := cookie.Name
	if p.single != "" {
		cookie.Value = p.single
		httpheader.SetCookie(response, cookie)
	}
	for i, chunk := range p.chunks {
		cookie.Name, cookie.Value = name+"-"+strconv.Itoa(i), chunk
		httpheader.SetCookie(response, cookie)
	}
	sent, pending := c.find(request), c.find(response["Set-Cookie"])
	cookie.Value, cookie.MaxAge = "", -1
	for suffix := range (sent.names | pending.names).without(p.names()) {
		cookie.Name = name + suffix
		httpheader.SetCookie(response, cookie)
	}
}

// without returns the ends of the names in n that are not in other.
func (n nameSet) without(other nameSet) iter.Seq[string] {
	return func(yield func(string) bool) {
		n &^= other
		if n&1 != 0 && !yield("") {
			return
		}
		for i := range MaxChunks {
			if n&chunkName(i) != 0 && !yield("-"+strconv.Itoa(i)) {
				return
			}
		}
	}
}
