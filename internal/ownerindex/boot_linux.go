package ownerindex

import (
	"os"
	"strings"
	"sync"
)

// bootID returns a text that is another one after each start of the system.
var bootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if text := strings.TrimSpace(string(id)); err == nil && text != "" {
		return text
	}
	return "unknown"
})
