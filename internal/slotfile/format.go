package slotfile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/bits"
	"strconv"
)

// The file, in bytes:
//
//	0                  header: "<meta> slot=<n> sum=<16 hex>\n", spaces, "\n"
//	headerSize         slot A: "slot <sequence> <length> live <check> <sum>\n", payload, "\n", spaces
//	headerSize + n     slot B: the same, or spaces while nothing was written there
//	headerSize + 2n    in a marked file: a sector of spaces
//
// The header is written once, before the file gets its name. A slot starts on
// a sector, which a disk writes whole or not at all.
const (
	sector     = 512
	headerSize = sector

	// slotHead is "slot " + 16 hex digits + " " + 8 hex digits + " live ", of
	// which the check is a checksum, + 8 hex digits + " " + 16 hex digits + "\n".
	slotChecked = 5 + 16 + 1 + 8 + 6
	slotHead    = slotChecked + 8 + 1 + 16 + 1

	headerSumLen = len(" sum=") + 16

	// MaxMeta bounds the header's text, in bytes.
	MaxMeta = headerSize - headerSumLen - len(" slot=2147483647\n\n")
)

var (
	blankSlot  = bytes.Repeat([]byte{' '}, slotHead)
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// slotSizeFor returns the size of slots that hold a payload of n bytes: the
// smallest with which header and slots fill 4096 bytes, or twice, four times
// … as much, so that the usual session is one block of its file system.
func slotSizeFor(n int) int {
	size := 2048 - headerSize/2 - sector/2 // 1536
	for size < slotHead+n+1 {
		size = (size+sector)*2 - sector
	}
	return size
}

// isRoomy reports whether slots of that size are at least four times as large as
// the payload needs: it then moves into a file with smaller ones.
//
// With a quarter, a record whose size varies by less than a factor of two moves
// at most once: it moves up when it needs more than a slot, and down when it needs
// less than half of one. A file that is twice as large as needed costs a reader
// little.
func isRoomy(slotSize, payload int) bool {
	return slotSize+sector >= 4*(slotSizeFor(payload)+sector)
}

// A SizeKind is the kind of a file by its size.
type SizeKind int

const (
	OtherSize    SizeKind = iota // not the size of a record's file
	UnmarkedSize                 // 3584, 7680, 15872 bytes and so on
	MarkedSize                   // 4096, 8192, 16384 bytes and so on
)

// SizeOf returns the kind of a file of n bytes. A file gets all of its slots when
// it is made and keeps its size. A marked file has a blank sector behind its
// slots: a search for marked files need not open the others. A copy of the file
// has the mark, too, unlike a mode bit or an attribute.
func SizeOf(n int64) SizeKind {
	switch {
	case isBlocks(n + sector):
		return UnmarkedSize
	case isBlocks(n):
		return MarkedSize
	}
	return OtherSize
}

func isBlocks(n int64) bool { return n >= 4096 && bits.OnesCount64(uint64(n)) == 1 }

// sum is a checksum of 64 bits: two CRC-32s of different polynomials, which
// together are one CRC of degree 64. Both have instructions of their own on
// amd64 and arm64, which hash/crc64 has not.
func sum(head, payload []byte) uint64 {
	c := crc32.Update(crc32.Update(0, castagnoli, head), castagnoli, payload)
	i := crc32.Update(crc32.Update(0, crc32.IEEETable, head), crc32.IEEETable, payload)
	return uint64(c)<<32 | uint64(i)
}

func appendHex32(dst []byte, v uint32) []byte {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return hex.AppendEncode(dst, b[:])
}

func parseHex32(src []byte) (uint32, bool) {
	var b [4]byte
	n, err := hex.Decode(b[:], src)
	return binary.BigEndian.Uint32(b[:]), err == nil && n == len(b)
}

func appendHex64(dst []byte, v uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return hex.AppendEncode(dst, b[:])
}

func parseHex64(src []byte) (uint64, bool) {
	var b [8]byte
	n, err := hex.Decode(b[:], src)
	return binary.BigEndian.Uint64(b[:]), err == nil && n == len(b)
}

// appendHeader appends the first headerSize bytes of a file.
func appendHeader(dst, meta []byte, slotSize int) ([]byte, error) {
	if len(meta) > MaxMeta || bytes.IndexByte(meta, '\n') >= 0 {
		return dst, fmt.Errorf("slotfile: header text of more than %d bytes, or with a line break", MaxMeta)
	}
	start := len(dst)
	dst = append(dst, meta...)
	dst = append(dst, " slot="...)
	dst = strconv.AppendInt(dst, int64(slotSize), 10)
	s := sum(dst[start:], nil)
	dst = append(dst, " sum="...)
	dst = append(appendHex64(dst, s), '\n')
	dst = pad(dst, start+headerSize-1)
	return append(dst, '\n'), nil
}

// parseHeader reads a header written by appendHeader. The text aliases b.
func parseHeader(b []byte) (meta []byte, slotSize int, ok bool) {
	if len(b) < headerSize {
		return nil, 0, false
	}
	end := bytes.IndexByte(b[:headerSize], '\n')
	if end < headerSumLen {
		return nil, 0, false
	}
	line, sumText := b[:end-headerSumLen], b[end-16:end]
	want, ok := parseHex64(sumText)
	if !ok || sum(line, nil) != want {
		return nil, 0, false
	}
	at := bytes.LastIndexByte(line, ' ')
	size, found := bytes.CutPrefix(line[at+1:], []byte("slot="))
	if at < 0 || !found {
		return nil, 0, false
	}
	slotSize, err := strconv.Atoi(string(size))
	if err != nil || slotSize < sector || slotSize%sector != 0 {
		return nil, 0, false
	}
	return line[:at], slotSize, true
}

// A slot is one version of the record, or a torn attempt at one.
type slot struct {
	seq     uint64 // of the save that wrote it, counted from 1; zero: nothing was written yet
	valid   bool   // the head is whole
	dead    bool   // a tombstone: the record was removed
	head    []byte // up to the check
	payload []byte
	sum     uint64 // that head and payload should have
}

// whole reports whether the payload is, too.
func (s *slot) whole() bool { return s.seq > 0 && sum(s.head, s.payload) == s.sum }

// appendSlot appends a slot without the spaces behind it.
func appendSlot(dst []byte, seq uint64, dead bool, payload string) []byte {
	start := len(dst)
	dst = append(dst, "slot "...)
	dst = appendHex64(dst, seq)
	dst = append(dst, ' ')
	dst = appendHex32(dst, uint32(len(payload)))
	if dead {
		dst = append(dst, " dead "...)
	} else {
		dst = append(dst, " live "...)
	}
	head := dst[start:]
	dst = appendHex32(dst, crc32.Checksum(head, castagnoli))
	dst = append(dst, ' ')
	sumAt := len(dst)
	dst = append(dst, "0123456789abcdef\n"...) // the sum's place
	dst = append(dst, payload...)
	appendHex64(dst[sumAt:sumAt], sum(dst[start:start+slotChecked], dst[start+slotHead:]))
	return append(dst, '\n')
}

// parseSlot reads a slot written by appendSlot. The bytes may be anything. It does
// not check the payload. The result aliases b.
func parseSlot(b []byte) slot {
	if len(b) < slotHead {
		return slot{}
	}
	if bytes.Equal(b[:slotHead], blankSlot) {
		return slot{valid: true}
	}
	head := b[:slotChecked]
	seq, okSeq := parseHex64(head[5:21])
	length, okLength := parseHex32(head[22:30])
	check, okCheck := parseHex32(b[slotChecked : slotChecked+8])
	want, okSum := parseHex64(b[slotChecked+9 : slotHead-1])
	if !okSeq || !okLength || !okCheck || !okSum || check != crc32.Checksum(head, castagnoli) ||
		seq == 0 || uint64(length) > uint64(len(b)-slotHead) {
		return slot{}
	}
	return slot{
		seq:     seq,
		valid:   true,
		dead:    string(head[30:]) == " dead ",
		head:    head,
		payload: b[slotHead : slotHead+int(length)],
		sum:     want,
	}
}

// pad appends spaces up to the given length.
func pad(b []byte, length int) []byte {
	for len(b) < length {
		b = append(b, blankSlot[:min(len(blankSlot), length-len(b))]...)
	}
	return b
}

// appendFile appends a whole new file: the header, the payload in slot A, slot B
// blank but written, so that its blocks are there when the disk is full, and the
// mark.
func appendFile(dst, meta []byte, seq uint64, payload string, marked bool) ([]byte, error) {
	start, size := len(dst), slotSizeFor(len(payload))
	dst, err := appendHeader(dst, meta, size)
	if err != nil {
		return dst, err
	}
	dst = appendSlot(dst, seq, false, payload)
	end := start + headerSize + 2*size
	if marked {
		end += sector
	}
	return pad(dst, end), nil
}

// An image is a file as one read saw it. It aliases the buffer that was read.
type image struct {
	meta     []byte // the header's text
	slotSize int
	slots    [2]slot

	// newest is the index of the slot that is the record: of the whole ones,
	// that with the higher sequence number. It is -1 when there is none.
	newest int

	// torn is set when a slot is not whole, or may not be: a save was under way,
	// or was broken off. The payload of the older slot does not matter: its head,
	// whole and older, shows that no newer save had finished there.
	torn bool
}

// err is the reason why the image is no record: ErrCorrupt, or fs.ErrNotExist for a
// tombstone.
func (img *image) err() error {
	switch {
	case img.newest < 0:
		return ErrCorrupt
	case img.slots[img.newest].dead:
		return fs.ErrNotExist
	}
	return nil
}

// noImage is the image of a damaged file.
var noImage = image{newest: -1, torn: true}

// parseSlots fills in the slots from a file's bytes, of which there may be too few.
func (img *image) parseSlots(b []byte) {
	for i := range img.slots {
		from := min(headerSize+i*img.slotSize, len(b))
		to := min(from+img.slotSize, len(b))
		img.slots[i] = parseSlot(b[from:to])
	}
	newer := 0
	if img.slots[1].seq > img.slots[0].seq {
		newer = 1
	}
	img.newest = -1
	img.torn = !img.slots[0].valid || !img.slots[1].valid
	switch {
	case img.slots[newer].whole():
		img.newest = newer
	case img.slots[1-newer].whole():
		img.newest, img.torn = 1-newer, true
	default:
		img.torn = true
	}
}
