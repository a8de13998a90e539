package sessions_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// xorSealer is a sealer for tests: it binds to its context and hides the
// plaintext from a search, and is no cryptography.
type xorSealer struct{}

func (xorSealer) Seal(plaintext []byte, context string) ([]byte, error) {
	sum := sha256.Sum256(append([]byte(context+"\x00"), plaintext...))
	sealed := append([]byte("sealed:"), sum[:]...)
	for _, c := range plaintext {
		sealed = append(sealed, c^0xff)
	}
	return sealed, nil
}

func (x xorSealer) Open(sealed []byte, context string) ([]byte, error) {
	rest, ok := bytes.CutPrefix(sealed, []byte("sealed:"))
	if !ok || len(rest) < sha256.Size {
		return nil, errors.New("not sealed")
	}
	var plaintext []byte
	for _, c := range rest[sha256.Size:] {
		plaintext = append(plaintext, c^0xff)
	}
	if again, _ := x.Seal(plaintext, context); !bytes.Equal(again, sealed) {
		return nil, errors.New("sealed as something else")
	}
	return plaintext, nil
}

func fileOf(t testing.TB, dir string, s *sessions.Session) string {
	t.Helper()
	return filepath.Join(dir, "session_"+s.ID()+".sess")
}

func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFilesystemFileBeginsWithALineForPeopleAndHasReadableValues(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour})
	s := store.New()
	s.Set("greeting", "hello")
	s.SetIdleTimeout(30 * 24 * time.Hour)
	save(t, store, s)
	text := content(t, fileOf(t, dir, s))
	line, _, _ := strings.Cut(text, "\n")
	want := "sessions 1 created=" + s.Created().Format(time.RFC3339Nano) + " idle-timeout=3600s lifetime=0s own-idle-timeout=2592000s codec=json slot="
	if !strings.HasPrefix(line, want) {
		t.Errorf("the file begins with\n%s\nwant\n%s…", line, want)
	}
	if !strings.Contains(text, `{"greeting":"hello"}`) {
		t.Error("the values are not readable in the file")
	}
	if len(text) > 4096 {
		t.Errorf("%d bytes, want one block at most", len(text))
	}
}

func TestSealerMakesASessionUnreadableAndBindsItToItsID(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, Sealer: xorSealer{}})
	s := store.New()
	s.Set("greeting", "hello")
	s.SetOwner("ann")
	save(t, store, s)
	file := fileOf(t, dir, s)
	for _, word := range []string{"greeting", "hello", "ann", "YW5u"} {
		if strings.Contains(content(t, file), word) {
			t.Errorf("the file shows %q", word)
		}
	}
	again := get(t, store, s.ID())
	again.Set("more", 1)
	save(t, store, again)
	save(t, store, s)
	if got := get(t, store, s.ID()); got.Get("greeting") != "hello" || got.Get("more") != int64(1) || got.Owner() != "ann" {
		t.Errorf("%v of %q after two saves", values(got), got.Owner())
	}

	other := saved(t, store, "k", "v")
	if err := os.WriteFile(fileOf(t, dir, other), []byte(content(t, file)), 0o600); err != nil {
		t.Fatal(err)
	}
	gone(t, store, other.ID()) // another session's file
	if err := store.Save(background, other); !errors.Is(err, sessions.ErrCorrupt) {
		t.Errorf("Save over it = %v, want ErrCorrupt", err)
	}
}

func TestSealerRefusesUnsealedBytes(t *testing.T) {
	dir := t.TempDir()
	plain := newStore(t, sessions.FilesystemOptions{Path: dir})
	sealed := newStore(t, sessions.FilesystemOptions{Path: dir, Sealer: xorSealer{}})
	p, s := saved(t, plain, "a", 1), saved(t, sealed, "a", 1)
	gone(t, sealed, p.ID())
	gone(t, plain, s.ID())
	bytesOf := map[*sessions.Session]string{p: content(t, fileOf(t, dir, p)), s: content(t, fileOf(t, dir, s))}
	for store, row := range map[sessions.SessionStore][2]*sessions.Session{plain: {p, s}, sealed: {s, p}} {
		own, other := row[0], row[1]
		if err := os.WriteFile(fileOf(t, dir, own), []byte(bytesOf[other]), 0o600); err != nil {
			t.Fatal(err)
		}
		if own.Set("b", 1); !errors.Is(store.Save(background, own), sessions.ErrCorrupt) {
			t.Error("a save did not refuse it")
		}
		if content(t, fileOf(t, dir, own)) != bytesOf[other] {
			t.Error("refusing changed what is stored")
		}
	}
}

func TestHashNamesLeavesNoUsableCookieInAListing(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, HashNames: true})
	s := saved(t, store, "a", 1)
	sum := sha256.Sum256([]byte(s.ID()))
	hash := hex.EncodeToString(sum[:])
	if got := names(t, dir); len(got) != 1 || got[0] != "session_"+hash+".sess" || strings.Contains(content(t, filepath.Join(dir, got[0])), s.ID()) {
		t.Errorf("the directory shows %q", got)
	}
	if got := list(t, store); len(got) != 1 || got[0] != hash {
		t.Errorf("List gives %d, want the hash", len(got))
	}
	gone(t, store, hash)
	if again := get(t, store, s.ID()); again.New() || again.Get("a") != int64(1) {
		t.Errorf("%v under the ID itself", again)
	}
	s.SetOwner("ann")
	save(t, store, s)
	for _, info := range listOwner(t, store, "ann") {
		if info.PublicID != hash {
			t.Fatal("ListOwner gives another public ID")
		}
		if n, err := store.DeleteOwner(background, "ann", hash); n != 0 || err != nil {
			t.Errorf("DeleteOwner that keeps it = %d, %v", n, err)
		}
		gone(t, store, hash)
		if ended, err := store.DeleteOne(background, "ann", hash); !ended || err != nil {
			t.Errorf("DeleteOne = %v, %v", ended, err)
		}
	}
	gone(t, store, s.ID())
}

func TestCodecOfASessionStaysWhenTheStoreChangesItsOwn(t *testing.T) {
	dir := t.TempDir()
	asJSON := newStore(t, sessions.FilesystemOptions{Path: dir})
	asGob := newStore(t, sessions.FilesystemOptions{Path: dir, Codec: sessions.Gob()})
	own := newStore(t, sessions.FilesystemOptions{Path: dir, Codec: upperCodec{}})
	stores := []*sessions.FilesystemSessionStore{asJSON, asGob, own}
	for _, writer := range stores[:2] {
		s := saved(t, writer, "a", "x")
		for i, reader := range stores {
			s := get(t, reader, s.ID())
			if s.Get("a") != "x" {
				t.Fatalf("a = %v from another store", s.Get("a"))
			}
			s.Set("n", i)
			save(t, reader, s)
		}
		want := map[string]any{"a": "x", "n": any(int64(2))}
		if writer == asGob {
			want["n"] = 2
		}
		if got := values(get(t, writer, s.ID())); !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	// A codec that this store does not know is no damage: the session is not lost.
	s := saved(t, own, "a", "x")
	if got, err := asJSON.Get(background, s.ID()); err == nil || errors.Is(err, sessions.ErrCorrupt) {
		t.Errorf("Get = %v, %v; want an error", got, err)
	}
	if got := get(t, own, s.ID()).Get("a"); got != "X" {
		t.Errorf("a = %v", got)
	}
}

// upperCodec keeps strings in upper case.
type upperCodec struct{}

func (upperCodec) Name() string { return "upper-1" }

func (upperCodec) Marshal(v any) ([]byte, error) {
	if s, ok := v.(string); ok {
		return []byte(strings.ToUpper(s)), nil
	}
	return nil, errors.New("upper: not a string")
}

func (upperCodec) Unmarshal(data []byte, v any) error {
	switch v := v.(type) {
	case *any:
		*v = string(data)
	case *string:
		*v = string(data)
	default:
		return errors.New("upper: not a string")
	}
	return nil
}

func TestGetOfADamagedSessionIsANewOneAndIsLoggedOnce(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	store := newStore(t, sessions.FilesystemOptions{Path: dir, Logger: textLogger(&log)})
	for what, damage := range map[string]string{"empty": "", "text": "hello", "no JSON object": "[1]"} {
		s := saved(t, store, "a", 1)
		file := fileOf(t, dir, s)
		if err := os.WriteFile(file, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		for range 3 {
			gone(t, store, s.ID())
		}
		if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), s.ID()) {
			t.Errorf("%s: logged %d times, want once and without the ID", what, n)
		}
		if s.Set("b", 1); !errors.Is(store.Save(background, s), sessions.ErrCorrupt) {
			t.Errorf("%s: a save did not refuse it", what)
		}
		if err := store.Delete(background, s); err != nil {
			t.Errorf("%s: Delete = %v", what, err)
		}
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("left: %d files", len(left))
	}
}
