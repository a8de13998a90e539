package slotfile

// What tests put files together with that no Files would write.
var (
	AppendHeader = appendHeader
	AppendSlot   = appendSlot
	Pad          = pad
	SlotSizeFor  = slotSizeFor
)

const (
	HeaderSize = headerSize
	SlotHead   = slotHead
)
