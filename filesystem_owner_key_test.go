package sessions_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
)

// A ringSealer has several keys. The first one seals, all open.
type ringSealer []string

func (r ringSealer) Seal(plaintext []byte, context string) ([]byte, error) {
	sealed, err := xorSealer{}.Seal(plaintext, r[0]+context)
	return append([]byte(r[0]+":"), sealed...), err
}

func (r ringSealer) Open(sealed []byte, context string) ([]byte, error) {
	key, sealed, _ := bytes.Cut(sealed, []byte(":"))
	if !slices.Contains(r, string(key)) {
		return nil, errors.New("no such key")
	}
	return xorSealer{}.Open(sealed, string(key)+context)
}

func (r ringSealer) Current(sealed []byte) bool { return bytes.HasPrefix(sealed, []byte(r[0]+":")) }

// owned saves a session of an owner and returns it, and the tag that its file
// has in the owner's place.
func owned(t testing.TB, store *sessions.FilesystemSessionStore, dir, owner string) (*sessions.Session, string) {
	t.Helper()
	before := names(t, dir)
	s := store.New()
	s.SetOwner(owner)
	save(t, store, s)
	for _, name := range names(t, dir) {
		if !slices.Contains(before, name) {
			return s, tagOf(t, filepath.Join(dir, name))
		}
	}
	t.Fatal("no file was made")
	return nil, ""
}

func tagOf(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`^sessions 1 .* owner=(\S+)`).FindSubmatch(text)
	if match == nil {
		t.Fatalf("no owner in the header of %.200q", text)
	}
	return string(match[1])
}

// keyFile is the file of the secret, which with no store in the directory is
// nobody's.
func keyFile(dir string) string { return filepath.Join(dir, ".owners.key") }

// Owners are numbers often. Whoever has the files, and not the key that seals
// them, must not be able to try all.
func TestOwnersCannotBeTriedAgainstTheHeaders(t *testing.T) {
	const owner = "123456"
	plain := sha256.Sum256([]byte("sessions owner " + owner))
	for name, o := range map[string]sessions.FilesystemOptions{
		"plain":            {},
		"hashed":           {HashNames: true},
		"sealed":           {Sealer: ringSealer{"k"}},
		"sealed, hashed":   {Sealer: ringSealer{"k"}, HashNames: true},
		"sealed, synced":   {Sealer: ringSealer{"k"}, Sync: sessions.SyncFull},
		"sealed, for many": {Sealer: ringSealer{"k"}, Mode: 0o640},
	} {
		t.Run(name, func(t *testing.T) {
			o.Path = t.TempDir()
			_, tag := owned(t, newStore(t, o), o.Path, owner)
			if strings.Contains(tag, hex.EncodeToString(plain[:8])) {
				t.Error("the tag is a hash that needs no secret")
			}
			elsewhere := o
			elsewhere.Path = t.TempDir()
			if _, other := owned(t, newStore(t, elsewhere), elsewhere.Path, owner); other == tag {
				t.Error("two directories have the same secret")
			}
			if got, want := secretIsIn(t, keyFile(o.Path), tag, owner), o.Sealer == nil; got != want {
				t.Errorf("the secret can be read: %v, want %v", got, want)
			}
			info, err := os.Stat(keyFile(o.Path))
			if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
	}
}

// secretIsIn tries all that a file has as the secret.
func secretIsIn(t *testing.T, file, tag, owner string) bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(tag, ".")
	isSecret := func(secret []byte) bool {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(owner))
		return strings.HasPrefix(hex.EncodeToString(mac.Sum(nil)), want)
	}
	for i := range len(text) - 64 {
		decoded, err := hex.DecodeString(string(text[i : i+64]))
		if isSecret(text[i:i+32]) || err == nil && isSecret(decoded) {
			return true
		}
	}
	return false
}

func TestTheOwnersKeyIsMadeByTheFirstOwnerOrEnd(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := saved(t, store, "a", 1)
	s.Renew()
	save(t, store, s)
	for range store.ListOwner(background, "ann") {
		t.Error("a session of nobody's is listed")
	}
	if ended, err := store.DeleteOne(background, "ann", s.PublicID()); ended || err != nil {
		t.Errorf("DeleteOne = %v, %v", ended, err)
	}
	if _, err := os.Stat(keyFile(dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no owner was set, and the key is there: %v", err)
	}
	if n, err := store.DeleteOwner(background, "ann"); n != 0 || err != nil { // which leaves a mark
		t.Errorf("DeleteOwner = %d, %v", n, err)
	}
	owned(t, store, dir, "ann")
	if _, err := os.Stat(keyFile(dir)); err != nil {
		t.Error(err)
	}
	if report, err := store.Prune(background, prune.Options{RemoveCorrupt: true}); err != nil ||
		report.Foreign != 0 || report.Entries != 2 {
		t.Errorf("Prune counts %d names, %d foreign, %v; want the two sessions", report.Entries, report.Foreign, err)
	}
}

func TestTheOwnersKeyIsOneForAllWhoComeAtOnce(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		tags := make(chan string, 8)
		var wg sync.WaitGroup
		for range cap(tags) {
			store := newStore(t, sessions.FilesystemOptions{Path: dir})
			s := store.New()
			s.SetOwner("ann")
			wg.Go(func() {
				if err := store.Save(background, s); err != nil {
					t.Error(err)
				}
				tags <- tagOf(t, filepath.Join(dir, "session_"+s.ID()+".sess"))
			})
		}
		wg.Wait()
		first := <-tags
		for range cap(tags) - 1 {
			if tag := <-tags; tag != first {
				t.Fatalf("two secrets, one of %s and one of %s", first, tag)
			}
		}
		if got := len(names(t, dir)); got != cap(tags) {
			t.Errorf("%d files, want %d", got, cap(tags))
		}
	}
}

// However often the secret is lost, the sessions of an owner are found.
func TestSessionsOfAnOwnerAreFoundWithoutTheOwnersKey(t *testing.T) {
	lose := map[string]func(t *testing.T, o *sessions.FilesystemOptions){
		"removed": func(t *testing.T, o *sessions.FilesystemOptions) { os.Remove(keyFile(o.Path)) },
		"emptied": func(t *testing.T, o *sessions.FilesystemOptions) { os.Truncate(keyFile(o.Path), 0) },
		"overwritten": func(t *testing.T, o *sessions.FilesystemOptions) {
			if err := os.WriteFile(keyFile(o.Path), []byte("garbage"), 0o600); err != nil {
				t.Error(err)
			}
		},
		"another's": func(t *testing.T, o *sessions.FilesystemOptions) {
			dir := t.TempDir()
			owned(t, newStore(t, sessions.FilesystemOptions{Path: dir}), dir, "bob")
			if err := os.Rename(keyFile(dir), keyFile(o.Path)); err != nil {
				t.Error(err)
			}
		},
	}
	for name, lose := range lose {
		for kind, o := range map[string]sessions.FilesystemOptions{
			"plain": {}, "hashed": {HashNames: true}, "sealed": {Sealer: ringSealer{"k"}},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				o.Path = t.TempDir()
				running := newStore(t, o)
				kept, _ := owned(t, running, o.Path, "ann")
				owned(t, running, o.Path, "bob")
				lose(t, &o)
				store := newStore(t, o)
				for range 2 { // before there is another key, and after
					if got := len(listOwner(t, store, "ann")); got == 0 {
						t.Error("no session is listed")
					}
					_, tag := owned(t, store, o.Path, "ann")
					_, again := owned(t, newStore(t, o), o.Path, "ann")
					if tag != again {
						t.Errorf("two secrets, one of %s and one of %s", tag, again)
					}
				}
				for _, store := range []*sessions.FilesystemSessionStore{store, running, newStore(t, o)} {
					if got := len(listOwner(t, store, "ann")); got != 5 {
						t.Errorf("%d sessions are listed, want 5", got)
					}
				}
				if n, err := store.DeleteOwner(background, "ann", kept.PublicID()); n != 4 || err != nil {
					t.Errorf("DeleteOwner = %d, %v; want 4", n, err)
				}
				owned(t, running, o.Path, "ann") // under the old secret
				if n, err := store.DeleteOwner(background, "ann"); n != 2 || err != nil {
					t.Errorf("DeleteOwner = %d, %v; want 2", n, err)
				}
				if got := len(names(t, o.Path)); got != 1 {
					t.Errorf("%d files are left, want bob's", got)
				}
			})
		}
	}
}

func listOwner(t testing.TB, store *sessions.FilesystemSessionStore, owner string) (found []sessions.SessionInfo) {
	t.Helper()
	for info, err := range store.ListOwner(background, owner) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, info)
	}
	return found
}

// A save of a session whose owner stays needs no secret.
func TestOnlyWhatSetsAnOwnerNeedsTheOwnersKey(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir()}
	s, tag := owned(t, newStore(t, o), o.Path, "ann")
	if err := errors.Join(os.Remove(keyFile(o.Path)), os.Mkdir(keyFile(o.Path), 0o700)); err != nil {
		t.Fatal(err)
	}
	store := newStore(t, o)
	s = get(t, store, s.ID())
	for _, change := range []func(){
		func() { s.Set("a", 1) },
		func() { s.Set("a", strings.Repeat("x", 10_000)) },
		func() { s.SetIdleTimeout(1 << 40) },
		func() { s.Renew() },
	} {
		change()
		save(t, store, s)
		file := filepath.Join(o.Path, "session_"+s.ID()+".sess")
		if again := get(t, store, s.ID()); again.Owner() != "ann" || tagOf(t, file) != tag {
			t.Errorf("owner %q, tag %s; want %s", again.Owner(), tagOf(t, file), tag)
		}
	}
	s.SetOwner("bob")
	if err := store.Save(background, s); err == nil || errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("an owner whose tag cannot be made: %v", err)
	}
	s.SetOwner("")
	save(t, store, s)
	if s = get(t, store, s.ID()); s.Owner() != "" || s.Get("a") == nil {
		t.Errorf("%v, of %q", s, s.Owner())
	}
}

func TestTheOwnersKeyIsSealedAnewWhenKeysRotate(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir(), Sealer: ringSealer{"old"}}
	_, tag := owned(t, newStore(t, o), o.Path, "ann")
	for _, ring := range []ringSealer{{"new", "old"}, {"new"}, {"newer", "new"}, {"newer"}} {
		o.Sealer = ring
		store := newStore(t, o)
		for range store.ListOwner(background, "ann") { // which reads the secret, and does not write it
		}
		if _, got := owned(t, store, o.Path, "ann"); got != tag {
			t.Errorf("with %q there is another secret", ring)
		}
	}
}

// A secret that stood in clear is not used where sessions are sealed, and where
// they are not sealed any more a new one is made.
func TestTheOwnersKeyIsAnotherOneWhenTheSealerIsSwitchedOnOrOff(t *testing.T) {
	var log safeBuffer
	o := sessions.FilesystemOptions{Path: t.TempDir(), Logger: textLogger(&log)}
	tags := make(map[string]bool)
	for i, sealer := range []sessions.Sealer{nil, ringSealer{"k"}, nil, ringSealer{"k"}, ringSealer{"other"}} {
		o.Sealer = sealer
		_, tag := owned(t, newStore(t, o), o.Path, "ann")
		if tags[tag] || secretIsIn(t, keyFile(o.Path), tag, "ann") != (sealer == nil) {
			t.Errorf("store %d has the secret of another", i)
		}
		tags[tag] = true
	}
	if got := strings.Count(log.String(), "\n"); got != 4 {
		t.Errorf("%d lines in the log, want one for each new secret: %s", got, log.String())
	}
}

// Sessions that this process cannot open are ended where their tag tells whose
// they are. Otherwise they are an error, never no sessions.
func TestSessionsOfAnOwnerThatDoNotOpenAreEndedOrAnError(t *testing.T) {
	o := sessions.FilesystemOptions{Path: t.TempDir(), Sealer: ringSealer{"old"}}
	behind := newStore(t, o)
	owned(t, behind, o.Path, "ann")
	o.Sealer = ringSealer{"new", "old"}
	ahead := newStore(t, o)
	owned(t, ahead, o.Path, "ann")
	owned(t, ahead, o.Path, "bob")
	listed, failed := 0, 0
	for _, err := range behind.ListOwner(background, "ann") {
		if err != nil {
			failed++
			continue
		}
		listed++
	}
	if listed != 1 || failed != 1 {
		t.Errorf("%d sessions and %d errors are listed, want one of each", listed, failed)
	}
	if n, err := behind.DeleteOwner(background, "ann"); n != 2 || err != nil {
		t.Errorf("DeleteOwner = %d, %v; want 2", n, err)
	}
	if got := len(listOwner(t, ahead, "bob")); got != 1 {
		t.Errorf("%d sessions of bob's are left", got)
	}

	// A process that has not read the secret yet, and cannot.
	o.Sealer = ringSealer{"old"}
	late := newStore(t, o)
	if n, err := late.DeleteOwner(background, "bob"); n != 0 || err == nil {
		t.Errorf("DeleteOwner = %d, %v; want an error", n, err)
	}
	for s, err := range late.ListOwner(background, "bob") {
		if err == nil {
			t.Errorf("ListOwner gives %v; want an error", s)
		}
		failed--
	}
	if failed != 0 {
		t.Error("ListOwner gives nothing, want an error")
	}
}

// Several processes come to a directory that has no secret, or a damaged one.
func childOwn() error {
	store, _, err := childStore()
	if err != nil {
		return err
	}
	s := store.New()
	s.SetOwner("ann")
	if err := store.Save(background, s); err != nil {
		return err
	}
	fmt.Println(s.ID())
	return nil
}

func TestTheOwnersKeyIsOneForAllProcesses(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if damaged {
			if err := os.WriteFile(keyFile(dir), []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if out, err := child("own", dirVariable+"="+dir).Output(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		wg.Wait()
		tags := make(map[string]bool)
		for _, name := range names(t, dir) {
			tags[tagOf(t, filepath.Join(dir, name))] = true
		}
		if len(tags) != 1 {
			t.Errorf("damaged before %v: %d secrets, want one", damaged, len(tags))
		}
	}
}
