package sessions

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
)

// A fileFormat turns records into the texts of files, header and payload, and back.
type fileFormat struct {
	timeouts sessionfile.Timeouts // the store's
	sealer   Sealer               // nil for none
	maxSize  int                  // bytes of a payload
	hashed   bool                 // the files are named by hashes of IDs
	headers  sessionfile.Parser
	anyStore bool // sessions have the timeouts of their files; see OpenFilesystemOwners
}

// header returns the header of a record that this store is the first to write.
func (f *fileFormat) header(rec *Record, tag string) sessionfile.Header {
	return sessionfile.Header{
		Created:  rec.Created,
		Timeouts: f.timeouts,
		Own:      rec.timeouts(),
		Owner:    tag,
		Private:  rec.isPrivate(),

		AuthenticatedAt: rec.AuthenticatedAt,
		Persistence:     uint8(rec.Persistence),
		Codec:           rec.Codec,
		Sealed:          f.sealer != nil,
		Hashed:          f.hashed,
	}
}

// isPrivate reports whether a record has attributes that belong into no header.
func (rec *Record) isPrivate() bool { return rec.Owner != "" || rec.Meta != "" }

// privateLine has one space, and no line break.
func (rec *Record) privateLine() string {
	return "owner=" + url.QueryEscape(rec.Owner) + " meta=" + url.QueryEscape(rec.Meta) + "\n"
}

// cutPrivate reads the line of privateLine, and returns the rest.
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

// payload returns the payload of a record in a file with the header's text meta:
// the owner and Meta, if there are any, as a line of their own, then the values.
func (f *fileFormat) payload(rec *Record, meta string, name sessionfile.Name) (string, error) {
	payload, err := f.sealed(rec, meta, name)
	if err == nil && len(payload) > f.maxSize {
		return "", fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(payload), f.maxSize)
	}
	return payload, err
}

// sealed is payload without the limit, which may have been larger when the record
// was stored.
func (f *fileFormat) sealed(rec *Record, meta string, name sessionfile.Name) (string, error) {
	payload := rec.Data
	if rec.isPrivate() {
		payload = rec.privateLine() + payload
	}
	if f.sealer == nil {
		return payload, nil
	}
	sealed, err := f.sealer.Seal([]byte(payload), f.sealContext(name, meta))
	return string(sealed), err
}

// sealContext returns the context that a seal is bound to: the session's ID, or its
// hash, and the header. Without the header, a user who can write the file could
// prolong the session.
func (f *fileFormat) sealContext(name sessionfile.Name, meta string) string {
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
func (f *fileFormat) decode(h *sessionfile.Header, name sessionfile.Name, file slotfile.Record) (rec Record, err error) {
	own := f.ownTimeouts(h)
	rec.Created, rec.IdleTimeout, rec.Lifetime = h.Created, own.Idle, own.Lifetime
	data, err := f.unsealed(h, file.Meta, name, file.Payload)
	if err != nil {
		rec.Damaged = true
		return rec, err
	}
	if h.Private {
		var ok bool
		if data, ok = rec.cutPrivate(data); !ok || (rec.Owner == "") != (h.Owner == "") {
			rec.Owner, rec.Meta, rec.Damaged = "", "", true
			return rec, corrupt("the owner is not the header's")
		}
	}
	rec.Version, rec.Codec, rec.Data = file.Meta, h.Codec, data
	rec.AuthenticatedAt, rec.Persistence = h.AuthenticatedAt, Persistence(h.Persistence)
	if f.hidesChanges(&rec) {
		rec.Version = file.Text()
	}
	return rec, nil
}

// hidesChanges reports whether Data and the header are not all of a record's payload.
// Its Version is then the header's text and the payload, by which a save finds out
// that no other request has saved meanwhile, and need not open a seal. Otherwise it is the
// header's text.
func (f *fileFormat) hidesChanges(rec *Record) bool { return f.sealer != nil || rec.isPrivate() }

// unsealed is the inverse of sealed. Bytes that are sealed when they should not be,
// or the other way round, are refused like any others that do not open.
func (f *fileFormat) unsealed(h *sessionfile.Header, meta string, name sessionfile.Name, payload string) (string, error) {
	switch {
	case h.Sealed && f.sealer == nil:
		return "", errSealed
	case !h.Sealed && f.sealer != nil:
		return "", errNotSealed
	case !h.Sealed:
		return payload, nil
	}
	opened, err := f.sealer.Open([]byte(payload), f.sealContext(name, meta))
	if err != nil {
		return "", errSeal
	}
	return string(opened), nil
}

// isSealedNow reports whether Seal would seal it as it is sealed: under a key
// that is to go, it would not. A Sealer that cannot tell has one key.
func (f *fileFormat) isSealedNow(payload []byte) bool {
	sealer, ok := f.sealer.(RotatingSealer)
	return !ok || sealer.Current(payload)
}

func corrupt(why string) error { return fmt.Errorf("%w: %s", ErrCorrupt, why) }

// readHeader reads the header of a session's file without its lock. The error is
// fs.ErrNotExist or slotfile.ErrCorrupt where there is none.
func readHeader(dir *dirfs.Dir, name string, buf *[]byte) (h sessionfile.Header, info dirfs.Info, err error) {
	file, err := slotfile.NewCandidate(dir, name)
	if err != nil {
		return h, info, err
	}
	defer file.Close()
	if info, err = file.Info(); err != nil {
		return h, info, err
	}
	meta, err := file.Header(buf)
	if err != nil {
		return h, info, err
	}
	h, ok := sessionfile.ParseHeader(string(meta))
	if !ok {
		err = slotfile.ErrCorrupt
	}
	return h, info, err
}

func isMissingOrDamaged(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, slotfile.ErrCorrupt)
}

// ownTimeouts returns the timeouts of a session that come before the store's.
func (f *fileFormat) ownTimeouts(h *sessionfile.Header) sessionfile.Timeouts {
	if f.anyStore {
		return h.Timeouts.With(h.Own)
	}
	return h.Own
}

// hasEnded reports whether a session has expired, by its header and last use.
func (f *fileFormat) hasEnded(h sessionfile.Header, modTime time.Time) bool {
	return f.timeouts.With(f.ownTimeouts(&h)).Ended(time.Now(), h.Created, modTime)
}
