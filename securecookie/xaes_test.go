package securecookie_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/sha3"
	"encoding/hex"
	"io"
	"slices"
	"testing"

	"github.com/sessfs/sessions/securecookie"
)

// The vectors of https://c2sp.org/XAES-256-GCM. In the first the top bit of
// L is clear, in the second it is set.
func TestXAESOpensThePublishedVectors(t *testing.T) {
	nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
	for _, row := range []struct {
		key                    byte
		additional             string
		wantSubkey, ciphertext string
	}{
		{0x01, "", "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{0x03, "c2sp.org/XAES-256-GCM", "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		key := bytes.Repeat([]byte{row.key}, 32)
		subkey, err := securecookie.XAESSubkey(key, nonce)
		if got := hex.EncodeToString(subkey[:]); got != row.wantSubkey || err != nil {
			t.Errorf("key %#x: subkey %s, %v, want %s", row.key, got, err, row.wantSubkey)
		}
		ciphertext, _ := hex.DecodeString(row.ciphertext)
		got, err := securecookie.XAESOpen(key, slices.Concat(nonce, ciphertext), []byte(row.additional))
		if string(got) != "XAES-256-GCM" || err != nil {
			t.Errorf("key %#x: opened %q, %v", row.key, got, err)
		}
	}
}

// The accumulated vectors of the same page: ciphertexts under nonces that
// the test prescribes, hashed. Only the derivation of the key is the package's
// when sealing, since its own Seal draws the nonce.
func TestXAESAgreesWithThePublishedHashOfManyMessages(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("skipped: sealing under a prescribed nonce is not allowed in FIPS 140-3 mode")
	}
	if testing.Short() {
		t.Skip("skipped: -short")
	}
	rng, sum := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	read := func(n int) []byte {
		b := make([]byte, n)
		io.ReadFull(rng, b)
		return b
	}
	for range 10_000 {
		key, nonce := read(32), read(24)
		plaintext := read(int(read(1)[0]))
		additional := read(int(read(1)[0]))
		ciphertext := xaesSeal(t, key, nonce, plaintext, additional)
		got, err := securecookie.XAESOpen(key, slices.Concat(nonce, ciphertext), additional)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("not opened: %v", err)
		}
		sum.Write(ciphertext)
	}
	digest := make([]byte, 32)
	sum.Read(digest)
	if got, want := hex.EncodeToString(digest), "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func xaesSeal(t *testing.T, key, nonce, plaintext, additional []byte) []byte {
	t.Helper()
	subkey, err := securecookie.XAESSubkey(key, nonce)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(subkey[:])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm.Seal(nil, nonce[12:], plaintext, additional)
}

func TestXAESOpenRefusesWhatIsTooShort(t *testing.T) {
	for n := range 40 {
		if got, err := securecookie.XAESOpen(make([]byte, 32), make([]byte, n), nil); err == nil {
			t.Errorf("%d bytes opened as %x", n, got)
		}
	}
}
