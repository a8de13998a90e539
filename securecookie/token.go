package securecookie

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"time"

	"github.com/sessfs/sessions"
)

const (
	sessionIDSize  = 16   // bytes
	sessionLayout1 = 0x01 // the first byte of a session's plaintext
)

// A token is a session from a cookie.
type token struct {
	id     string
	record sessions.Record
	issued time.Time
}

// appendSession appends the data of a session, in the layout of the package comment.
// The error is [sessions.ErrForeign] when the ID is not a carrier's.
func appendSession(dst []byte, id string, rec *sessions.Record) ([]byte, error) {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != sessionIDSize {
		return nil, sessions.ErrForeign
	}
	if dst == nil {
		dst = make([]byte, 0, sessionOverhead+len(rec.Owner)+len(rec.Meta)+len(rec.Data))
	}
	dst = append(append(dst, sessionLayout1), raw...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(rec.Created.UnixNano()))
	dst = append(dst, byte(rec.Persistence))
	dst = binary.AppendUvarint(dst, uint64(unixNano(rec.AuthenticatedAt)))
	dst = binary.AppendUvarint(dst, uint64(rec.IdleTimeout/time.Second))
	dst = binary.AppendUvarint(dst, uint64(rec.Lifetime/time.Second))
	dst = appendText(dst, rec.Owner)
	dst = appendText(dst, rec.Meta)
	dst = appendText(dst, rec.Codec)
	return append(dst, rec.Data...), nil
}

// unixNano is Time.UnixNano, and zero for the zero Time.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// fromUnixNano is the inverse of unixNano.
func fromUnixNano(n uint64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

// sessionFixed is the size of the layout's beginning: layout, ID, creation,
// persistence. sessionOverhead is its greatest size beside owner, meta and values:
// also six uvarints and the codec's name. Both are in bytes.
const (
	sessionFixed    = 1 + sessionIDSize + 8 + 1
	sessionOverhead = sessionFixed + 6*binary.MaxVarintLen64 + 16
)

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// parseSession reads data written by appendSession. Sealed data can be wrong too, when
// another program shares the keys.
func parseSession(b []byte) (t token, ok bool) {
	if len(b) < sessionFixed || b[0] != sessionLayout1 {
		return token{}, false
	}
	id, b := b[1:1+sessionIDSize], b[1+sessionIDSize:]
	t.id = hex.EncodeToString(id)
	t.record.Created = time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()
	t.record.Persistence = sessions.Persistence(b[8])
	authenticated, n := binary.Uvarint(b[9:])
	if n <= 0 {
		return token{}, false
	}
	t.record.AuthenticatedAt = fromUnixNano(authenticated)
	b = b[9+n:]
	for _, d := range []*time.Duration{&t.record.IdleTimeout, &t.record.Lifetime} {
		seconds, n := binary.Uvarint(b)
		if n <= 0 || seconds > math.MaxInt64/uint64(time.Second) {
			return token{}, false
		}
		*d, b = time.Duration(seconds)*time.Second, b[n:]
	}
	for _, text := range []*string{&t.record.Owner, &t.record.Meta, &t.record.Codec} {
		var raw []byte
		if raw, b, ok = cutText(b); !ok {
			return token{}, false
		}
		*text = string(raw)
	}
	t.record.Data = string(b)
	return t, true
}

// cutText returns the text that b begins with, and the rest.
func cutText(b []byte) (text, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(size)], b[n+int(size):], true
}
