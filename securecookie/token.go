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

// A token is a session as it is in a cookie.
type token struct {
	id     string
	record sessions.Record
	issued time.Time
}

// appendSession appends what is sealed of a session: the layout that the
// package comment describes.
func appendSession(dst []byte, id string, rec *sessions.Record) ([]byte, error) {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != sessionIDSize {
		return nil, sessions.ErrForeign
	}
	if dst == nil {
		dst = make([]byte, 0, sessionOverhead+len(rec.Owner)+len(rec.Data))
	}
	dst = append(append(dst, sessionLayout1), raw...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(rec.Created.UnixNano()))
	dst = binary.AppendUvarint(dst, uint64(rec.MaxAge/time.Second))
	dst = appendText(dst, rec.Owner)
	dst = appendText(dst, rec.Codec)
	return append(dst, rec.Data...), nil
}

// sessionOverhead is what the layout takes at most, in bytes, beside owner and
// values: layout, ID, creation, three uvarints, the codec's name.
const sessionOverhead = 1 + sessionIDSize + 8 + 3*binary.MaxVarintLen64 + 16

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// parseSession reads what appendSession wrote. That this was sealed does not make it right: another
// program may share the keys.
func parseSession(b []byte) (token, bool) {
	const fixed = 1 + sessionIDSize + 8
	if len(b) < fixed || b[0] != sessionLayout1 {
		return token{}, false
	}
	t := token{id: hex.EncodeToString(b[1 : 1+sessionIDSize])}
	t.record.Created = time.Unix(0, int64(binary.BigEndian.Uint64(b[1+sessionIDSize:]))).UTC()
	seconds, n := binary.Uvarint(b[fixed:])
	if n <= 0 || seconds > math.MaxInt64/uint64(time.Second) {
		return token{}, false
	}
	t.record.MaxAge = time.Duration(seconds) * time.Second
	owner, b, ok := cutText(b[fixed+n:])
	name, b, ok2 := cutText(b)
	if !ok || !ok2 {
		return token{}, false
	}
	t.record.Owner, t.record.Codec, t.record.Data = string(owner), string(name), string(b)
	return t, true
}

// cutText returns the text that b begins with, and what follows it.
func cutText(b []byte) (text, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(size)], b[n+int(size):], true
}
