package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

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
	args := []string{strconv.FormatInt(interval.Milliseconds(), 10), st.idle, st.lifeText, ""}
	if _, rotates := st.opts.Sealer.(sessions.RotatingSealer); rotates {
		args[3] = sealedField
	}
	reply, err := st.client.run(ctx, touchScript, nil, []string{key}, func(bool) []string { return args })
	if err != nil {
		return false, err
	}
	switch reply := reply.(type) {
	case int64:
		switch reply {
		case 0, 1:
			return reply == 1, nil
		case -1:
			return false, sessions.ErrDeleted
		case -2:
			return false, sessions.ErrCorrupt
		}
	case []any:
		if len(reply) == 2 {
			version, _ := reply[0].(string)
			sealed, _ := reply[1].(string)
			return true, st.reseal(ctx, key, version, sealed)
		}
	}
	return false, errReply
}

// reseal seals a record anew that is not under the first key of the Sealer. One that
// this process cannot open stays as it is.
func (st *Store) reseal(ctx context.Context, key, version, sealed string) error {
	if st.opts.Sealer.(sessions.RotatingSealer).Current([]byte(sealed)) {
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
