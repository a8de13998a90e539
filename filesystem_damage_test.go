package sessions_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
)

// rewriteHeader changes a file's first line, as an attacker would who knows the
// format, and its checksum.
func rewriteHeader(t *testing.T, path, old, new string) {
	t.Helper()
	text := content(t, path)
	line, rest, _ := strings.Cut(text, " sum=")
	changed := strings.Replace(line, old, new, 1)
	if changed == line || len(changed) != len(line) {
		t.Fatal("the header has no such text, or of another length")
	}
	sum := uint64(crc32.Checksum([]byte(changed), crc32.MakeTable(crc32.Castagnoli)))<<32 |
		uint64(crc32.ChecksumIEEE([]byte(changed)))
	text = fmt.Sprintf("%s sum=%016x%s", changed, sum, rest[16:])
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSealerCoversTheHeader(t *testing.T) {
	for _, test := range []struct {
		name   string
		sealer sessions.Sealer
		new    bool
	}{
		{"sealed", xorSealer{}, true},
		{"not sealed", nil, false}, // or the test would show nothing
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			store := newStore(t, sessions.FilesystemOptions{Path: dir, Sealer: test.sealer})
			s := saved(t, store, "user", "ann")
			rewriteHeader(t, fileOf(t, dir, s), "created=20", "created=21")
			if got := get(t, store, s.ID()).New(); got != test.new {
				t.Errorf("a session whose creation was moved is new: got %v, want %v", got, test.new)
			}
		})
	}
}

func TestDestroyOfADamagedSession(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := saved(t, store, "user", "ann")
	path := fileOf(t, dir, s)
	if err := os.WriteFile(path, []byte("no session"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Set("a", 1)
	if err := store.Save(background, s); !errors.Is(err, sessions.ErrCorrupt) {
		t.Errorf("saving it: got %v, want ErrCorrupt", err)
	}
	s.Destroy()
	if err := store.Save(background, s); err != nil {
		t.Errorf("ending it: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the damaged file is still there (%v)", err)
	}
}

func TestMaxSizeThatShrinksLosesNoStoredSession(t *testing.T) {
	dir := t.TempDir()
	large := newStore(t, sessions.FilesystemOptions{Path: dir, MaxSize: 4 << 20})
	s := saved(t, large, "text", strings.Repeat("x", 3<<20))
	small := newStore(t, sessions.FilesystemOptions{Path: dir})
	loaded := get(t, small, s.ID())
	if loaded.New() {
		t.Fatal("the session is lost")
	}
	loaded.Set("more", 1)
	if err := small.Save(background, loaded); !errors.Is(err, sessions.ErrTooLarge) {
		t.Errorf("saving it: got %v, want ErrTooLarge", err)
	}
	loaded.Delete("text")
	if err := small.Save(background, loaded); err != nil {
		t.Errorf("saving it when it is small again: %v", err)
	}
}

func TestSaveRefusesAValueNestedTooDeeplyToBeRead(t *testing.T) {
	nested := func(depth int) any {
		var v any = 1
		for range depth {
			v = []any{v}
		}
		return v
	}
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "deep", nested(9000))
	if _, ok := get(t, store, s.ID()).Lookup("deep"); !ok {
		t.Error("9,000 levels did not come back")
	}
	s.Set("deep", nested(11_000))
	var bad *sessions.ValueError
	if err := store.Save(background, s); !errors.As(err, &bad) {
		t.Errorf("11,000 levels: got %v, want a *ValueError", err)
	}
}

func TestListOwnerOfNoNameIsEmpty(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := saved(t, store, "a", 1)
	for range store.ListOwner(background, "") {
		t.Error("listed for the owner of no name")
	}
	if n, err := store.DeleteOwner(background, ""); n != 0 || err != nil {
		t.Errorf("ended %d sessions (%v), want none", n, err)
	}
	get(t, store, s.ID())
}
