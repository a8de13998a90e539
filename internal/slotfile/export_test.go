package slotfile

// What tests put files together with that no Files would write.
var (
	AppendHeader = appendHeader
	AppendSlot   = appendSlot
	Pad          = pad
	SlotSizeFor  = slotSizeFor
)

// Semaphores is how many names have a lock in this process, or somebody who
// waits for one.
func (s *Files) Semaphores() int {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	return len(s.locks.used)
}

const (
	HeaderSize = headerSize
	SlotHead   = slotHead
)
