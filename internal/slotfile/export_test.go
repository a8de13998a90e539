package slotfile

// For tests that put files together which no Files would write.
var (
	AppendHeader = appendHeader
	AppendSlot   = appendSlot
	Pad          = pad
	SlotSizeFor  = slotSizeFor
)

// Semaphores is how many names have a lock in this process, or one that is
// waited for.
func (s *Files) Semaphores() int {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	return len(s.locks.used)
}

const (
	HeaderSize = headerSize
	SlotHead   = slotHead
)
