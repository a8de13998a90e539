package sessions_test

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// loginOf stores a session of an owner.
func loginOf(t *testing.T, store *sessions.FilesystemSessionStore, owner, meta string) *sessions.Session {
	t.Helper()
	s := store.New()
	s.Login(owner)
	s.SetMeta(meta)
	if err := store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func openOwners(t *testing.T, o sessions.FilesystemOwnersOptions) *sessions.FilesystemOwners {
	t.Helper()
	owners, err := sessions.OpenFilesystemOwners(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { owners.Close() })
	return owners
}

// infos returns the sessions of an owner, sorted.
func infos(t *testing.T, store sessions.OwnerStore, owner string) (all []sessions.SessionInfo) {
	t.Helper()
	for info, err := range store.ListOwner(background, owner) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b sessions.SessionInfo) int { return cmp.Compare(a.PublicID, b.PublicID) })
	return all
}

// storesOfAllKinds are options that a FilesystemOwners is not told.
var storesOfAllKinds = map[string]sessions.FilesystemOptions{
	"plain": {}, "hashed": {HashNames: true}, "UUIDs": {IDs: sessions.UUIDs()}, "hashed UUIDs": {IDs: sessions.UUIDs(), HashNames: true},
	"16 bytes": {IDs: sessions.RandomIDs(16)}, "64 bytes": {IDs: sessions.RandomIDs(64)},
	"an hour": {IdleTimeout: time.Hour, Lifetime: 2 * time.Hour}, "a day": {IdleTimeout: 24 * time.Hour},
	"gob": {Codec: sessions.Gob()},
}

func TestFilesystemOwnersListsAsTheStoresOfADirectoryDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	var want []sessions.SessionInfo
	for kind, o := range storesOfAllKinds {
		o.Path, o.IdleTimeout = dir, cmp.Or(o.IdleTimeout, 2*time.Hour) // with Never, a store knows no use
		store := newStore(t, o)
		s := loginOf(t, store, "ann", kind)
		loginOf(t, store, "bob", kind)
		own := loginOf(t, store, "ann", kind+", remembered")
		own.SetIdleTimeout(30 * time.Minute)
		if err := store.Save(background, own); err != nil {
			t.Fatal(err)
		}
		for _, info := range infos(t, store, "ann") {
			if info.PublicID == s.PublicID() || info.PublicID == own.PublicID() {
				want = append(want, info)
			}
		}
	}
	slices.SortFunc(want, func(a, b sessions.SessionInfo) int { return cmp.Compare(a.PublicID, b.PublicID) })
	for _, lost := range []string{"", ".owners", ".owners.key"} {
		if lost != "" {
			if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
				t.Fatal(err)
			}
		}
		owners := openOwners(t, sessions.FilesystemOwnersOptions{Path: dir})
		if got := infos(t, owners, "ann"); !slices.Equal(got, want) || len(got) != 2*len(storesOfAllKinds) {
			t.Errorf("without %q: got %d sessions, want these %d:\n%v\n%v", lost, len(got), len(want), got, want)
		}
		for _, owner := range []string{"", "ann ", "carol"} {
			if got := infos(t, owners, owner); len(got) > 0 {
				t.Errorf("without %q: %q has %v", lost, owner, got)
			}
		}
	}
}

func TestFilesystemOwnersEndsSessionsOfEveryKind(t *testing.T) {
	for _, lost := range []string{"none", ".owners", ".owners.key"} {
		dir := filepath.Join(t.TempDir(), "sessions")
		var keep []string
		for _, o := range storesOfAllKinds {
			o.Path = dir
			store := newStore(t, o)
			loginOf(t, store, "ann", "")
			loginOf(t, store, "bob", "")
			keep = append(keep, loginOf(t, store, "ann", "").PublicID())
		}
		if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
		owners := openOwners(t, sessions.FilesystemOwnersOptions{Path: dir})
		if n, err := owners.DeleteOwner(background, "ann", keep...); n != len(keep) || err != nil {
			t.Errorf("without %s: ended %d, %v, want %d", lost, n, err, len(keep))
		}
		left := infos(t, owners, "ann")
		if len(left) != len(keep) || slices.ContainsFunc(left, func(i sessions.SessionInfo) bool { return !slices.Contains(keep, i.PublicID) }) {
			t.Errorf("without %s: %d are left, want the %d that were kept", lost, len(left), len(keep))
		}
		for _, id := range keep {
			if ended, err := owners.DeleteOne(background, "ann", id); !ended || err != nil {
				t.Errorf("without %s: ended %v, %v", lost, ended, err)
			}
		}
		if left, others := infos(t, owners, "ann"), infos(t, owners, "bob"); len(left) > 0 || len(others) != len(keep) {
			t.Errorf("without %s: ann has %d sessions and bob %d, want 0 and %d", lost, len(left), len(others), len(keep))
		}
	}
}

func TestFilesystemOwnersEndsALoginInFlight(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	store := newStore(t, sessions.FilesystemOptions{Path: dir, HashNames: true})
	kept := loginOf(t, store, "ann", "")
	late := store.New()
	late.Login("ann")
	if n, err := openOwners(t, sessions.FilesystemOwnersOptions{Path: dir}).DeleteOwner(background, "ann", kept.PublicID()); n != 0 || err != nil {
		t.Fatalf("ended %d, %v", n, err)
	}
	if err := store.Save(background, late); !errors.Is(err, sessions.ErrDeleted) {
		t.Errorf("got %v, want %v", err, sessions.ErrDeleted)
	}
	kept.Renew()
	if err := store.Save(background, kept); err != nil {
		t.Error(err)
	}
}

// The timeouts are the file's.
func TestFilesystemOwnersListsNoExpiredSession(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	for age, o := range map[time.Duration]sessions.FilesystemOptions{2 * time.Hour: {IdleTimeout: time.Hour}, time.Minute: {IdleTimeout: 3 * time.Hour}} {
		o.Path = dir
		store := newStore(t, o)
		s := loginOf(t, store, "ann", age.String())
		used := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, "session_"+s.ID()+".sess"), used, used); err != nil {
			t.Fatal(err)
		}
	}
	owners := openOwners(t, sessions.FilesystemOwnersOptions{Path: dir})
	if got := infos(t, owners, "ann"); len(got) != 1 || got[0].Meta != time.Minute.String() {
		t.Errorf("got %v, want the one of a minute", got)
	}
	// An end takes the file of the other one as well.
	if n, err := owners.DeleteOwner(background, "ann"); n != 2 || err != nil {
		t.Errorf("ended %d, %v, want 2", n, err)
	}
}

func TestFilesystemOwnersThatAreSealedNeedTheSealer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	store := newStore(t, sessions.FilesystemOptions{Path: dir, HashNames: true, Sealer: ringSealer{"k"}, IdleTimeout: time.Hour})
	loginOf(t, store, "ann", "phone")
	key := filepath.Join(dir, ".owners.key")
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, sealer := range []sessions.Sealer{nil, ringSealer{"other"}} {
		if _, err := sessions.OpenFilesystemOwners(sessions.FilesystemOwnersOptions{Path: dir, Sealer: sealer}); !errors.Is(err, sessions.ErrOwnersSealed) {
			t.Errorf("got %v, want %v", err, sessions.ErrOwnersSealed)
		}
	}
	if after, err := os.ReadFile(key); string(after) != string(before) || err != nil {
		t.Errorf("the secret was changed: %v", err)
	}
	owners := openOwners(t, sessions.FilesystemOwnersOptions{Path: dir, Sealer: ringSealer{"k"}})
	if got, want := infos(t, owners, "ann"), infos(t, store, "ann"); !slices.Equal(got, want) || len(got) != 1 {
		t.Errorf("got %v, want %v", got, want)
	}
	// Without the secret the seals tell, and their Sealer is missed.
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	without := openOwners(t, sessions.FilesystemOwnersOptions{Path: dir})
	for info, err := range without.ListOwner(background, "ann") {
		if err == nil {
			t.Errorf("got %v, want an error", info)
		}
	}
	if n, err := without.DeleteOwner(background, "ann"); n != 0 || err == nil {
		t.Errorf("ended %d, %v, want an error", n, err)
	}
}

func TestFilesystemOwnersMakesNoDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	if _, err := sessions.OpenFilesystemOwners(sessions.FilesystemOwnersOptions{Path: dir}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := sessions.OpenFilesystemOwners(sessions.FilesystemOwnersOptions{}); err == nil {
		t.Error("no Path: got no error")
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	store := newStore(t, sessions.FilesystemOptions{Path: dir})
	loginOf(t, store, "ann", "")
	owners := openOwners(t, sessions.FilesystemOwnersOptions{Path: dir})
	if err := os.RemoveAll(dir); err != nil {
		t.Skip("skipped: ", err)
	}
	for info, err := range owners.ListOwner(background, "ann") {
		if err == nil {
			t.Errorf("got %v, want an error", info)
		}
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}
