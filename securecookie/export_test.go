package securecookie

import (
	"time"

	"github.com/sessfs/sessions"
)

// SetNow replaces the clock of a ring that no other goroutine uses yet.
func (r *KeyRing) SetNow(now func() time.Time) { r.now = now }

// XAESSubkey is the key that XAES-256-GCM derives for a nonce of 24 bytes.
func XAESSubkey(key, nonce []byte) ([32]byte, error) {
	var sub [32]byte
	x, err := newXAES(key)
	if err != nil {
		return sub, err
	}
	x.subkey(&sub, nonce)
	return sub, nil
}

// XAESOpen opens nonce, ciphertext and tag.
func XAESOpen(key, sealed, additional []byte) ([]byte, error) {
	x, err := newXAES(key)
	if err != nil {
		return nil, err
	}
	return x.open(new([32]byte), sealed, additional)
}

// AppendDecode and AppendEncode are the package's base64.
var (
	AppendDecode = appendDecode
	AppendEncode = appendEncode
)

// AppendSession writes what is sealed of a session, ParseSession reads it.
var AppendSession = appendSession

func ParseSession(b []byte, own sessions.Codec) (string, sessions.Codec, sessions.Record, bool) {
	t, ok := parseSession(b, own)
	return t.id, t.codec, t.record, ok
}
