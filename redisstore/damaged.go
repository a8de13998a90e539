package redisstore

import (
	"errors"
	"log/slog"
	"sync"
)

// A damagedLog reports sessions that cannot be read: each once, and all that the
// Sealer does not open once, since the cause is one, a key.
type damagedLog struct {
	logger *slog.Logger
	mu     sync.Mutex
	known  map[string]bool
}

func (l *damagedLog) report(key string, err error) {
	const most = 1000
	cause := key
	attrs := []any{"session", publicID(key)[:8], "error", err}
	for _, e := range []error{errSealed, errNotSealed, errSeal} {
		if errors.Is(err, e) {
			cause, attrs = e.Error(), []any{"error", err, "further", "are not reported"}
		}
	}
	l.mu.Lock()
	if l.known == nil {
		l.known = make(map[string]bool)
	}
	known := l.known[cause] || len(l.known) >= most
	if !known {
		l.known[cause] = true
	}
	l.mu.Unlock()
	if !known {
		l.logger.Warn("redisstore: a session cannot be read, and is a new one to this process", attrs...)
	}
}
