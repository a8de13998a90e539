package sessions

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// flashPrefix begins the keys of flash messages. Each has a key of its own, so
// that requests that add one at the same time lose none.
const flashPrefix = "_flash."

// AddFlash leaves a message for the next request that asks for [Session.Flashes].
// It is an ordinary value under a key that begins with "_flash.". An error of
// encoding is the save's.
func (s *Session) AddFlash(value any) {
	var random [4]byte
	rand.Read(random[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	// In the order of time, and within one clock tick in the order of calls.
	s.set(fmt.Sprintf("%s%016x.%08x.%s", flashPrefix,
		time.Now().UnixNano(), s.clock, hex.EncodeToString(random[:])), value)
}

// Flashes returns the messages that AddFlash left, oldest first, and removes
// them. Without any it returns nil, and the session stays unmodified.
//
// Flashes is best called before the first byte of the response, not from a
// template that is being written to it. A [Middleware] saves the removal after
// the response as well where it can: sessions in cookies keep the messages, and
// show them again.
func (s *Session) Flashes() []any { return takeFlashes[any](s, true) }

// FlashesAs is [Session.Flashes] for messages of one type: it returns, and removes,
// those that decode as a T. The others stay.
func FlashesAs[T any](s *Session) []T { return takeFlashes[T](s, false) }

// takeFlashes removes the messages that it returns, and with all also those that
// cannot be decoded.
func takeFlashes[T any](s *Session, all bool) (messages []T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.keys() {
		if !strings.HasPrefix(key, flashPrefix) {
			continue
		}
		v, ok := lookup[T](&s.values, key)
		if ok {
			messages = append(messages, v)
		}
		if ok || all {
			s.remove(key)
		}
	}
	return messages
}

// onlyFlashesSince reports whether Flashes is all that has changed the session
// since that time of its clock.
func (s *Session) onlyFlashesSince(at uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, c := range s.cells {
		if c.changed > at && !(c.gone && strings.HasPrefix(key, flashPrefix)) {
			return false
		}
	}
	return s.asked.last() <= at
}
