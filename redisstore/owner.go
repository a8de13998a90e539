package redisstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/sessfs/sessions"
)

var _ sessions.OwnerStore = (*Store)(nil)

// ListOwner returns the sessions of an owner; see [sessions.OwnerStore]. It asks for each of
// them. The last error counts the sessions that may be the owner's and cannot be read.
func (st *Store) ListOwner(ctx context.Context, owner string) iter.Seq2[sessions.SessionInfo, error] {
	return func(yield func(sessions.SessionInfo, error) bool) {
		if err := st.listOwner(ctx, owner, yield); err != nil && err != errStop {
			yield(sessions.SessionInfo{}, fmt.Errorf("sessions: list: %w", err))
		}
	}
}

func (st *Store) listOwner(ctx context.Context, owner string, yield func(sessions.SessionInfo, error) bool) error {
	if owner == "" {
		return ctx.Err()
	}
	index, _, err := st.indexKey(ctx, owner)
	if err != nil {
		return err
	}
	entries, err := st.hash(ctx, index)
	if err != nil {
		return err
	}
	stale := []string{"tidy"}
	unreadable := 0
	for name, entered := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := st.opts.Prefix + name
		if _, ok := st.parseKey(key); !ok {
			continue // the time of the last end
		}
		rec, err := backend{st}.Load(ctx, key)
		info, ok := sessions.SessionInfo{}, false
		switch {
		case errors.Is(err, sessions.ErrCorrupt):
			unreadable++
		case err != nil && !errors.Is(err, sessions.ErrNotStored):
			err, ok = fmt.Errorf("sessions: list: %w", err), true
		case err == nil && rec.Owner == owner:
			info, ok = st.Info(publicID(key), &rec), true
		case isStale(entered):
			stale = append(stale, name, entered)
		}
		if ok && !yield(info, err) {
			return errStop
		}
	}
	if len(stale) > 1 { // the next list tries again
		_, _ = st.client.integer(ctx, ownerScript, nil, index, stale...)
	}
	if unreadable > 0 {
		return fmt.Errorf("sessions that may be the owner's cannot be read: %d", unreadable)
	}
	return nil
}

// isStale reports whether an entry is so old that its save is done, by any clock.
func isStale(entered string) bool {
	text, _, _ := strings.Cut(strings.TrimPrefix(entered, "x"), " ")
	at, err := parseTime(text)
	return err != nil || time.Since(at) > time.Hour
}

// DeleteOwner ends the sessions of an owner; see [sessions.OwnerStore]. A session whose login
// or renewal is under way is ended by that.
func (st *Store) DeleteOwner(ctx context.Context, owner string, keep ...string) (int, error) {
	if owner == "" {
		return 0, ctx.Err()
	}
	return st.endOwned(ctx, owner, append([]string{"end"}, keep...))
}

// DeleteOne ends the session of a public ID, if it is one of the owner's; see
// [sessions.OwnerStore].
func (st *Store) DeleteOne(ctx context.Context, owner, publicID string) (bool, error) {
	if owner == "" {
		return false, ctx.Err()
	}
	n, err := st.endOwned(ctx, owner, []string{"endone", publicID})
	return n > 0, err
}

// endOwned ends the sessions of which a step of the owner's script returns the names.
func (st *Store) endOwned(ctx context.Context, owner string, step []string) (n int, err error) {
	index, tag, err := st.indexKey(ctx, owner)
	if err == nil {
		n, err = st.endIn(ctx, index, tag, owner, step, sessions.EndedByOwner)
	}
	if err != nil {
		err = fmt.Errorf("sessions: delete: %w", err)
	}
	return n, err
}

// endIn is endOwned for the index and the tag of the owner.
func (st *Store) endIn(ctx context.Context, index, tag, owner string, step []string, reason sessions.EndReason) (n int, err error) {
	started := time.Now()
	names, err := st.names(ctx, index, step)
	whose := []string{ownerField, owner}
	if st.opts.Sealer != nil {
		whose = []string{tagField, tag}
	}
	errs := []error{err}
	var gone []string
	for _, name := range names {
		key := st.opts.Prefix + name
		again := false
		reply, err := st.client.run(ctx, endScript, st.ends(key), []string{key}, func(repeated bool) []string {
			again = repeated
			return whose
		})
		if reply == int64(1) || err == nil && again { // it was there before
			n++
			gone = append(gone, name)
			st.observeEnd(ctx, started, reason)
		}
		errs = append(errs, err)
	}
	if len(gone) > 0 {
		_ = st.forget(ctx, index, gone...)
	}
	return n, errors.Join(errs...)
}

// names carries out a step of the owner's script that ends sessions, and returns their names.
func (st *Store) names(ctx context.Context, index string, step []string) (names []string, err error) {
	reply, err := st.client.run(ctx, ownerScript, st.ends(index), []string{index}, func(bool) []string { return step })
	if err != nil {
		return nil, err
	}
	list, _ := reply.([]any)
	for _, name := range list {
		text, ok := name.(string)
		if _, isKey := st.parseKey(st.opts.Prefix + text); !ok || len(names) > 0 && !isKey {
			return nil, errReply
		}
		names = append(names, text)
	}
	if len(names) == 0 {
		return nil, errReply
	}
	mark, err := strconv.ParseInt(names[0], 10, 64)
	if step[0] == "end" && err == nil {
		st.ended.add(index, mark)
	}
	return names[1:], err
}

// observeEnd reports the end of a session that another one's request, or none, has ended.
func (st *Store) observeEnd(ctx context.Context, started time.Time, reason sessions.EndReason) {
	if st.opts.Observe != nil {
		st.opts.Observe(ctx, sessions.Event{Kind: sessions.EventEnded, Reason: reason, Duration: time.Since(started)})
	}
}
