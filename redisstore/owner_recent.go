package redisstore

import (
	"sync"
	"time"
)

// recentEnds are the ends of owners' sessions by this process. The login after one, in the same handler
// perhaps, began later for certain; the server's clock tells others only as exactly as its
// answers are fast.
type recentEnds struct {
	mu   sync.Mutex
	ends map[string]recentEnd // by index
}

type recentEnd struct {
	mark int64     // of the server
	at   time.Time // when the answer had come
}

// add notes an end.
func (r *recentEnds) add(index string, mark int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ends == nil {
		r.ends = make(map[string]recentEnd)
	}
	now := time.Now()
	for index, e := range r.ends {
		if now.Sub(e.at) > time.Minute { // longer than an answer takes
			delete(r.ends, index)
		}
	}
	r.ends[index] = recentEnd{mark, now}
}

// before reports whether the last end, of which the server has a mark, was before a login for certain.
func (r *recentEnds) before(index string, login time.Time, mark int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.ends[index]
	return ok && mark <= e.mark && !login.Before(e.at)
}
