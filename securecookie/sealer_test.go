package securecookie_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

// sealedStore opens a directory of session files that a key ring seals.
func sealedStore(t *testing.T, dir string, keys ...securecookie.Key) *sessions.FilesystemSessionStore {
	t.Helper()
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, Sealer: newRing(t, "", keys...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func saved(t *testing.T, store *sessions.FilesystemSessionStore, value string) string {
	t.Helper()
	s := store.New()
	s.Set("a", value)
	s.SetOwner("owner of " + value)
	if err := store.Save(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	return s.ID()
}

// wants checks a store's session for an ID: want "" means a new session.
func wants(t *testing.T, store *sessions.FilesystemSessionStore, what, id, want string) {
	t.Helper()
	s, err := store.Get(context.Background(), id)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if got, _ := s.Get("a").(string); got != want || s.New() != (want == "") || (s.ID() == id) != (want != "") {
		t.Errorf("%s: got %q, new %v", what, got, s.New())
	}
}

func TestSealerMakesFilesUnreadableAndBoundToTheirIDs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	store := sealedStore(t, dir, securecookie.GenerateKey())
	mine, theirs := saved(t, store, "my secret"), saved(t, store, "their secret")
	wants(t, store, "my own", mine, "my secret")
	file := func(id string) string { return filepath.Join(dir, "session_"+id+".sess") }
	content, err := os.ReadFile(file(theirs))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte("secret")) || bytes.Contains(content, []byte("owner of")) {
		t.Error("readable on the disk")
	}
	if err := os.WriteFile(file(mine), content, 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, store, "a copy under another ID's name", mine, "")
	wants(t, store, "the original", theirs, "their secret")
}

func TestSealerRotatesTheKeysOfFilesThatAreSaved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	old, current := securecookie.GenerateKey(), securecookie.GenerateKey()
	id := saved(t, sealedStore(t, dir, old), "kept")

	both := sealedStore(t, dir, current, old)
	wants(t, both, "rotated", id, "kept")
	wants(t, sealedStore(t, dir, current), "the old key dropped", id, "")

	s, err := both.Get(context.Background(), id) // a save seals with the first key
	if err != nil {
		t.Fatal(err)
	}
	s.Set("a", strings.ToUpper(s.Get("a").(string)))
	if err := both.Save(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	wants(t, sealedStore(t, dir, current), "saved since, the old key dropped", id, "KEPT")
	wants(t, sealedStore(t, dir, old), "saved since, the old key alone", id, "")
}

func TestSealerRotatesTheKeysOfFilesThatAreTouched(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	old, current := securecookie.GenerateKey(), securecookie.GenerateKey()
	id := saved(t, sealedStore(t, dir, old), "kept")
	both := sealedStore(t, dir, current, old)
	s, err := both.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if touched, err := both.Touch(context.Background(), s, 0); !touched || err != nil {
		t.Errorf("Touch = %v, %v", touched, err)
	}
	wants(t, sealedStore(t, dir, current), "touched since, the old key dropped", id, "kept")
}

func TestCurrentTellsWhatTheFirstKeySealed(t *testing.T) {
	old, current := securecookie.GenerateKey(), securecookie.GenerateKey()
	before, both := newRing(t, "", old), newRing(t, "", current, old)
	seal := func(ring *securecookie.KeyRing) []byte {
		sealed, err := ring.Seal([]byte("data"), "context")
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	for _, row := range []struct {
		name   string
		ring   *securecookie.KeyRing
		sealed []byte
		want   bool
	}{
		{"the first key", both, seal(both), true},
		{"the second key", both, seal(before), false},
		{"the only key", before, seal(before), true},
		{"no key of the ring", before, seal(both), false},
		{"nothing", both, nil, false},
		{"too little", both, seal(both)[:16], false},
		{"another version", both, append([]byte{2}, seal(both)[1:]...), false},
		{"no ring", new(securecookie.KeyRing), seal(both), false},
	} {
		if got := row.ring.Current(row.sealed); got != row.want {
			t.Errorf("%s: got %v", row.name, got)
		}
	}
}

// A process that does not have the key yet leaves cookies that it cannot open to the
// others, until the user logs out there.
func TestLogoutExpiresCookiesThatANewerKeySealed(t *testing.T) {
	old, current := securecookie.GenerateKey(), securecookie.GenerateKey()
	ahead := newCarrier(t, newRing(t, "test", current, old), securecookie.CarrierOptions{})
	behind := newCarrier(t, newRing(t, "test", old), securecookie.CarrierOptions{})
	for _, size := range []int{1, 5_000} { // in one cookie, and in two
		b := &browser{t: t, carrier: ahead}
		b.put("a", strings.Repeat("x", size))
		b.carrier = behind
		if got := b.get("a"); got != nil || len(b.set) != 0 {
			t.Errorf("%d bytes: a read without the key gives %v and sets %d cookies", size, got, len(b.set))
		}
		b.visit((*sessions.Session).Destroy)
		if len(b.cookies) != 0 {
			t.Errorf("%d bytes: %q are left after the logout", size, b.names())
		}
	}
}
