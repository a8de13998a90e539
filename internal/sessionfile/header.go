// Package sessionfile has the form of session files as far as the store and the
// pruner share it: the names, the header, and the rule of expiry. It knows nothing
// of values or sessions.
package sessionfile

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// formatName begins every session file, and createdField, in all that Append writes,
// follows.
const (
	formatName   = "sessions 1"
	createdField = " created="
)

// A Header is the line of text at the beginning of a session file:
//
//	sessions 1 created=2026-11-20T21:56:59.123456789Z idle-timeout=1209600s lifetime=0s own-idle-timeout=2592000s authenticated=2026-11-20T21:56:59Z owner=<tag> private=true codec=json sealed=true hashed=true
//
// followed by the fields of package slotfile. The last fields stand there only
// when they are set.
type Header struct {
	Created time.Time

	// The longest timeouts of the stores that have written the file. By them a
	// pruner without options knows when the session has ended for all of them.
	Timeouts

	// The session's Own Timeouts, zero for none. The file is marked when there
	// is one (see package slotfile).
	Own Timeouts

	AuthenticatedAt time.Time // zero for never
	Persistence     uint8     // sessions.Persistence

	Owner   string // a tag that stands for the owner, "" for none
	Private bool   // the payload begins with a line of its own
	Codec   string
	Sealed  bool
	Hashed  bool // the file is named by the hash of the session's ID
}

// Append appends the text to dst.
func (h Header) Append(dst []byte) []byte {
	dst = append(dst, formatName...)
	dst = h.Created.UTC().AppendFormat(append(dst, createdField...), time.RFC3339Nano)
	dst = appendDuration(append(dst, " idle-timeout="...), h.Idle)
	dst = appendDuration(append(dst, " lifetime="...), h.Lifetime)
	if h.Own.Idle > 0 {
		dst = appendDuration(append(dst, " own-idle-timeout="...), h.Own.Idle)
	}
	if h.Own.Lifetime > 0 {
		dst = appendDuration(append(dst, " own-lifetime="...), h.Own.Lifetime)
	}
	if !h.AuthenticatedAt.IsZero() {
		dst = h.AuthenticatedAt.UTC().AppendFormat(append(dst, " authenticated="...), time.RFC3339Nano)
	}
	if h.Persistence > 0 {
		dst = strconv.AppendUint(append(dst, " persistence="...), uint64(h.Persistence), 10)
	}
	if h.Owner != "" {
		dst = append(append(dst, " owner="...), h.Owner...)
	}
	if h.Private {
		dst = append(dst, " private=true"...)
	}
	dst = append(append(dst, " codec="...), h.Codec...)
	if h.Sealed {
		dst = append(dst, " sealed=true"...)
	}
	if h.Hashed {
		dst = append(dst, " hashed=true"...)
	}
	return dst
}

// appendDuration writes a duration as time.ParseDuration reads it: in seconds, or
// in nanoseconds where it has a fraction of one.
func appendDuration(dst []byte, d time.Duration) []byte {
	if d%time.Second == 0 {
		return append(strconv.AppendInt(dst, int64(d/time.Second), 10), 's')
	}
	return append(strconv.AppendInt(dst, int64(d), 10), "ns"...)
}

// ParseHeader is the inverse of Append.
func ParseHeader(meta string) (h Header, ok bool) {
	rest, ok := strings.CutPrefix(meta, formatName)
	if !ok {
		return h, false
	}
	for rest != "" {
		if rest[0] != ' ' {
			return h, false
		}
		pair := rest[1:]
		if end := strings.IndexByte(pair, ' '); end >= 0 {
			pair = pair[:end]
		}
		rest = rest[1+len(pair):]
		equals := strings.IndexByte(pair, '=')
		if equals < 0 || !h.set(pair[:equals], pair[equals+1:]) {
			return h, false
		}
	}
	return h, !h.Created.IsZero() && h.Codec != ""
}

// A Parser parses headers. The zero value is ready, and may be used by several
// goroutines at once.
//
// Behind the time at which the session was made, the headers of most sessions of a
// store are the same. A Parser keeps the last such rest: it takes 60 ns for a header in
// place of 160, 4 percent of a load.
type Parser struct {
	last atomic.Pointer[parsedRest]
}

// A parsedRest is the text of a header behind the time, and its fields.
type parsedRest struct {
	text   string
	header Header
}

// Parse is ParseHeader.
func (p *Parser) Parse(meta string) (h Header, ok bool) {
	rest, ok := strings.CutPrefix(meta, formatName+createdField)
	end := strings.IndexByte(rest, ' ')
	if !ok || end < 0 {
		return ParseHeader(meta)
	}
	created, text := rest[:end], rest[end:]
	if last := p.last.Load(); last != nil && last.text == text {
		h = last.header
		return h, h.set("created", created) && !h.Created.IsZero()
	}
	h, ok = ParseHeader(meta)
	isUsual := h.Owner == "" && h.AuthenticatedAt.IsZero() && !strings.Contains(text, createdField)
	if ok && isUsual {
		kept := h
		kept.Codec = strings.Clone(h.Codec) // not all of the text that meta is a part of
		p.last.Store(&parsedRest{strings.Clone(text), kept})
	}
	return h, ok
}

// set sets one field. It ignores unknown names: they are of a later version that
// still calls itself 1.
func (h *Header) set(name, value string) bool {
	var err error
	switch name {
	case "created":
		h.Created, err = time.Parse(time.RFC3339Nano, value)
	case "idle-timeout":
		h.Idle, err = parseDuration(value)
	case "lifetime":
		h.Lifetime, err = parseDuration(value)
	case "own-idle-timeout":
		h.Own.Idle, err = parseDuration(value)
	case "own-lifetime":
		h.Own.Lifetime, err = parseDuration(value)
	case "authenticated":
		h.AuthenticatedAt, err = time.Parse(time.RFC3339Nano, value)
	case "persistence":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 8)
		h.Persistence = uint8(n)
	case "private":
		h.Private = value == "true"
	case "owner":
		h.Owner = value
	case "codec":
		h.Codec = value
	case "sealed":
		h.Sealed = value == "true"
	case "hashed":
		h.Hashed = value == "true"
	}
	return err == nil
}

// parseDuration reads a duration written by appendDuration. Seconds are nearly all
// there are, and time.ParseDuration takes four times as long.
func parseDuration(text string) (time.Duration, error) {
	if digits, ok := strings.CutSuffix(text, "s"); ok && digits != "" && len(digits) <= 9 {
		var seconds time.Duration
		for i := range len(digits) {
			if digits[i] < '0' || digits[i] > '9' {
				return time.ParseDuration(text)
			}
			seconds = seconds*10 + time.Duration(digits[i]-'0')
		}
		return seconds * time.Second, nil
	}
	return time.ParseDuration(text)
}
