package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
)

// Touch restarts the idle timeout of a stored session, unless that was done less than
// interval ago by the server's clock; see [sessions.Toucher].
func (st *Store) Touch(ctx context.Context, s *sessions.Session, interval time.Duration) (bool, error) {
	key, err := st.KeyOf(s)
	if err != nil {
		return false, err
	}
	touched, err := st.touch(ctx, key, interval)
	if err != nil && !errors.Is(err, sessions.ErrDeleted) {
		err = fmt.Errorf("sessions: touch: %w", err)
	}
	return touched, err
}

func (st *Store) touch(ctx context.Context, key string, interval time.Duration) (bool, error) {
	args := st.touchArgs(interval)
	if _, rotates := st.opts.Sealer.(sessions.RotatingSealer); rotates {
		args[3] = sealedField
	}
	reply, err := st.client.run(ctx, touchScript, nil, []string{key}, func(bool) []string { return args })
	if err != nil {
		return false, err
	}
	if list, ok := reply.([]any); ok && len(list) == 2 {
		version, _ := list[0].(string)
		sealed, _ := list[1].(string)
		return true, st.reseal(ctx, key, version, sealed)
	}
	return wasTouched(reply)
}

func (st *Store) touchArgs(interval time.Duration) []string {
	return []string{strconv.FormatInt(interval.Milliseconds(), 10), st.idle, st.lifeText, ""}
}

// wasTouched reads the reply of the touch script.
func wasTouched(reply any) (bool, error) {
	switch reply {
	case int64(0), int64(1):
		return reply == int64(1), nil
	case int64(-1):
		return false, sessions.ErrDeleted
	case int64(-2):
		return false, sessions.ErrCorrupt
	}
	return false, errReply
}

// GetTouch loads a session and touches it in one round trip; see [sessions.GetToucher].
func (st *Store) GetTouch(ctx context.Context, id string, interval time.Duration) (s *sessions.Session, touched bool, err error) {
	s, err = st.GetFrom(ctx, id, func(ctx context.Context, key string) (rec sessions.Record, err error) {
		rec, touched, err = st.loadTouch(ctx, key, interval)
		return rec, err
	})
	return s, touched, err
}

func (st *Store) loadTouch(ctx context.Context, key string, interval time.Duration) (rec sessions.Record, touched bool, err error) {
	var hash map[string]string
	var reply any
	byText := false
	send := func(bool) error {
		touch := touchScript.command(ctx, byText, []string{key}, st.touchArgs(interval))
		load := redis.NewMapStringStringCmd(ctx, "hgetall", key)
		_, err := await(ctx, st.client, func() ([]redis.Cmder, error) {
			return st.client.pipelined(ctx, func(pipe redis.Pipeliner) error {
				return errors.Join(pipe.Process(ctx, command{touch}), pipe.Process(ctx, mapCommand{load}))
			})
		})
		if err == nil {
			reply, hash = touch.Val(), load.Val()
		}
		return err
	}
	if err = st.client.repeat(ctx, send); isNoScript(err) {
		byText = true
		err = st.client.repeat(ctx, send)
	}
	switch {
	case err != nil:
		return rec, false, err
	case len(hash) == 0:
		return rec, false, sessions.ErrNotStored
	}
	rec, err = st.record(key, hash)
	if err != nil {
		return rec, false, err
	}
	if touched, err = wasTouched(reply); touched && st.opts.Sealer != nil {
		err = st.reseal(ctx, key, rec.Version, hash[sealedField])
	}
	return rec, touched, err
}

// reseal seals a record anew that is not under the first key of the Sealer. One that
// this process cannot open stays as it is.
func (st *Store) reseal(ctx context.Context, key, version, sealed string) error {
	r, ok := st.opts.Sealer.(sessions.RotatingSealer)
	if !ok || r.Current([]byte(sealed)) {
		return nil
	}
	text, err := st.opts.Sealer.Open([]byte(sealed), sealContext(key))
	if err != nil {
		return nil
	}
	anew, err := st.opts.Sealer.Seal(text, sealContext(key))
	if err != nil {
		return err
	}
	_, err = st.client.run(ctx, resealScript, nil, []string{key}, func(bool) []string { return []string{version, string(anew)} })
	return err
}
