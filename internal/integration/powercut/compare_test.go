//go:build linux

package powercut

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sessfs/sessions"
)

// Counts are a mode's losses, over all its cuts.
type counts struct {
	cuts, acks, sessions int

	// Sessions after the cut, of those that some save was acknowledged of:
	// losses that SyncNone may have and SyncFull may not.
	earlier, missing, revived int

	damaged   int // files
	anonymous int // sessions of renewals that did not return
}

func (c counts) String() string {
	return fmt.Sprintf("%d cuts, %d acknowledged, %d sessions compared: %d earlier than acknowledged, %d missing, %d back after their end, %d damaged files; %d renewals half done",
		c.cuts, c.acks, c.sessions, c.earlier, c.missing, c.revived, c.damaged, c.anonymous)
}

// compare returns all faults in the remains of a cut.
func compare(store *sessions.FilesystemSessionStore, rec *records, durable bool, c *counts) (wrong []error) {
	for id, r := range rec.sessions {
		c.sessions++
		s, err := store.Get(background, id)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		wrong = append(wrong, r.compare(s, durable, c)...)
	}
	for id, err := range store.List(background) {
		if err != nil {
			return append(wrong, err)
		}
		if rec.sessions[id] == nil {
			c.anonymous++
			wrong = append(wrong, rec.compareUnknown(store, id)...)
		}
	}
	return wrong
}

// compare judges one session.
func (r *record) compare(s *sessions.Session, durable bool, c *counts) (wrong []error) {
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	acked := false
	for _, h := range r.writers {
		acked = acked || h.acked > 0
	}
	switch {
	case s.New() && acked && !r.ending:
		c.missing++
		if durable {
			report("an acknowledged session is gone")
		}
	case !s.New() && r.ended:
		c.revived++
		if durable {
			report("a session is back whose end was acknowledged")
		}
	}
	if s.New() {
		return wrong
	}
	empty := true
	for writer, h := range r.writers {
		got := stateOf(s, writer)
		empty = empty && got.number == 0
		if want, asked := h.asked[got.number]; got != want || !asked && got.number != 0 {
			report("a writer's values are none that it has saved: number %d with %d bytes of padding", got.number, len(got.padding))
		}
		if got.number < h.acked && !r.ended {
			c.earlier++
			if durable {
				report("a session is at save %d, and %d was acknowledged", got.number, h.acked)
			}
		}
	}
	if err := s.Err(); err != nil || empty || s.Len() > 2*len(r.writers) {
		report("a session has %d values, of %d writers: %v", s.Len(), len(r.writers), err)
	}
	return wrong
}

// compareUnknown judges a session of an ID that was not acknowledged. It can only
// be from a renewal that the cut came into.
func (r *records) compareUnknown(store *sessions.FilesystemSessionStore, id string) []error {
	s, err := store.Get(background, id)
	if err != nil {
		return []error{err}
	}
	if s.New() {
		return nil // the name of a file that holds nothing
	}
	for writer, v := range r.renewing {
		if s.Len() == 2 && stateOf(s, writer) == v {
			return nil
		}
	}
	return []error{fmt.Errorf("%v is of an ID and in a state that nobody asked for", s)}
}

// A damageLog counts the files that a store calls damaged.
type damageLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *damageLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *damageLog) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *damageLog) damaged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte("is damaged"))
}
