package securecookie

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"slices"
)

const (
	deriveSize = 12 // bytes of the nonce that the message's key is derived from
	gcmNonce   = 12 // bytes of the nonce that AES-GCM itself uses
	gcmTag     = 16 // bytes
)

// xaes is XAES-256-GCM under one key, as https://c2sp.org/XAES-256-GCM
// specifies it: a key for each message, derived by CMAC from the first half of
// a 24-byte nonce, and AES-256-GCM with the second half. With nonces of that
// size random ones may be used for any number of messages (2^80 for a chance
// of 2^-32), where AES-GCM's own 12 bytes end at 2^32 messages.
//
// The second half is drawn by [cipher.NewGCMWithRandomNonce]: the only GCM
// that Go's FIPS 140-3 mode lets a program use.
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // CMAC's first subkey, the same for every message
}

// newXAES returns the cipher for a key of 32 bytes.
func newXAES(key []byte) (*xaes, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	x := &xaes{block: block}
	block.Encrypt(x.k1[:], x.k1[:])
	// Doubling in GF(2^128), NIST SP 800-38B section 6.1, without a branch
	// on a secret bit.
	var carry byte
	for i := aes.BlockSize - 1; i >= 0; i-- {
		carry, x.k1[i] = x.k1[i]>>7, x.k1[i]<<1|carry
	}
	x.k1[aes.BlockSize-1] ^= carry * 0x87
	return x, nil
}

// subkey fills key with the key of the message whose nonce begins with derive. The
// memory is the caller's because an argument of a [cipher.Block] escapes to the heap.
func (x *xaes) subkey(key *[32]byte, derive []byte) {
	for i := range 2 {
		m := key[i*aes.BlockSize : (i+1)*aes.BlockSize]
		// Counter, label and context of NIST SP 800-108r1: steps 3 to 5.
		m[0], m[1], m[2], m[3] = 0, byte(i+1), 'X', 0
		copy(m[4:], derive[:deriveSize])
		subtle.XORBytes(m, m, x.k1[:])
		x.block.Encrypt(m, m)
	}
}

// aead returns the AES-256-GCM of one message, which puts its own nonce
// before the ciphertext.
func (x *xaes) aead(key *[32]byte, derive []byte) (cipher.AEAD, error) {
	x.subkey(key, derive)
	defer clear(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal appends nonce, ciphertext and tag to dst. The plaintext may lie in
// dst's own memory, exactly deriveSize bytes behind its end: the GCM appends to
// the derive half, and moves the plaintext out of its nonce's way itself.
func (x *xaes) seal(key *[32]byte, dst, plaintext, additional []byte) ([]byte, error) {
	dst = slices.Grow(dst, deriveSize)
	derive := dst[len(dst) : len(dst)+deriveSize]
	rand.Read(derive) // never fails, by its documentation
	aead, err := x.aead(key, derive)
	if err != nil {
		return nil, err
	}
	return aead.Seal(dst[:len(dst)+deriveSize], nil, plaintext, additional), nil
}

// open returns, in new memory, the data that seal encrypted.
func (x *xaes) open(key *[32]byte, sealed, additional []byte) ([]byte, error) {
	if len(sealed) < deriveSize {
		return nil, ErrInvalid
	}
	aead, err := x.aead(key, sealed[:deriveSize])
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, sealed[deriveSize:], additional)
}
