package redisstore

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
)

// clickTime is the age up to which a session is not ended for a login beyond
// MaxSessions: it may be that of the first of two clicks.
const clickTime = 5 * time.Second

// pendingTime is the age up to which an entry without a session may be that of a login that is
// under way.
const pendingTime = time.Minute

// A fullIndex is the error of a login beyond MaxSessions, before there is room.
type fullIndex struct {
	now     time.Time // of the server
	entries []indexEntry
}

// An indexEntry is a session in the index of its owner.
type indexEntry struct {
	name, text string
	since      time.Time // when it was entered
}

func (*fullIndex) Error() string { return sessions.ErrTooManySessions.Error() }

// newFullIndex reads the answer of the script: the time, and names and entries in turn.
func newFullIndex(now int64, list []any) error {
	full := &fullIndex{now: time.UnixMicro(now)}
	for i := 0; i+1 < len(list); i += 2 {
		name, ok := list[i].(string)
		text, ok2 := list[i+1].(string)
		first, _, _ := strings.Cut(text, " ")
		since, err := parseTime(first)
		if !ok || !ok2 || err != nil {
			return errReply
		}
		full.entries = append(full.entries, indexEntry{name, text, since})
	}
	return full
}

// makeRoom ends the oldest sessions of an owner who would have too many, or refuses the
// login by ErrTooManySessions. Afterwards others may have logged in.
func (st *Store) makeRoom(ctx context.Context, index, tag, owner string, full *fullIndex) error {
	stale := []string{"tidy"}
	var living []indexEntry
	for _, e := range full.entries {
		there, err := st.exists(ctx, st.opts.Prefix+e.name)
		switch {
		case err != nil:
			return err
		case there || full.now.Sub(e.since) < pendingTime:
			living = append(living, e)
		default:
			stale = append(stale, e.name, e.text)
		}
	}
	if len(stale) > 1 {
		if _, err := st.client.integer(ctx, ownerScript, nil, index, stale...); err != nil {
			return err
		}
	}
	slices.SortFunc(living, func(a, b indexEntry) int {
		return cmp.Or(a.since.Compare(b.since), strings.Compare(a.name, b.name))
	})
	for ; len(living) >= st.opts.MaxSessions; living = living[1:] {
		oldest := living[0]
		age := full.now.Sub(oldest.since) // negative when the clock was set back
		if st.opts.RefuseLogin || 0 <= age && age < clickTime {
			return sessions.ErrTooManySessions
		}
		step := []string{"endone", publicID(oldest.name)}
		if _, err := st.endIn(ctx, index, tag, owner, step, sessions.EndedByLimit); err != nil {
			return err
		}
	}
	return nil
}

func (st *Store) exists(ctx context.Context, key string) (bool, error) {
	var cmd *redis.Cmd
	err := st.client.do(ctx, nil, func(bool) redis.Cmder {
		cmd = redis.NewCmd(ctx, "exists", key)
		return command{cmd}
	})
	if err != nil {
		return false, err
	}
	n, ok := cmd.Val().(int64)
	if !ok {
		return false, errReply
	}
	return n > 0, nil
}
