package slotfile

import (
	"bytes"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
)

// Kept are the files of one Files that are used again and again. They stay open. The zero
// value has none yet.
//
// Each use asks the system where the name leads, as openat(2) would, and takes the open
// file if it leads there: one fstatat in place of openat, fstat and close. Bytes that
// are those of the use before were checked then, and need not be taken apart. Nothing
// else is trusted: neither times, nor that an open file has its name, so that a file
// that another process removes or replaces is never used.
//
// A file that another process, or a pruner, has removed keeps its blocks while it is
// here: until its name is asked for, or about a hundred other files have come.
type Kept struct {
	sets [keptSets]keptSet
	hand atomic.Uint32 // the set whose turn it was last, see tidy and makeRoom
}

const (
	keptSets = 128
	keptWays = 16

	// keptSize is the largest size of a file that is kept, in bytes: that of the
	// usual session. A larger one takes longer to read than to open.
	keptSize = 4096
)

// keptOpen is how many files the process keeps, in all directories.
var keptOpen atomic.Int64

// A keptSet has the kept files whose names have one hash.
type keptSet struct {
	mu     sync.Mutex
	closed bool
	files  [keptWays]*keptFile
	tags   [keptWays]uint32 // of files' names

	// The tags of names that were used lately, and the oldest of them: a file is kept at
	// its second use, so that those which are used once do not drive the others out.
	used   [keptWays]uint32
	oldest uint8
}

// A keptFile is an open file.
type keptFile struct {
	name     string
	file     dirfs.File
	writable bool
	info     dirfs.Info   // when it was opened
	users    atomic.Int32 // the set, and those who use it now; the last one closes it
	image    atomic.Pointer[keptImage]
}

var keptSeed = maphash.MakeSeed()

func (k *Kept) set(name string) (s *keptSet, tag uint32) {
	h := maphash.String(keptSeed, name)
	return &k.sets[h%keptSets], uint32(h >> 32)
}

// take returns the file of that name, nil when it is not kept, or not for writing. It
// must be released.
func (k *Kept) take(name string, writable bool) *keptFile {
	s, tag := k.set(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.index(name, tag); i >= 0 && (s.files[i].writable || !writable) {
		s.files[i].users.Add(1)
		return s.files[i]
	}
	return nil
}

func (f *keptFile) release() {
	if f.users.Add(-1) == 0 {
		f.file.Close()
		keptOpen.Add(-1)
	}
}

func (s *keptSet) index(name string, tag uint32) int {
	for i, t := range s.tags {
		if t == tag && s.files[i] != nil && s.files[i].name == name {
			return i
		}
	}
	return -1
}

// wants reports whether a file that was used is worth keeping. In a full set few are:
// more files than there is room for would drive each other out before their next use.
func (k *Kept) wants(name string, writable bool) bool {
	s, tag := k.set(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.index(name, tag); i >= 0 {
		return writable && !s.files[i].writable
	}
	if slices.Contains(s.used[:], tag) {
		return !s.closed && (slices.Contains(s.files[:], nil) || rand.IntN(keptWays) == 0)
	}
	s.used[s.oldest%keptWays] = tag
	s.oldest++
	return false
}

// add keeps a file, which nobody has locked, and reports whether it did.
func (k *Kept) add(name string, file dirfs.File, writable bool) bool {
	spare := int64(file.Spare())
	if open := keptOpen.Load(); open >= spare {
		if open == 0 || rand.IntN(keptWays) > 0 { // seldom, as in a full set
			return false
		}
		k.makeRoom()
	}
	info, err := file.Stat()
	if err != nil || info.Inode == 0 || info.Links == 0 || info.Size > keptSize || !info.Mode.IsRegular() {
		return false
	}
	k.tidy()
	s, tag := k.set(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.index(name, tag)
	switch {
	case s.closed, at >= 0 && (s.files[at].writable || !writable): // another goroutine was faster
		return false
	case at < 0:
		at = slices.Index(s.files[:], nil)
	}
	if at < 0 {
		at = rand.IntN(keptWays)
	}
	s.drop(at)
	if keptOpen.Add(1) > spare {
		keptOpen.Add(-1)
		return false
	}
	f := &keptFile{name: name, file: file, writable: writable, info: info}
	f.users.Store(1)
	s.files[at], s.tags[at] = f, tag
	return true
}

// tidy ends the keeping of the files of one set that were removed. The sets take turns.
func (k *Kept) tidy() {
	s := &k.sets[k.hand.Add(1)%keptSets]
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, f := range s.files {
		if f == nil {
			continue
		}
		if info, err := f.file.Stat(); err != nil || info.Links == 0 {
			s.drop(at)
		}
	}
}

// makeRoom ends the keeping of one file. The sets take turns, so that where few files
// are kept, none of them stays for ever.
func (k *Kept) makeRoom() {
	for range keptSets {
		if k.sets[k.hand.Add(1)%keptSets].makeRoom() {
			return
		}
	}
}

func (s *keptSet) makeRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, f := range s.files {
		if f != nil {
			s.drop(at)
			return true
		}
	}
	return false
}

// remove ends the keeping of the file of that name. A nil k keeps none.
func (k *Kept) remove(name string) {
	if k == nil {
		return
	}
	s, tag := k.set(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.index(name, tag); at >= 0 {
		s.drop(at)
	}
}

func (s *keptSet) drop(at int) {
	if f := s.files[at]; f != nil {
		s.files[at] = nil
		f.release()
	}
}

// clear ends the keeping of all files, and with closed, that of files to come. It
// returns how many there were.
func (k *Kept) clear(closed bool) (n int) {
	if k == nil {
		return 0
	}
	for i := range k.sets {
		s := &k.sets[i]
		s.mu.Lock()
		s.closed = s.closed || closed
		for at := range s.files {
			if s.files[at] != nil {
				n++
			}
			s.drop(at)
		}
		s.mu.Unlock()
	}
	return n
}

// Relieve closes the files that are kept open, and reports whether there were any.
func (s *Files) Relieve() bool { return s.Kept.clear(false) > 0 }

// read reads the record of that name if its file is kept, and all is well with it.
func (k *Kept) read(dir *dirfs.Dir, name string) (Record, bool) {
	f := k.take(name, false)
	if f == nil {
		return Record{}, false
	}
	defer f.release()
	info, found := f.named(dir)
	if !found {
		k.remove(name)
		return Record{}, false
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	b, err := f.read(buf)
	if err != nil {
		return Record{}, false
	}
	img := f.imageOf(b)
	if img == nil {
		return Record{}, false
	}
	rec := img.record
	rec.ModTime = info.ModTime
	return rec, true
}

// named describes the file if it has its name, and is as it was when it was opened.
func (f *keptFile) named(dir *dirfs.Dir) (dirfs.Info, bool) {
	info, err := dir.Lstat(f.name)
	was := f.info
	return info, err == nil && info.Inode == was.Inode && info.Device == was.Device && info.Mode == was.Mode && info.UID == was.UID
}

// read returns the file's bytes, in *buf.
func (f *keptFile) read(buf *[]byte) ([]byte, error) {
	b := (*buf)[:keptSize]
	n, err := f.file.ReadAt(b, 0)
	return b[:n], err
}

// imageOf returns the image of the file's bytes, nil for any other than those of a whole
// file that is not being written.
func (f *keptFile) imageOf(b []byte) *keptImage {
	if img := f.image.Load(); img != nil && img.isOf(b) {
		return img
	}
	img := newKeptImage(b)
	if img != nil {
		f.image.Store(img)
	}
	return img
}

// A keptImage is the content of a file when it was read or written last: the header, the
// slot that is the record, and the head of the other one. The payload of that does not
// matter, see image.torn.
type keptImage struct {
	record   Record
	derived  atomic.Value // see Record
	fields   string       // the header's line behind Meta
	slotSize int
	newest   int
	slots    [2]keptSlot
}

// A keptSlot is a slot without its payload, of which it has the length.
type keptSlot struct {
	seq     uint64
	payload int
	dead    bool
	head    [slotHead]byte
}

func newKeptImage(b []byte) *keptImage {
	img := noImage
	var ok bool
	if img.meta, img.slotSize, ok = parseHeader(b); !ok || headerSize+2*img.slotSize > len(b) {
		return nil
	}
	if img.parseSlots(b); img.torn || img.err() != nil {
		return nil
	}
	meta, payload := img.meta, img.slots[img.newest].payload
	fields := b[len(meta) : bytes.IndexByte(b, '\n')+1]
	var text strings.Builder // one allocation for all texts
	text.Grow(len(fields) + len(meta) + len(payload))
	text.Write(fields)
	text.Write(meta)
	text.Write(payload)
	k := &keptImage{fields: text.String()[:len(fields)], slotSize: img.slotSize, newest: img.newest}
	k.record = newRecord(text.String()[len(fields):], len(meta), time.Time{})
	k.record.Derived = &k.derived
	for i, slot := range img.slots {
		k.slots[i] = keptSlot{slot.seq, len(slot.payload), slot.dead, [slotHead]byte(b[k.at(i):])}
	}
	return k
}

// at returns where a slot begins in the file.
func (k *keptImage) at(slot int) int { return headerSize + slot*k.slotSize }

// isOf reports whether the bytes are those of the image.
func (k *keptImage) isOf(b []byte) bool {
	if len(b) < k.at(2) {
		return false
	}
	for i := range k.slots {
		if [slotHead]byte(b[k.at(i):]) != k.slots[i].head {
			return false
		}
	}
	meta, payload := k.record.Meta, k.record.Payload
	from := k.at(k.newest) + slotHead
	return string(b[:len(meta)]) == meta && string(b[len(meta):len(meta)+len(k.fields)]) == k.fields &&
		string(b[from:from+len(payload)]) == payload
}

// of returns the image with its bytes.
func (k *keptImage) of(b []byte) image {
	img := image{meta: b[:len(k.record.Meta)], slotSize: k.slotSize, newest: k.newest}
	for i := range k.slots {
		from, s := k.at(i)+slotHead, &k.slots[i]
		img.slots[i] = slot{seq: s.seq, valid: true, dead: s.dead, payload: b[from : from+s.payload]}
	}
	return img
}

// written returns the image after a save into a slot.
func (k *keptImage) written(to int, seq uint64, text []byte, payload string) *keptImage {
	w := &keptImage{fields: k.fields, slotSize: k.slotSize, newest: to, slots: k.slots}
	w.record = Record{Meta: k.record.Meta, Payload: payload, Derived: &w.derived}
	w.slots[to] = keptSlot{seq: seq, payload: len(payload), head: [slotHead]byte(text)}
	return w
}
