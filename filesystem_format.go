package sessions

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/sessfs/sessions/internal/sessionfile"
)

// header returns the header of a record that this store is the first to write.
func (st *FilesystemSessionStore) header(rec *Record, tag string) sessionfile.Header {
	return sessionfile.Header{
		Created:  rec.Created,
		Timeouts: st.timeouts,
		Own:      rec.timeouts(),
		Owner:    tag,
		Private:  rec.isPrivate(),

		AuthenticatedAt: rec.AuthenticatedAt,
		Persistence:     uint8(rec.Persistence),
		Codec:           rec.Codec,
		Sealed:          st.opts.Sealer != nil,
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
func (st *FilesystemSessionStore) payload(rec *Record, meta string, name sessionfile.Name) (string, error) {
	payload, err := st.sealed(rec, meta, name)
	if err == nil && len(payload) > st.opts.MaxSize {
		return "", fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(payload), st.opts.MaxSize)
	}
	return payload, err
}

// sealed is payload without the limit, which may have been larger when the record
// was stored.
func (st *FilesystemSessionStore) sealed(rec *Record, meta string, name sessionfile.Name) (string, error) {
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
func (st *FilesystemSessionStore) sealContext(name sessionfile.Name, meta string) string {
	return name.Key + "\n" + meta
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
func (st *FilesystemSessionStore) decode(h sessionfile.Header, meta string, name sessionfile.Name, payload string) (Record, error) {
	damaged := Record{Created: h.Created, IdleTimeout: h.Own.Idle, Lifetime: h.Own.Lifetime, Damaged: true}
	data, err := st.unsealed(h, meta, name, payload)
	if err != nil {
		return damaged, err
	}
	rec := Record{
		Version: meta, Codec: h.Codec, Created: h.Created, IdleTimeout: h.Own.Idle, Lifetime: h.Own.Lifetime,
		AuthenticatedAt: h.AuthenticatedAt, Persistence: Persistence(h.Persistence), Data: data,
	}
	if h.Private {
		data, ok := rec.cutPrivate(rec.Data)
		if !ok || (rec.Owner == "") != (h.Owner == "") {
			return damaged, corrupt("the owner is not the header's")
		}
		rec.Data = data
	}
	return rec, nil
}

// unsealed is the inverse of sealed. Bytes that are sealed when they should not be,
// or the other way round, are refused like any others that do not open.
func (st *FilesystemSessionStore) unsealed(h sessionfile.Header, meta string, name sessionfile.Name, payload string) (string, error) {
	switch {
	case h.Sealed && st.opts.Sealer == nil:
		return "", errSealed
	case !h.Sealed && st.opts.Sealer != nil:
		return "", errNotSealed
	case !h.Sealed:
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
