package securecookie

import (
	"time"

	"github.com/sessfs/sessions"
)

// SetNow replaces the clock of a ring that no other goroutine uses yet.
func (r *KeyRing) SetNow(now func() time.Time) { r.now = now }

// XAESSubkey returns the key that XAES-256-GCM derives for a nonce of 24 bytes.
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

// AppendSession writes the sealed data of a session, ParseSession reads it.
var AppendSession = appendSession

func ParseSession(b []byte) (string, sessions.Record, bool) {
	t, ok := parseSession(b)
	return t.id, t.record, ok
}
