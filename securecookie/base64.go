package securecookie

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// Base64url without padding, RFC 4648 section 5, with one text for any
// bytes. Package encoding/base64 skips CR and LF in all places, in strict mode too,
// so that a sealed cookie could be changed and still open. It also took most of the
// time of sealing and opening: its loops are for every alphabet, and these take less
// than half the time. The text is public, so the tables need not be safe against
// timing.

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// badChar, in a decodeTable's entry, is above the 24 bits of four characters.
const badChar = 0xff000000

// decodeTable has the value of a character in each of the four places of a
// group, shifted to where the group has it.
var decodeTable = func() (table [4][256]uint32) {
	for place := range table {
		for c := range table[place] {
			table[place][c] = badChar
		}
		for v := range base64Alphabet {
			table[place][base64Alphabet[v]] = uint32(v) << (18 - 6*place)
		}
	}
	return table
}()

// encodeTable has two characters for twelve bits, the first in the low byte.
var encodeTable = func() (table [1 << 12]uint16) {
	for v := range table {
		table[v] = uint16(base64Alphabet[v>>6]) | uint16(base64Alphabet[v&63])<<8
	}
	return table
}()

// decodedLen is the number of bytes in n characters.
func decodedLen(n int) int { return n/4*3 + n%4*3/4 }

// encodedLen is the number of characters for n bytes.
func encodedLen(n int) int { return base64.RawURLEncoding.EncodedLen(n) }

// appendDecode appends the bytes that text encodes to dst. It fails with
// [ErrInvalid] on every text that [appendEncode] would not have written.
func appendDecode(dst []byte, text string) ([]byte, error) {
	start, size := len(dst), decodedLen(len(text))
	dst = slices.Grow(dst, size)[:start+size]
	out, t, bad := dst[start:], &decodeTable, uint32(0)
	for len(text) >= 16 && len(out) >= 14 {
		a := t[0][text[0]] | t[1][text[1]] | t[2][text[2]] | t[3][text[3]]
		b := t[0][text[4]] | t[1][text[5]] | t[2][text[6]] | t[3][text[7]]
		binary.BigEndian.PutUint64(out, uint64(a)<<40|uint64(b)<<16)
		c := t[0][text[8]] | t[1][text[9]] | t[2][text[10]] | t[3][text[11]]
		d := t[0][text[12]] | t[1][text[13]] | t[2][text[14]] | t[3][text[15]]
		binary.BigEndian.PutUint64(out[6:], uint64(c)<<40|uint64(d)<<16)
		bad |= a | b | c | d
		out, text = out[12:], text[16:]
	}
	for len(text) >= 4 {
		v := t[0][text[0]] | t[1][text[1]] | t[2][text[2]] | t[3][text[3]]
		bad |= v
		out[0], out[1], out[2] = byte(v>>16), byte(v>>8), byte(v)
		out, text = out[3:], text[4:]
	}
	switch len(text) {
	case 1:
		bad = badChar // six bits are no byte
	case 2:
		v := t[0][text[0]] | t[1][text[1]]
		bad |= v | v<<16 // the last 16 bits must be zero
		out[0] = byte(v >> 16)
	case 3:
		v := t[0][text[0]] | t[1][text[1]] | t[2][text[2]]
		bad |= v | v<<24 // the last 8 bits must be zero
		out[0], out[1] = byte(v>>16), byte(v>>8)
	}
	if bad&badChar != 0 {
		return dst[:start], ErrInvalid
	}
	return dst, nil
}

// appendEncode appends the text of src to dst.
func appendEncode(dst, src []byte) []byte {
	start, size := len(dst), encodedLen(len(src))
	dst = slices.Grow(dst, size)[:start+size]
	out := dst[start:]
	for len(src) >= 8 && len(out) >= 8 {
		v := binary.BigEndian.Uint64(src)
		binary.LittleEndian.PutUint64(out, uint64(encodeTable[v>>52])|
			uint64(encodeTable[v>>40&0xfff])<<16|
			uint64(encodeTable[v>>28&0xfff])<<32|
			uint64(encodeTable[v>>16&0xfff])<<48)
		out, src = out[8:], src[6:]
	}
	base64.RawURLEncoding.Encode(out, src)
	return dst
}
