package sessions

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
)

const (
	ownersKeyMode = 0o600
	ownersKeySize = 32       // bytes
	ownersKeyMax  = 64 << 10 // bytes, sealed
	ownerTagSize  = 16       // bytes

	ownersKeyMeta = "owners 1" // the text of the file's header
)

// An ownerKey is a random secret of a directory. Under it, the header of a
// session's file names the owner by an HMAC. The owners of most applications are
// numbers or addresses, which a plain hash would not hide: they can be tried.
type ownerKey struct {
	id     string // begins every tag
	secret []byte
}

func newOwnerKey(secret []byte) *ownerKey {
	sum := sha256.Sum256(secret)
	return &ownerKey{hex.EncodeToString(sum[:8]), secret}
}

// tag returns the tag of an owner, the key's id and the HMAC.
func (k *ownerKey) tag(owner string) string {
	mac := hmac.New(sha256.New, k.secret)
	io.WriteString(mac, owner)
	return k.id + "." + hex.EncodeToString(mac.Sum(nil)[:ownerTagSize])
}

// made reports whether a tag was made under the key.
func (k *ownerKey) made(tag string) bool { return k != nil && isTag(k.id, tag) }

// isTag reports whether a tag has the form of one that was made under the key of that
// id.
func isTag(id, tag string) bool {
	mac, ok := strings.CutPrefix(tag, id+".")
	_, err := hex.DecodeString(mac)
	return ok && err == nil && len(mac) == hex.EncodedLen(ownerTagSize)
}

// An ownerKeyFile is the file that has the directory's key.
type ownerKeyFile struct {
	format *fileFormat // of the sessions, for its Sealer
	log    *slog.Logger
	files  slotfile.Files
}

// load reads the key. With write, one that cannot be read is replaced, and one
// that is not sealed as it would be sealed now is sealed anew.
func (f *ownerKeyFile) load(ctx context.Context, write bool) (key *ownerKey, err error) {
	for key == nil && err == nil {
		rec, readErr := f.files.Read(ctx, sessionfile.OwnersKey)
		found, current := f.open(rec.Payload)
		switch {
		case readErr == nil && (current || !write):
			return found, nil
		case readErr == nil, errors.Is(readErr, slotfile.ErrCorrupt):
			if !write {
				return nil, nil
			}
			key, err = f.replace(ctx)
		case !errors.Is(readErr, fs.ErrNotExist):
			return nil, readErr
		case !write:
			return nil, nil
		default:
			key, err = f.create(ctx)
		}
	}
	return key, err
}

// create writes a new key. It returns nil when another process was faster.
func (f *ownerKeyFile) create(ctx context.Context) (*ownerKey, error) {
	key := newOwnerKey(randomSecret())
	payload, err := f.seal(key)
	if err == nil {
		err = f.files.Create(ctx, sessionfile.OwnersKey, []byte(ownersKeyMeta), payload, false)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	return key, err
}

// replace writes a key over one that cannot be read, or is not sealed as it
// would be sealed now. It returns nil when there is no file any more.
func (f *ownerKeyFile) replace(ctx context.Context) (*ownerKey, error) {
	var file slotfile.Lock
	err := f.files.Lock(ctx, sessionfile.OwnersKey, &file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, slotfile.ErrCorrupt):
		return nil, errors.New(sessionfile.OwnersKey + " is not a regular file")
	case err != nil:
		return nil, err
	}
	defer file.Unlock()
	if file.Err() != nil {
		f.logUnreadable()
		_, err := file.Remove()
		return nil, err
	}
	key, current := f.open(string(file.Payload()))
	switch {
	case current: // another process was faster
		return key, nil
	case key == nil:
		f.logUnreadable()
		key = newOwnerKey(randomSecret())
	}
	payload, err := f.seal(key)
	if err != nil {
		return nil, err
	}
	return key, file.Write(ctx, []byte(ownersKeyMeta), payload, false)
}

func (f *ownerKeyFile) logUnreadable() {
	f.log.Warn("sessions: the secret that owners are found by cannot be read, and is made anew; it is damaged, or was sealed under a key that is not known any more. No session is lost, but finding the older ones of an owner takes longer")
}

func randomSecret() []byte {
	secret := make([]byte, ownersKeySize)
	rand.Read(secret) // never fails, by its documentation
	return secret
}

// seal returns the file's payload for a key.
func (f *ownerKeyFile) seal(key *ownerKey) (string, error) {
	if f.format.sealer == nil {
		return hex.EncodeToString(key.secret), nil
	}
	sealed, err := f.format.sealer.Seal(key.secret, sessionfile.OwnersKey)
	return string(sealed), err
}

// open is the inverse of seal. It returns nil for a payload that seal does not
// write, and whether it would be sealed as it is. A secret that stood in clear is
// not used under a Sealer: a backup may have it.
func (f *ownerKeyFile) open(payload string) (key *ownerKey, current bool) {
	var secret []byte
	var err error
	if f.format.sealer == nil {
		secret, err = hex.DecodeString(payload)
	} else {
		secret, err = f.format.sealer.Open([]byte(payload), sessionfile.OwnersKey)
	}
	if err != nil || len(secret) != ownersKeySize {
		return nil, false
	}
	return newOwnerKey(secret), f.format.isSealedNow([]byte(payload))
}
