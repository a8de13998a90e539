package redisstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
)

// The sessions of an owner are found by an index, a hash that in a cluster is on another
// server than they are. A session is entered there before it is stored, and
// confirmed afterwards, so that the index lacks none. The end of all marks the entries, and ends
// the sessions then: one that is stored meanwhile is not confirmed, and is ended by
// its own save. An entry that was not confirmed, or whose session has expired,
// names none; it goes when the owner's sessions are listed, or when its time is over. No session outlives its
// entry: its save and touch know that time, the horizon.

// errEnded is the error of a renewal for which the index has no session any more.
var errEnded = errors.New("ended")

// An entry is a session in the index of its owner, on the way to be confirmed.
type entry struct {
	index    string
	new, old string // its name, and that which it had before, if any
}

// indexKey returns the key of an owner's index, and the owner's tag.
func (st *Store) indexKey(ctx context.Context, owner string) (key, tag string, err error) {
	tag, err = st.tag(ctx, owner)
	return st.opts.Prefix + "owner:{" + tag + "}", tag, err
}

// entryName is a session's name in the index: its key without the prefix.
func (st *Store) entryName(key string) string { return strings.TrimPrefix(key, st.opts.Prefix) }

// enter enters the session of a change into the index of its owner, when the change makes it
// one of the owner's, renews it or sets its lifetime. The entry is nil for other changes.
func (st *Store) enter(ctx context.Context, c *sessions.Change, s *save) (*entry, error) {
	rec, set := c.Attributes()
	if set.Owner && rec.Owner == "" {
		s.putOwner("", 0)
	}
	if rec.Owner == "" || !c.Fresh() && !set.Owner && !set.Lifetime {
		return nil, nil
	}
	index, tag, err := st.indexKey(ctx, rec.Owner)
	if err != nil {
		return nil, err
	}
	e := &entry{index: index, new: st.entryName(c.NewKey())}
	at, login := c.Login()
	place := st.entryName(c.Key())
	if isImport(&rec) { // as of a login
		at, login = time.Now(), true
	} else if !login || c.Renewed() {
		e.old = place
	}
	if login {
		place = ""
	}
	horizon, err := st.enterIndex(ctx, e, place, &rec, at)
	for full := (*fullIndex)(nil); errors.As(err, &full); {
		if err = st.makeRoom(ctx, index, tag, rec.Owner, full); err == nil {
			horizon, err = st.enterIndex(ctx, e, place, &rec, at)
		}
	}
	if login && errors.Is(err, errEnded) {
		_ = st.forget(ctx, index, e.new)
		err = sessions.ErrDeleted
	}
	if err != nil {
		return nil, err
	}
	s.putOwner(tag, horizon)
	return e, nil
}

// enterIndex writes an entry, in the place of another one or, when that is "", for a login
// at a time. It returns until when the entry stays. The error is errEnded when the session, or
// the owner's before the login, was ended, and a *fullIndex when there are too many.
func (st *Store) enterIndex(ctx context.Context, e *entry, place string, rec *sessions.Record, login time.Time) (horizon int64, err error) {
	lifetime := st.lifeText
	if rec.Lifetime > 0 {
		lifetime = strconv.FormatInt(rec.Lifetime.Milliseconds(), 10)
	}
	limit := st.opts.MaxSessions
	if isImport(rec) {
		limit = 0
	}
	args := []string{"enter", e.new, place, lifetime, strconv.Itoa(limit)}
	reply, err := st.client.run(ctx, ownerScript, st.ends(e.index), []string{e.index}, func(bool) []string { return args })
	if err != nil {
		return 0, err
	}
	if reply == int64(-1) {
		return 0, errEnded
	}
	list, ok := reply.([]any)
	if !ok || len(list) < 3 {
		return 0, errReply
	}
	horizon, ok = list[0].(int64)
	now, ok2 := list[1].(int64)
	ended, ok3 := list[2].(string)
	switch {
	case !ok || !ok2 || !ok3:
		return 0, errReply
	case horizon < 0:
		return 0, newFullIndex(now, list[3:])
	case place == "" && st.endedSince(e, login, now, ended):
		return 0, errEnded
	}
	return horizon, nil
}

// endedSince reports whether the owner's sessions were ended after a login, or perhaps. now is
// the server's time of the answer, in microseconds; the login cannot have been before
// login, by that. The session from before the login may be one that was kept.
func (st *Store) endedSince(e *entry, login time.Time, now int64, ended string) bool {
	words := strings.Fields(ended)
	if len(words) == 0 {
		return false
	}
	mark, err := strconv.ParseInt(words[0], 10, 64)
	if err == nil && mark < now-time.Since(login).Microseconds() || st.ended.before(e.index, login, mark) {
		return false
	}
	return e.old == "" || !slices.Contains(words[1:], publicID(e.old))
}

// putOwner sets the fields by which the server knows the owner's sessions, where the owner is
// sealed, and ends them before their entries.
func (s *save) putOwner(tag string, horizon int64) {
	if s.sealed {
		s.edit.put(tagField, tag, s.fresh)
	}
	s.edit.put(horizonField, positive(horizon), s.fresh)
	s.edit.timeouts = true
}

// confirm looks whether the session that was stored has ended meanwhile, with all of its
// owner's or with all of the store. Then it ends it, and the change is not done, or ErrDeleted.
func (st *Store) confirm(ctx context.Context, c *sessions.Change, e *entry, now time.Time) (done bool, err error) {
	ended := false
	if c.Renewed() {
		passed, err := st.client.integer(ctx, gateScript, nil, st.gateKey(), "check", formatTime(now))
		if err != nil {
			return true, err
		}
		ended = passed != 1
	}
	if e != nil && !ended {
		n, err := st.client.integer(ctx, ownerScript, nil, e.index, "confirm", e.new, e.old)
		if err != nil {
			return true, err
		}
		ended = n != 1
	}
	if !ended {
		return true, st.leave(ctx, c)
	}
	if err := st.end(ctx, c.NewKey()); err != nil {
		return true, err
	}
	rec, _ := c.Attributes()
	if _, login := c.Login(); (login || isImport(&rec)) && e != nil {
		return true, sessions.ErrDeleted
	}
	return false, nil
}

// leave removes a session that has ended from the index of its owner. A stale entry names no
// session, so that an error is none. One that got another owner stays in the index of the
// one before, since a request beside this may be giving it back; it is told by its record.
func (st *Store) leave(ctx context.Context, c *sessions.Change) error {
	was := c.Base()
	if was == nil || was.Owner == "" || c.Ended() == "" {
		return nil
	}
	if rec, _ := c.Attributes(); c.NewKey() != "" && rec.Owner == was.Owner {
		return nil // confirm has
	}
	if index, _, err := st.indexKey(ctx, was.Owner); err == nil {
		_ = st.forget(ctx, index, st.entryName(c.Ended()))
	}
	return nil
}

// forget removes the entries of sessions that have ended.
func (st *Store) forget(ctx context.Context, index string, entries ...string) error {
	return st.client.do(ctx, nil, func(bool) redis.Cmder {
		args := []any{"hdel", index}
		for _, e := range entries {
			args = append(args, e)
		}
		return command{redis.NewCmd(ctx, args...)}
	})
}
