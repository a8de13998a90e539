package sessions

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// formatName begins every session file.
const formatName = "sessions 1"

// A header is the line of text at the beginning of a session file:
//
//	sessions 1 created=2026-11-20T21:56:59.123456789Z idle-timeout=1209600s lifetime=0s own-idle-timeout=2592000s authenticated=2026-11-20T21:56:59Z owner=<tag> private=true codec=json sealed=true
//
// followed by what package slotfile adds. The last fields stand there only when
// they say something.
type header struct {
	created time.Time

	// The longest timeouts of the stores that have written the file: with
	// them, a pruner that is told nothing knows when the session has ended in
	// all of those.
	timeouts

	// The session's own timeouts, zero for none. The file is marked when there
	// is one (see package slotfile).
	own timeouts

	authenticatedAt time.Time
	persistence     Persistence

	owner   string // ownerKey.tag
	private bool   // the payload begins with a line of its own; see payload
	codec   string
	sealed  bool
}

func (h header) append(dst []byte) []byte {
	dst = append(dst, formatName...)
	dst = h.created.UTC().AppendFormat(append(dst, " created="...), time.RFC3339Nano)
	dst = appendDuration(append(dst, " idle-timeout="...), h.idle)
	dst = appendDuration(append(dst, " lifetime="...), h.lifetime)
	if h.own.idle > 0 {
		dst = appendDuration(append(dst, " own-idle-timeout="...), h.own.idle)
	}
	if h.own.lifetime > 0 {
		dst = appendDuration(append(dst, " own-lifetime="...), h.own.lifetime)
	}
	if !h.authenticatedAt.IsZero() {
		dst = h.authenticatedAt.UTC().AppendFormat(append(dst, " authenticated="...), time.RFC3339Nano)
	}
	if h.persistence > 0 {
		dst = strconv.AppendUint(append(dst, " persistence="...), uint64(h.persistence), 10)
	}
	if h.owner != "" {
		dst = append(append(dst, " owner="...), h.owner...)
	}
	if h.private {
		dst = append(dst, " private=true"...)
	}
	dst = append(append(dst, " codec="...), h.codec...)
	if h.sealed {
		dst = append(dst, " sealed=true"...)
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

func parseHeader(meta string) (h header, ok bool) {
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
	return h, !h.created.IsZero() && h.codec != ""
}

// set takes over one pair. A name that is not known is of a later version that
// still calls itself 1, and so can be left aside.
func (h *header) set(name, value string) bool {
	var err error
	switch name {
	case "created":
		h.created, err = time.Parse(time.RFC3339Nano, value)
	case "idle-timeout":
		h.idle, err = parseDuration(value)
	case "lifetime":
		h.lifetime, err = parseDuration(value)
	case "own-idle-timeout":
		h.own.idle, err = parseDuration(value)
	case "own-lifetime":
		h.own.lifetime, err = parseDuration(value)
	case "authenticated":
		h.authenticatedAt, err = time.Parse(time.RFC3339Nano, value)
	case "persistence":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 8)
		h.persistence = Persistence(n)
	case "private":
		h.private = value == "true"
	case "owner":
		h.owner = value
	case "codec":
		h.codec = value
	case "sealed":
		h.sealed = value == "true"
	}
	return err == nil
}

// parseDuration reads what appendDuration wrote.
func parseDuration(text string) (time.Duration, error) {
	if text == "0s" { // the usual one
		return 0, nil
	}
	return time.ParseDuration(text)
}

// header returns the header of a record that this store is the first to write.
func (st *FilesystemSessionStore) header(rec *Record, tag string) header {
	return header{
		created:  rec.Created,
		timeouts: st.timeouts,
		own:      timeouts{rec.IdleTimeout, rec.Lifetime},
		owner:    tag,
		private:  rec.isPrivate(),

		authenticatedAt: rec.AuthenticatedAt,
		persistence:     rec.Persistence,
		codec:           rec.Codec,
		sealed:          st.opts.Sealer != nil,
	}
}

// isPrivate reports whether a record has what belongs into no header.
func (rec *Record) isPrivate() bool { return rec.Owner != "" || rec.Meta != "" }

// privateLine has one space, and no line break.
func (rec *Record) privateLine() string {
	return "owner=" + url.QueryEscape(rec.Owner) + " meta=" + url.QueryEscape(rec.Meta) + "\n"
}

// cutPrivate reads what privateLine made, and returns the rest.
func (rec *Record) cutPrivate(payload string) (data string, ok bool) {
	line, data, ok := strings.Cut(payload, "\n")
	owner, meta, ok2 := strings.Cut(line, " ")
	owner, ok3 := strings.CutPrefix(owner, "owner=")
	meta, ok4 := strings.CutPrefix(meta, "meta=")
	var err, err2 error
	rec.Owner, err = url.QueryUnescape(owner)
	rec.Meta, err2 = url.QueryUnescape(meta)
	return data, ok && ok2 && ok3 && ok4 && err == nil && err2 == nil
}

// payload returns what a file with the header's text meta holds of a record: who
// its owner is and what was noted, if anything, as a line of its own, then the
// values.
func (st *FilesystemSessionStore) payload(rec *Record, meta, name string) (string, error) {
	payload, err := st.sealed(rec, meta, name)
	if err == nil && len(payload) > st.opts.MaxSize {
		return "", fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(payload), st.opts.MaxSize)
	}
	return payload, err
}

// sealed is payload without the limit, which may have been larger when the record
// was stored.
func (st *FilesystemSessionStore) sealed(rec *Record, meta, name string) (string, error) {
	payload := rec.Data
	if rec.isPrivate() {
		payload = rec.privateLine() + payload
	}
	if st.opts.Sealer == nil {
		return payload, nil
	}
	sealed, err := st.opts.Sealer.Seal([]byte(payload), st.sealContext(name, meta))
	return string(sealed), err
}

// sealContext is what a seal is bound to: the session's ID, or its hash, and the
// header, which would otherwise let whoever can write the file prolong it.
func (st *FilesystemSessionStore) sealContext(name, meta string) string {
	return st.key(name) + "\n" + meta
}

var (
	errSealed    = corrupt("it is sealed, and the store has no Sealer")
	errNotSealed = corrupt("it is not sealed, and the store has a Sealer")
	errSeal      = corrupt("its seal does not open")
)

func isSealError(err error) bool {
	return errors.Is(err, errSealed) || errors.Is(err, errNotSealed) || errors.Is(err, errSeal)
}

// decode is the inverse of payload. The owner is the payload's: the checksum, or
// the seal, vouches for both, and the header's tag is there to find a session by.
// With an error the record is damaged and has the header's times.
func (st *FilesystemSessionStore) decode(h header, meta, name, payload string) (Record, error) {
	data, err := st.unsealed(h, meta, name, payload)
	if err != nil {
		return Record{Created: h.created, IdleTimeout: h.own.idle, Lifetime: h.own.lifetime, Damaged: true}, err
	}
	rec := Record{
		Version: meta, Codec: h.codec, Created: h.created, IdleTimeout: h.own.idle, Lifetime: h.own.lifetime,
		AuthenticatedAt: h.authenticatedAt, Persistence: h.persistence, Data: data,
	}
	if h.private {
		data, ok := rec.cutPrivate(rec.Data)
		if !ok || (rec.Owner == "") != (h.owner == "") {
			return Record{Damaged: true}, corrupt("the owner is not the header's")
		}
		rec.Data = data
	}
	return rec, nil
}

// unsealed is the inverse of sealed. Bytes that are sealed when they should not be,
// or the other way round, are refused like any others that do not open.
func (st *FilesystemSessionStore) unsealed(h header, meta, name, payload string) (string, error) {
	switch {
	case h.sealed && st.opts.Sealer == nil:
		return "", errSealed
	case !h.sealed && st.opts.Sealer != nil:
		return "", errNotSealed
	case !h.sealed:
		return payload, nil
	}
	opened, err := st.opts.Sealer.Open([]byte(payload), st.sealContext(name, meta))
	if err != nil {
		return "", errSeal
	}
	return string(opened), nil
}

// isSealedNow reports whether Seal would seal it as it is sealed: under a key
// that is to go, it would not. A Sealer that cannot tell has one key.
func (st *FilesystemSessionStore) isSealedNow(payload []byte) bool {
	sealer, ok := st.opts.Sealer.(RotatingSealer)
	return !ok || sealer.Current(payload)
}

func corrupt(why string) error { return fmt.Errorf("%w: %s", ErrCorrupt, why) }
