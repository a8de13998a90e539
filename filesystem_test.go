package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/filetest"
)

var background = context.Background()

var (
	newStore = filetest.NewStore
	timeless = filetest.Timeless
	save     = filetest.Save
	get      = filetest.Get
	names    = filetest.Names
	exists   = filetest.Exists
	age      = filetest.Age

	runInBubble = filetest.RunInBubble
)

// saved makes and saves a session with one value.
func saved(t testing.TB, store sessions.SessionStore, key string, value any) *sessions.Session {
	t.Helper()
	s := store.New()
	s.Set(key, value)
	save(t, store, s)
	return s
}

// gone demands that Get returns a new, empty session of another ID.
func gone(t testing.TB, store sessions.SessionStore, id string) {
	t.Helper()
	if s := get(t, store, id); !s.New() || s.ID() == id || s.Len() != 0 || s.Modified() {
		t.Errorf("Get of an ended session = %v with its own ID: %v; want a new one", s, s.ID() == id)
	}
}

func list(t testing.TB, store sessions.SessionStore) []string {
	t.Helper()
	var ids []string
	for id, err := range store.List(background) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// werkzeug's test 1.
func TestPathIsInTheTempDirectoryByDefault(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := saved(t, store, "a", 1)
	want := filepath.Join(temp, fmt.Sprintf("sessions-%d", os.Getuid()), "session_"+s.ID()+".sess")
	if info, err := os.Stat(want); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file of a session: %v, %v; want one of mode 0600", info, err)
	}
	if info, err := os.Stat(filepath.Dir(want)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its directory: %v, %v; want mode 0700", info, err)
	}
}

// werkzeug's tests 2 and 8.
func TestGetLoadsASessionAsItWasSaved(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	if !s.New() || s.Modified() || !store.IsValidKey(s.ID()) {
		t.Errorf("%v: want a new one, unmodified, with a valid ID", s)
	}
	s.Set("list", []int{1, 2, 3})
	if !s.Modified() || !s.ShouldSave() {
		t.Error("a set did not modify the session")
	}
	id := s.ID()
	save(t, store, s)
	if s.Modified() || s.New() || s.ID() != id { // werkzeug: both stay; on purpose not here
		t.Errorf("%v after its save; want neither new nor modified", s)
	}
	again := get(t, store, id)
	if again == s || again.New() || again.Modified() || again.ID() != id {
		t.Errorf("%v: want another object, not new and unmodified", again)
	}
	if got := again.Get("list"); !reflect.DeepEqual(got, []any{int64(1), int64(2), int64(3)}) {
		t.Errorf("list = %v", got)
	}
	if !again.Created().Equal(s.Created()) {
		t.Errorf("created %v, want %v", again.Created(), s.Created())
	}
	if again.Set("foo", "bar"); !again.Modified() || again.New() {
		t.Errorf("%v: want it modified, and still not new", again)
	}
	if err := store.Delete(background, again); err != nil {
		t.Error(err)
	}
	gone(t, store, id)
}

// werkzeug's tests 2, its end, and 4.
func TestKeepMissingIDAloneKeepsAMissingID(t *testing.T) {
	keeping := newStore(t, sessions.FilesystemOptions{KeepMissingID: true})
	id := keeping.GenerateKey()
	s := get(t, keeping, id)
	if s.New() || s.Modified() || s.ID() != id || s.Len() != 0 {
		t.Errorf("%v, the same ID: %v; want an empty one of that ID, not new", s, s.ID() == id)
	}
	s.Set("a", 1)
	save(t, keeping, s)
	if got := get(t, keeping, id).Get("a"); got != int64(1) {
		t.Errorf("a = %v after saving under a kept ID", got)
	}
	gone(t, keeping, "../x") // no ID of another form is kept

	store := newStore(t, sessions.FilesystemOptions{})
	for range 100 {
		gone(t, store, store.GenerateKey())
	}
}

func TestKeepMissingIDSharesASessionBetweenTwoRequests(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{KeepMissingID: true})
	id := store.GenerateKey()
	a, b := get(t, store, id), get(t, store, id)
	a.Set("a", 1)
	b.Set("b", 2)
	save(t, store, a)
	save(t, store, b)
	if got, want := values(get(t, store, id)), map[string]any{"a": int64(1), "b": int64(2)}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// werkzeug's test 5, and the cases that it lets through.
func TestListYieldsTheStoredSessionsAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	var want []string
	for range 10 {
		want = append(want, saved(t, store, "a", 1).ID())
	}
	slices.Sort(want)
	key := store.GenerateKey()
	for _, name := range []string{
		"session_.sess", "session_short.sess", "session_" + strings.ToUpper(key) + ".sess", "session_" + key + ".sess.bak",
		"session_" + key + "0.sess", "session_" + key + ".sess.__sess_tmp", "tmp-0123456789abcdef.__sess_tmp", key, "notes.txt",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "session_"+store.GenerateKey()+".sess"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("session_"+want[0]+".sess", filepath.Join(dir, "session_"+store.GenerateKey()+".sess")); err != nil {
		t.Log(err)
	}
	if got := list(t, store); !slices.Equal(got, want) {
		t.Errorf("List gives %d IDs, want the %d that were saved", len(got), len(want))
	}
	for range store.List(background) {
		break
	}
	ended, cancel := context.WithCancel(background)
	cancel()
	for _, err := range store.List(ended) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("List under an ended context gives %v", err)
		}
	}
}

// werkzeug's test 6, and Litestar's "the directory is made".
func TestDirectoryIsMadeWithItsParents(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	gone(t, store, store.GenerateKey()) // a missing file is an empty session
	s := saved(t, store, "a", 1)
	if got := get(t, store, s.ID()).Get("a"); got != int64(1) {
		t.Errorf("a = %v", got)
	}
	for range 3 {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want mode 0700", dir, info.Mode(), err)
		}
		dir = filepath.Dir(dir)
	}
}

func TestSaveIfModifiedLeavesAnUnmodifiedSession(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	s := store.New()
	if err := store.SaveIfModified(background, s); err != nil || len(names(t, dir)) != 0 {
		t.Errorf("SaveIfModified = %v, and made %q", err, names(t, dir))
	}
	save(t, store, s) // werkzeug's save always saves
	if again := get(t, store, s.ID()); again.New() || again.Len() != 0 {
		t.Errorf("%v: want an empty session that is not new", again)
	}
}

func TestDeleteEndsOneSessionAlone(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{})
	a, b := saved(t, store, "k", "a"), saved(t, store, "k", "b")
	for range 2 { // twice is fine
		if err := store.Delete(background, a); err != nil {
			t.Error(err)
		}
	}
	gone(t, store, a.ID())
	if got := get(t, store, b.ID()).Get("k"); got != "b" {
		t.Errorf("the other session has %v", got)
	}
	if err := store.Delete(background, store.New()); err != nil {
		t.Errorf("Delete of a session that was never saved = %v", err)
	}
}

func TestSetKeepsEveryKeyApartFromTheOthers(t *testing.T) {
	for name, codec := range map[string]sessions.Codec{"json": nil, "gob": sessions.Gob()} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, sessions.FilesystemOptions{Codec: codec})
			keys := []string{"", " ", "a", "A", "a.b", "a/b", "a\\b", "..", "../a", "a:b", "a\"b", "a\nb", "a\x00b", "a\x7f",
				"é", "e\u0301", "日本", "\U0001f600", "<&>", "\\u0061", "{", "}", "a,b", "\u2028", strings.Repeat("k", 5000)}
			s := store.New()
			for i, key := range keys {
				s.Set(key, i)
			}
			save(t, store, s)
			s = get(t, store, s.ID())
			for i, key := range keys {
				if got := sessions.Key[int](key).Get(s); got != i {
					t.Errorf("%.20q = %v, want %d", key, got, i)
				}
			}
			s.Delete("..")
			save(t, store, s)
			if got := get(t, store, s.ID()).Len(); got != len(keys)-1 {
				t.Errorf("%d values after one was deleted, want %d", got, len(keys)-1)
			}
		})
	}
}

func TestDeleteAllEndsEverySessionAndLeavesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	var ids []string
	for range 5 {
		ids = append(ids, saved(t, store, "a", 1).ID())
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := store.DeleteAll(background); n != 5 || err != nil {
		t.Errorf("DeleteAll = %d, %v; want 5", n, err)
	}
	for _, id := range ids {
		gone(t, store, id)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"notes.txt"}) {
		t.Errorf("left: %q", got)
	}
}

func TestOwnerStoreFindsAndEndsTheSessionsOfAnOwner(t *testing.T) {
	for name, o := range map[string]sessions.FilesystemOptions{
		"plain": {}, "hashed": {HashNames: true}, "sealed": {Sealer: xorSealer{}}, "gob": {Codec: sessions.Gob()},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t, o)
			var ids []string
			for _, owner := range []string{"ann", "ann", "ann", "bob", "x\ny é", ""} {
				s := store.New()
				s.SetOwner(owner)
				s.Set("a", owner)
				save(t, store, s)
				ids = append(ids, s.ID())
				if got := get(t, store, s.ID()); got.Owner() != owner || got.Get("a") != owner {
					t.Errorf("owner %q, a = %q; want %q", got.Owner(), got.Get("a"), owner)
				}
			}
			var listed []string
			for _, info := range listOwner(t, store, "ann") {
				listed = append(listed, info.PublicID)
			}
			want := []string{sessions.PublicID(ids[0]), sessions.PublicID(ids[1]), sessions.PublicID(ids[2])}
			slices.Sort(want)
			if slices.Sort(listed); !slices.Equal(listed, want) {
				t.Errorf("ListOwner gave %q, want %q", listed, want)
			}
			if n, err := store.DeleteOwner(background, "ann", sessions.PublicID(ids[1]), ids[0], "no ID"); n != 2 || err != nil {
				t.Errorf("DeleteOwner = %d, %v; want 2", n, err)
			}
			gone(t, store, ids[0])
			gone(t, store, ids[2])
			for _, id := range []string{ids[1], ids[3], ids[4], ids[5]} {
				if get(t, store, id).New() {
					t.Error("DeleteOwner ended a session that was to be kept")
				}
			}
		})
	}
}

func TestKeepMissingIDAdoptsNoExpiredID(t *testing.T) {
	dir := t.TempDir()
	store := newStore(t, sessions.FilesystemOptions{Path: dir, IdleTimeout: time.Hour, KeepMissingID: true})
	s := saved(t, store, "a", 1)
	age(t, filepath.Join(dir, names(t, dir)[0]), time.Hour)
	gone(t, store, s.ID())
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
