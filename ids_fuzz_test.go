package sessions_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
)

// No string that is given for an ID is an error, is adopted, or reaches a file
// that is not the session of that ID.
func FuzzID(f *testing.F) {
	hexes := strings.Repeat("0123456789abcdef", 4)
	for _, id := range []string{
		"", "a", ".", "..", "../secret", "/etc/passwd", "a/b", `a\b`, "\x00", "%s", "a\n",
		hexes, hexes + "\n", hexes[1:], hexes + "0", strings.ToUpper(hexes), hexes[:63] + "/", hexes[:61] + "/..", hexes[:63] + "g", hexes[:62] + "ä",
		"6ba7b810-9dad-41d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "{6ba7b810-9dad-41d1-80b4-00c04fd430c8}",
		"6ba7b8109dad41d180b400c04fd430c8", "urn:uuid:6ba7b810-9dad-41d1-80b4-00c04fd430c8", strings.Repeat("a", 300),
	} {
		f.Add(id)
	}
	parent := f.TempDir()
	// A file that a name which leads out of the directory would reach.
	if err := os.WriteFile(filepath.Join(parent, "secret"), []byte("outside"), 0o600); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(parent, "sessions")
	open := func(o sessions.FilesystemOptions) *sessions.FilesystemSessionStore {
		o.Path = path
		store, err := sessions.NewFilesystemSessionStore(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { store.Close() })
		return store
	}
	// Names that are the ID alone, and hashes.
	hex := open(sessions.FilesystemOptions{FilenameTemplate: "%s"})
	uuids := open(sessions.FilesystemOptions{FilenameTemplate: "%s", IDs: sessions.UUIDs()})
	hashed := open(sessions.FilesystemOptions{HashNames: true})
	f.Fuzz(func(t *testing.T, id string) {
		wantUnknown(t, hex, path, id, wellFormed(id, false))
		wantUnknown(t, uuids, path, id, wellFormed(id, true))
		wantUnknown(t, hashed, path, id, wellFormed(id, false))
		content, err := os.ReadFile(filepath.Join(parent, "secret"))
		if names := names(t, parent); err != nil || string(content) != "outside" || !slices.Equal(names, []string{"secret", "sessions"}) {
			t.Errorf("outside of the directory there are %q, and the file holds %q, %v", names, content, err)
		}
	})
}

// wantUnknown looks for the ID in an empty store, and in one with another session.
func wantUnknown(t *testing.T, store *sessions.FilesystemSessionStore, path, id string, valid bool) {
	t.Helper()
	s, err := store.Get(background, id)
	if err != nil || !s.New() || s.Len() != 0 || s.ID() == id {
		t.Fatalf("Get = %v, %v, adopted: %v", s, err, err == nil && s.ID() == id)
	}
	if got := store.IsValidKey(id); got != valid {
		t.Errorf("IsValidKey(%q) = %v", id, got)
	}
	if names := names(t, path); len(names) != 0 {
		t.Errorf("Get has made %q", names)
	}
	s.Set("a", 1)
	if err := store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	if again, err := store.Get(background, id); err != nil || !again.New() {
		t.Errorf("after another session was saved, Get = %v, %v", again, err)
	}
	if err := store.Delete(background, s); err != nil || len(names(t, path)) != 0 {
		t.Errorf("Delete = %v, and %d files are left", err, len(names(t, path)))
	}
}

// wellFormed is IsValidKey in other words than the package has for it.
func wellFormed(id string, uuids bool) bool {
	form := strings.Repeat("x", 64)
	if uuids {
		form = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx"
	}
	if len(id) != len(form) {
		return false
	}
	digits := map[byte]string{'x': "0123456789abcdef", 'y': "89ab", '-': "-", '4': "4"}
	for i := range len(form) {
		if strings.IndexByte(digits[form[i]], id[i]) < 0 {
			return false
		}
	}
	return true
}
