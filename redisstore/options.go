package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sessfs/sessions"
)

// Options are the options of a [Store]. The zero value is a safe store under the
// prefix "session:".
type Options struct {
	_ struct{} // no literal without names

	// Prefix begins all keys of the store. Applications that share a server have
	// different ones. It must have no brace, of which Redis Cluster makes hash tags. The
	// default is "session:".
	Prefix string

	// IDs makes the IDs. The default is 32 random bytes, and 20 are the least:
	// a renewed session keeps the first 4, by which both keys are in one slot
	// of a cluster.
	IDs sessions.IDs

	// Codec encodes the values of new sessions. The default is [sessions.JSON]. A
	// stored session keeps its codec, whatever this is.
	Codec sessions.Codec

	// Sealer encrypts the sessions, so that the server can neither read nor change them,
	// each bound to its key. All values are then sent with each save. The default is not to.
	// Sessions under a key that was dropped are lost, as in files (see [sessions.FilesystemOptions]).
	// When all keys were lost, so is the secret by which owners are named, in the key
	// "secret" after the prefix; a login is an error until that key is deleted.
	Sealer sessions.Sealer

	// IdleTimeout and Lifetime are as in [sessions.FilesystemOptions], with the same defaults,
	// 14 and 30 days. The server ends the sessions, by its own clock. A
	// change of these counts for a session from its next save or touch.
	IdleTimeout, Lifetime time.Duration

	// MaxSize is how many bytes the values of a session may take, with their
	// keys, encoded and sealed. A save of more is [sessions.ErrTooLarge]. Saves
	// at the same moment may exceed it together. The default is 1 MiB.
	MaxSize int

	// MaxSessions is how many sessions an owner has at most, and RefuseLogin makes every
	// login beyond [sessions.ErrTooManySessions]; see [sessions.FilesystemOptions].
	MaxSessions int
	RefuseLogin bool

	// WaitReplicas is how many replicas must have an end or a renewal of a session
	// before it counts as done; see WAIT in Redis' manual. With fewer after
	// WaitTimeout it is an error, and done on the master. Zero waits for none: a
	// failover may then bring back a session that was ended just before it.
	WaitReplicas int

	// WaitTimeout is for WaitReplicas. The default is a second. The client's ReadTimeout
	// must be longer.
	WaitTimeout time.Duration

	// UnsafeAllowEviction accepts a server that removes keys when its memory is
	// full. It ends sessions early, and forgets which sessions an owner has.
	UnsafeAllowEviction bool

	// Observe is called for each event of the store's sessions; see
	// [sessions.FilesystemOptions].
	Observe func(context.Context, sessions.Event)

	// Logger gets news for which no caller has an error: damaged sessions. The
	// default is [slog.Default].
	Logger *slog.Logger
}

// ACL is the rules that the server's user of a Store needs, besides its keys, after -@all; see
// the package comment.
const ACL = "+hgetall +evalsha +eval +hmget +hget +hkeys +exists +hset +hdel +del +rename +pexpire +pexpireat +persist +pttl +time +get +set" +
	" +scan" // of List and DeleteAll

const (
	defaultPrefix      = "session:"
	defaultMaxSize     = 1 << 20
	maxMaxSize         = 1 << 28 // half of a Redis string
	defaultWaitTimeout = time.Second
	tagLength          = 8  // of an ID's characters
	minIDLength        = 40 // 20 bytes in hex; see Options.IDs
)

// withDefaults fills in the defaults, and finds all that is wrong but for that which
// [sessions.NewBase] finds.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	o.Prefix = cmp.Or(o.Prefix, defaultPrefix)
	if strings.ContainsAny(o.Prefix, "{}") {
		refuse("Prefix has a brace, of which Redis Cluster makes hash tags")
	}
	if len(o.IDs.GenerateKey()) < minIDLength {
		refuse("IDs has fewer than 20 random bytes, of which a renewed ID keeps 4")
	}
	o.MaxSize = cmp.Or(o.MaxSize, defaultMaxSize)
	if o.MaxSize < 0 || o.MaxSize > maxMaxSize {
		refuse("MaxSize %d: want 1 byte to 256 MiB", o.MaxSize)
	}
	if o.MaxSessions < 0 {
		refuse("MaxSessions is negative")
	}
	if o.WaitReplicas < 0 {
		refuse("WaitReplicas is negative")
	}
	o.WaitTimeout = cmp.Or(o.WaitTimeout, defaultWaitTimeout)
	if o.WaitTimeout < time.Millisecond {
		refuse("WaitTimeout %v: want a millisecond or more", o.WaitTimeout)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, errors.Join(errs...)
}

// milliseconds returns a timeout of the options for a script, "0" for none.
func milliseconds(d, standard time.Duration) string {
	if d = cmp.Or(d, standard); d == sessions.Never {
		d = 0
	}
	return fmt.Sprint(d.Milliseconds())
}
