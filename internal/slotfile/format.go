package slotfile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
)

// The file, in bytes:
//
//	0                  header: "<meta> slot=<n> sum=<16 hex>\n", spaces, "\n"
//	headerSize         slot A: "slot <sequence> <length> live <sum>\n", payload, "\n", spaces
//	headerSize + n     slot B: the same, or spaces while nothing was written there
//
// The header is written once, before the file gets its name. A slot starts on
// a sector, which a disk writes whole or not at all.
const (
	sector     = 512
	headerSize = sector

	// slotHead is "slot " + 16 hex digits + " " + 8 hex digits + " live " + 16 hex digits + "\n".
	slotHead   = 5 + 16 + 1 + 8 + 6 + 16 + 1
	slotSummed = slotHead - 17 // what stands before the sum, and is covered by it

	headerSumLen = len(" sum=") + 16

	// MaxMeta bounds the header's text, in bytes.
	MaxMeta = headerSize - headerSumLen - len(" slot=2147483647\n\n")
)

var (
	blankSlot  = bytes.Repeat([]byte{' '}, slotHead)
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// slotSizeFor gives the size of slots that hold a payload of n bytes: the
// smallest with which header and slots fill 4096 bytes, or twice, four times
// … as much, so that the usual session is one block of its file system.
func slotSizeFor(n int) int {
	size := 2048 - headerSize/2 - sector/2 // 1536
	for size < slotHead+n+1 {
		size = (size+sector)*2 - sector
	}
	return size
}

// sum is a checksum of 64 bits: two CRC-32s of different polynomials, which
// together are one CRC of degree 64. Both have instructions of their own on
// amd64 and arm64, so it costs a sixth of hash/crc64.
func sum(head, payload []byte) uint64 {
	c := crc32.Update(crc32.Update(0, castagnoli, head), castagnoli, payload)
	i := crc32.Update(crc32.Update(0, crc32.IEEETable, head), crc32.IEEETable, payload)
	return uint64(c)<<32 | uint64(i)
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

// parseHeader reads what appendHeader wrote. The text aliases b.
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
	valid   bool
	dead    bool // a tombstone: the record was removed
	payload []byte
}

// appendSlot appends a slot without the spaces behind it.
func appendSlot(dst []byte, seq uint64, dead bool, payload string) []byte {
	start := len(dst)
	dst = append(dst, "slot "...)
	dst = appendHex64(dst, seq)
	dst = append(dst, ' ')
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(payload)))
	dst = hex.AppendEncode(dst, n[:])
	if dead {
		dst = append(dst, " dead "...)
	} else {
		dst = append(dst, " live "...)
	}
	summed := len(dst)
	dst = append(dst, "0123456789abcdef\n"...) // the sum's place
	dst = append(dst, payload...)
	appendHex64(dst[summed:summed], sum(dst[start:summed], dst[start+slotHead:]))
	return append(dst, '\n')
}

// parseSlot reads what appendSlot wrote from the bytes of a slot, which may be
// anything. The payload aliases b.
func parseSlot(b []byte) slot {
	if len(b) < slotHead {
		return slot{}
	}
	if bytes.Equal(b[:slotHead], blankSlot) {
		return slot{valid: true}
	}
	head := b[:slotSummed]
	seq, okSeq := parseHex64(b[5:21])
	var n [4]byte
	_, err := hex.Decode(n[:], b[22:30])
	want, okSum := parseHex64(b[slotSummed : slotHead-1])
	length := uint64(binary.BigEndian.Uint32(n[:]))
	if !okSeq || err != nil || !okSum || seq == 0 || length > uint64(len(b)-slotHead) {
		return slot{}
	}
	payload := b[slotHead : slotHead+int(length)]
	if sum(head, payload) != want {
		return slot{}
	}
	return slot{seq: seq, valid: true, dead: string(head[30:]) == " dead ", payload: payload}
}

// pad appends spaces up to the given length.
func pad(b []byte, length int) []byte {
	for len(b) < length {
		b = append(b, blankSlot[:min(len(blankSlot), length-len(b))]...)
	}
	return b
}

// appendFile appends a whole new file: the header, the payload in slot A, and
// slot B blank but written, so that its blocks are there when the disk is full.
func appendFile(dst, meta []byte, seq uint64, payload string) ([]byte, error) {
	start, size := len(dst), slotSizeFor(len(payload))
	dst, err := appendHeader(dst, meta, size)
	if err != nil {
		return dst, err
	}
	dst = appendSlot(dst, seq, false, payload)
	return pad(dst, start+headerSize+2*size), nil
}

// An image is a file as one read saw it. It aliases the buffer that was read.
type image struct {
	meta     []byte // the header's text
	slotSize int
	slots    [2]slot
}

// parseSlots fills in the slots from a file's bytes, of which there may be too few.
func (img *image) parseSlots(b []byte) {
	for i := range img.slots {
		from := min(headerSize+i*img.slotSize, len(b))
		to := min(from+img.slotSize, len(b))
		img.slots[i] = parseSlot(b[from:to])
	}
}

// newest gives the index of the slot that is the record, or -1 when neither
// slot is valid or nothing was ever written.
func (img *image) newest() int {
	best := -1
	for i, s := range img.slots {
		if s.valid && s.seq > 0 && (best < 0 || s.seq > img.slots[best].seq) {
			best = i
		}
	}
	return best
}

// intact says that both slots are whole: no save was under way or was broken off.
func (img *image) intact() bool { return img.slots[0].valid && img.slots[1].valid }
