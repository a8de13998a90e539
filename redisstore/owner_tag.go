package redisstore

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
)

// tag names an owner in the keys of the server. It is a hash; with a Sealer, where
// the server is not to find the owner by it, one under a secret, which the server
// keeps sealed.
func (st *Store) tag(ctx context.Context, owner string) (string, error) {
	mac := sha256.New()
	if st.opts.Sealer != nil {
		secret, err := st.secret(ctx)
		if err != nil {
			return "", err
		}
		mac = hmac.New(sha256.New, secret)
	}
	mac.Write([]byte(owner))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16]), nil
}

// secret returns the owners' secret, and makes it if there is none. It is asked for
// each time: with the sessions it may have been lost, and made anew by another process.
func (st *Store) secret(ctx context.Context) ([]byte, error) {
	key := st.opts.Prefix + "secret"
	for range 2 {
		sealed, err := st.text(ctx, "get", key)
		if err != nil {
			return nil, err
		}
		if sealed != "" {
			return st.openSecret(ctx, key, sealed)
		}
		secret := make([]byte, 32)
		rand.Read(secret)
		anew, err := st.opts.Sealer.Seal(secret, key)
		if err != nil {
			return nil, err
		}
		if _, err := st.text(ctx, "set", key, string(anew), "nx"); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the owners' secret cannot be stored")
}

// openSecret opens the secret, and seals it anew when it is not under the Sealer's first key.
func (st *Store) openSecret(ctx context.Context, key, sealed string) ([]byte, error) {
	secret, err := st.opts.Sealer.Open([]byte(sealed), key)
	if err != nil || len(secret) != 32 {
		return nil, errors.New("the owners' secret does not open with this store's Sealer")
	}
	if r, ok := st.opts.Sealer.(sessions.RotatingSealer); ok && !r.Current([]byte(sealed)) {
		anew, err := r.Seal(secret, key)
		if err != nil {
			return nil, err
		}
		if _, err := st.text(ctx, "set", key, string(anew), "xx"); err != nil {
			return nil, err
		}
	}
	return secret, nil
}

// text sends a command whose answer is a text, "" for none.
func (st *Store) text(ctx context.Context, args ...any) (string, error) {
	var cmd *redis.Cmd
	err := st.client.do(ctx, nil, func(bool) redis.Cmder {
		cmd = redis.NewCmd(ctx, args...)
		return command{cmd}
	})
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	text, ok := cmd.Val().(string)
	if !ok {
		return "", errReply
	}
	return text, nil
}
