package sessions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sessfs/sessions/internal/sessionfile"
)

// FilesystemOptions are the options of a [FilesystemSessionStore]. The
// zero value is a safe store in a private directory.
type FilesystemOptions struct {
	_ struct{} // no literal without names

	// Path is the directory, made with its parents if there is none. A relative
	// path is made absolute by the constructor. The default is sessions-UID in
	// [os.TempDir], UID being the user's number. Operating systems clean that
	// directory: many empty it at a restart, and systemd-tmpfiles(8) removes
	// files that were not used for some days (10 in /tmp, by its own defaults), as do
	// tmpwatch(8) and macOS's daily script. Sessions that are to live longer
	// need another Path.
	//
	// The directory must be the process's user's own, and no other may be
	// able to write to it. It must not be a symbolic link.
	//
	// A directory that is removed under the store takes its sessions with it. The
	// store opens Path again, and makes it if there is none, when it next misses
	// a file; a directory that the constructor would refuse is refused then, with
	// an error from each operation until that is mended. It does not notice that
	// the directory was moved away and another one put in its place: it stays
	// with the one that it has open. The Path "." means the current directory
	// itself, which is never made again. Windows does not tell that a directory
	// was removed.
	Path string

	// FilenameTemplate names the files: it has one %s, for the session's ID,
	// and no other % and no separator. The default is "session_%s.sess".
	FilenameTemplate string

	// Mode is the permission bits of the files, whatever the umask. The
	// default is 0600. The owner must be able to read and write, and only
	// owner and group may get any right.
	Mode fs.FileMode

	// IDs makes the IDs; see [RandomIDs] and [UUIDs]. The default is 32 random
	// bytes in hex.
	IDs IDs

	// KeepMissingID makes Get adopt a valid ID that is not stored, in a
	// session that is not new, as werkzeug does with renew_missing=False.
	// It lets anyone who can set a cookie choose the ID of another user's
	// session (session fixation).
	//
	// Requests that adopt the same ID share a session when the first save is
	// that of the request that loaded first. A request that loaded before the
	// stored session began gets [ErrDeleted]: the session may be that of the
	// next visitor with the same ID, after a logout. Nor does a request that
	// loaded a session change the one that took up its ID afterwards. One
	// case cannot be prevented: a request that adopted the ID before the session
	// began, and saves after it ended, begins one under the ID again.
	KeepMissingID bool

	// IdleTimeout is the idle timeout: how long a session lives after it was last
	// saved or touched. A session's own (see [Session.SetIdleTimeout]) takes its
	// place. The default is 14 days. [Never] switches it off: then the store
	// expires no session for not being used, and pruning the directory is left to
	// others. Less than a second is refused. NIST SP 800-63B-4 names an hour at
	// most for AAL2 and 15 minutes for AAL3; ASVS 5.0 7.3.1.
	IdleTimeout time.Duration

	// Lifetime is the absolute timeout: how long a session lives after it was
	// made or renewed, however much it is used. The default is 30 days; [Never]
	// switches it off. Less than a second is refused. NIST SP 800-63B-4 names 30
	// days at most for AAL1, 24 hours for AAL2 and 12 for AAL3; ASVS 5.0 7.3.2.
	Lifetime time.Duration

	// MaxSessions is how many sessions an owner has at most (ASVS 5.0 7.1.2); zero
	// means any number. A login beyond ends the oldest one, by [Session.Created]. It is
	// [ErrTooManySessions], and stores nothing, when that is younger than five seconds,
	// perhaps the session of the first of two clicks.
	MaxSessions int

	// RefuseLogin makes every login beyond MaxSessions ErrTooManySessions.
	RefuseLogin bool

	// MaxSize is how many bytes the values of a session may take, encoded and
	// sealed. A save of more is [ErrTooLarge]. The default is 1 MiB.
	MaxSize int

	// Codec encodes the values of new sessions. The default is [JSON]. A
	// stored session keeps its codec, whatever this is.
	Codec Codec

	// Sealer encrypts the sessions at rest, each bound to its ID. The default
	// is not to. See [RotatingSealer] for changing keys.
	//
	// A session whose key was dropped is lost, and so are those from before a
	// Sealer was switched on or off. Get returns a new session, and one line in
	// the log has the likely cause. The files stay until they are pruned, and
	// List, which opens no seal, returns their IDs until then. A request that has
	// the ID of such a session ends it by [Session.Destroy], [Session.Login] or
	// [Session.Renew], for processes that have the key.
	Sealer Sealer

	// HashNames names the files by the SHA-256 of the ID, so that a listing of
	// the directory, or a backup, has no cookie that works. List then
	// returns the hashes.
	HashNames bool

	// Sync chooses the accidents that an acknowledged save survives. The default
	// is [SyncNone].
	Sync SyncMode

	// Observe is called for each event of the store's sessions, by the goroutine
	// that calls the store, and so by several at once. It runs while the session's
	// turn to be saved is held: it must return soon, and must not call the store,
	// nor save the session of its context, which would wait for itself. Package
	// metrics has one for Prometheus. The default is none, which costs nothing.
	Observe func(context.Context, Event)

	// Logger gets news for which no caller has an error: damaged files, files
	// that could not be tidied up, and a directory that others can list, that
	// cannot be written to or that was removed. The default is [slog.Default].
	Logger *slog.Logger
}

// SyncMode chooses the accidents that an acknowledged save survives.
type SyncMode int

const (
	// SyncNone is safe against crashes of processes. A power cut may take a
	// session back to an earlier state, or lose one that is larger than a page
	// or whose file was just made: a new session, and one that got another
	// owner or timeout or a much larger or smaller size. It never makes a wrong
	// or a half one.
	SyncNone SyncMode = iota

	// SyncFull waits for the disk: an acknowledged save, and an acknowledged
	// end of a session, survive a power cut. That takes about as long as a
	// disk takes for one write; see fdatasync(2). It does not wait for the
	// file's time: after a power cut the idle timeout may count from an
	// earlier use of the session.
	SyncFull
)

// A Sealer encrypts bytes so that they can be neither read nor changed, nor be
// opened in another context: that of another session, or of another time of
// creation or timeout. A key ring of package securecookie is one. Its methods
// are called by several goroutines at once.
type Sealer interface {
	// Seal returns plaintext, sealed for a context, in bytes of its own. It does not
	// keep plaintext.
	Seal(plaintext []byte, context string) ([]byte, error)

	// Open returns the plaintext of Seal, in bytes of its own. Bytes that were not
	// sealed for the context, under a key that it has, are an error.
	Open(sealed []byte, context string) ([]byte, error)
}

// A RotatingSealer is a [Sealer] that opens what several keys have sealed, one of
// which seals. A session is sealed anew, under that one, when it is saved or
// touched (see [CookieOptions].RenewOnAccess), also where nothing else changes.
//
// So an old key may be dropped one lifetime after the last process has stopped
// sealing with it: as long as a session can go unused, which is the longest idle
// timeout or, without one, the longest absolute one. A session still
// sealed under it has ended then.
type RotatingSealer interface {
	Sealer

	// Current reports whether Seal would use the key under which something is
	// sealed.
	Current(sealed []byte) bool
}

const (
	defaultMode    = 0o600
	defaultMaxSize = 1 << 20
	maxMaxSize     = 1 << 28 // two slots of it, and an int of 32 bits, are enough

	// minReadSize is read in any case, so that a smaller MaxSize than
	// before loses no session that is stored.
	minReadSize = 16 << 20
)

// withDefaults fills in the defaults, and finds all that is wrong.
func (o FilesystemOptions) withDefaults() (FilesystemOptions, error) {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Path == "" {
		o.Path = filepath.Join(os.TempDir(), fmt.Sprintf("sessions-%d", os.Getuid()))
	}
	path, err := absolutePath(o.Path)
	if err != nil {
		errs = append(errs, err)
	}
	o.Path = path
	if strings.ContainsRune(o.Path, 0) {
		refuse("Path has a NUL byte")
	}
	if o.FilenameTemplate == "" {
		o.FilenameTemplate = sessionfile.DefaultTemplate
	}
	if _, err := o.template(); err != nil {
		refuse("FilenameTemplate %w", err)
	}
	if o.Mode == 0 {
		o.Mode = defaultMode
	}
	if o.Mode&^0o660 != 0 || o.Mode&0o600 != 0o600 {
		refuse("Mode %04o: want 0600, 0640 or 0660; sessions are nobody else's business", o.Mode)
	}
	_, err = newTimeouts(o.IdleTimeout, o.Lifetime)
	errs = append(errs, err)
	if o.MaxSize == 0 {
		o.MaxSize = defaultMaxSize
	}
	if o.MaxSize < 0 || o.MaxSize > maxMaxSize {
		refuse("MaxSize %d: want 1 byte to 256 MiB", o.MaxSize)
	}
	if o.MaxSessions < 0 {
		refuse("MaxSessions is negative")
	}
	if o.Codec == nil {
		o.Codec = JSON()
	}
	errs = append(errs, checkCodec(o.Codec))
	if o.Sync != SyncNone && o.Sync != SyncFull {
		refuse("Sync is neither SyncNone nor SyncFull")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, errors.Join(errs...)
}

func (o *FilesystemOptions) template() (sessionfile.Template, error) {
	return sessionfile.ParseTemplate(o.FilenameTemplate, max(o.IDs.form.Length(), sessionfile.Hash.Length()))
}
