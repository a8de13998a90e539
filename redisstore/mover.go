package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sessfs/sessions"
)

var _ sessions.Mover = (*Store)(nil)

// Import stores a session of another store under a key; see [sessions.Mover].
func (st *Store) Import(ctx context.Context, key string, rec sessions.Record) error {
	if _, ok := st.parseKey(key); !ok || !strings.HasPrefix(key, st.opts.Prefix+"{") {
		return errors.New("sessions: save: the key has not the form of this store's")
	}
	return st.Base.Import(ctx, key, rec)
}

// isImport reports whether the record of a change is that of a session of another store.
func isImport(rec *sessions.Record) bool { return !rec.Used.IsZero() }

const (
	lockSuffix = ":moving" // makes the key of a session's lock
	lockTime   = time.Minute
)

// Export passes on a session, and ends it; see [sessions.Mover]. The lock that it takes
// keeps other Exports away for a minute, and no saves: when one comes in between, or
// f takes longer, the error is [sessions.ErrDeleted].
func (st *Store) Export(ctx context.Context, key string, f func(sessions.Record) error) error {
	token := newVersion()
	rec, err := st.takeForExport(ctx, key, token)
	if err != nil {
		return exportError(err)
	}
	done := false
	defer func() {
		if !done { // also after a panic; an error leaves the lock until it ends
			_, _ = st.mover(context.WithoutCancel(ctx), nil, key, "leave", token)
		}
	}()
	if err := f(rec); err != nil {
		return err
	}
	reply, err := st.mover(ctx, st.ends(key), key, "end", token, rec.Version)
	if err != nil {
		return exportError(err)
	}
	if done = true; reply != int64(1) {
		return sessions.ErrDeleted
	}
	if index, _, err := st.indexKey(ctx, rec.Owner); err == nil && rec.Owner != "" {
		_ = st.forget(ctx, index, st.entryName(key))
	}
	return nil
}

// takeForExport waits for the lock of a session, and returns its record.
func (st *Store) takeForExport(ctx context.Context, key, token string) (rec sessions.Record, err error) {
	for n := 0; ; n++ {
		reply, err := st.mover(ctx, nil, key, "take", token, strconv.FormatInt(lockTime.Milliseconds(), 10))
		switch reply := reply.(type) {
		case int64:
			if reply == -1 {
				return rec, sessions.ErrNotStored
			}
		case []any:
			_, hash, err := st.everything([]any{int64(0), reply})
			if err == nil {
				rec, err = st.record(key, hash)
			}
			if err != nil {
				_, _ = st.mover(ctx, nil, key, "leave", token)
			}
			return rec, err
		}
		if err != nil {
			return rec, err
		}
		select {
		case <-time.After(min(time.Millisecond<<min(n, 5), 20*time.Millisecond)):
		case <-ctx.Done():
			return rec, ctx.Err()
		}
	}
}

// mover runs a step of the mover's script.
func (st *Store) mover(ctx context.Context, w *wait, key string, step ...string) (any, error) {
	return st.client.run(ctx, moverScript, w, []string{key, key + lockSuffix}, func(repeated bool) []string {
		if repeated {
			return append(step, "r")
		}
		return step
	})
}

func exportError(err error) error {
	if errors.Is(err, sessions.ErrNotStored) || errors.Is(err, sessions.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("sessions: export: %w", err)
}
