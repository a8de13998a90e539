package sessionfile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
)

const (
	// DefaultTemplate is the template of stores without one in their options.
	DefaultTemplate = "session_%s.sess"

	// TempSuffix ends the names of unfinished files. A killed writer leaves its
	// file behind, until the directory is pruned.
	TempSuffix = ".__sess_tmp"

	// maxName is the limit of the usual file systems, in bytes.
	maxName = 255
)

// The names of files that stores and pruners make for themselves.
const (
	OwnersLock = ".owners.lock"    // see package dirlock
	OwnersTurn = ".owners.turn"    // see package dirlock
	OwnersKey  = ".owners.key"     // the secret under which headers name owners
	OwnersDir  = ".owners"         // see package ownerindex
	PruneLock  = ".sessprune.lock" // where a directory cannot be locked
	FilesLock  = ".sessions.lock"  // dirfs.LockName, where a file cannot be locked
)

// IsOwn reports whether a name is one of the files that stores and pruners make for
// themselves. No session's file has such a name, whatever the template.
func IsOwn(name string) bool {
	return name == OwnersDir || name == OwnersLock || name == OwnersTurn || name == OwnersKey || name == PruneLock || name == FilesLock
}

// A Name is the name of a session's file.
type Name struct {
	File string
	Key  string // the part of File that stands for the session: its ID, or the ID's hash
}

// A Template has the parts of a file's name around the key.
type Template struct{ prefix, suffix string }

// ParseTemplate splits a text with one %s in it. A name with a key of keyLength
// bytes must not be longer than 255 bytes.
func ParseTemplate(text string, keyLength int) (Template, error) {
	var why string
	switch {
	case strings.ContainsAny(text, `/\`+string(filepath.Separator)):
		why = "names a file, not a path: put the directory into Path"
	case strings.Count(text, "%s") != 1:
		why = "needs exactly one %s, for the session's ID"
	case strings.Count(text, "%") != 1:
		why = "has a % besides its %s"
	case strings.HasSuffix(text, TempSuffix):
		why = "ends in " + TempSuffix + ", which is for unfinished files"
	case strings.ContainsAny(text, "\x00\n"):
		why = "has a NUL byte or a line break"
	case len(text)-len("%s")+keyLength > maxName:
		why = fmt.Sprintf("makes names of more than %d bytes", maxName)
	default:
		prefix, suffix, _ := strings.Cut(text, "%s")
		return Template{prefix, suffix}, nil
	}
	return Template{}, fmt.Errorf("%q %s", text, why)
}

// Name returns the name of the file of a key.
func (t Template) Name(key string) Name { return Name{t.prefix + key + t.suffix, key} }

// Parse is the inverse of Name, for keys of every form.
func (t Template) Parse(file string) (Name, bool) {
	name, ok := t.cut(file)
	return name, ok && (UUID.Matches(name.Key) || isHexOfAnyLength(name.Key))
}

// ParseForm is Parse for keys of one form.
func (t Template) ParseForm(file string, f Form) (Name, bool) {
	name, ok := t.cut(file)
	return name, ok && f.Matches(name.Key)
}

func (t Template) cut(file string) (Name, bool) {
	if len(file) < len(t.prefix)+len(t.suffix) || !strings.HasPrefix(file, t.prefix) || !strings.HasSuffix(file, t.suffix) {
		return Name{}, false
	}
	return Name{file, file[len(t.prefix) : len(file)-len(t.suffix)]}, true
}

// ShortHash returns eight hex digits of a name's hash, for logs: enough to match two
// log lines, not enough to identify the file.
func ShortHash(file string) string {
	sum := sha256.Sum256([]byte(file))
	return hex.EncodeToString(sum[:4])
}
