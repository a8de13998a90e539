//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

// A place is a small file system and a store on it.
type place struct {
	dir   string // of the file system
	store *sessions.FilesystemSessionStore
	extra int // sessions that takeTheLast has made
}

func newPlace(t *testing.T, dir string, sync sessions.SyncMode) *place {
	t.Helper()
	p := &place{dir: dir}
	var err error
	p.store, err = sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{
		Path: filepath.Join(dir, "sessions"), Sync: sync, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.store.Close() })
	return p
}

func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// eachPlace runs test on a small tmpfs and a small ext4, with and without
// waiting for the disk.
func eachPlace(t *testing.T, tmpfs string, mkfs []string, test func(t *testing.T, p *place)) {
	for _, sync := range []sessions.SyncMode{sessions.SyncNone, sessions.SyncFull} {
		mode := map[sessions.SyncMode]string{sessions.SyncNone: "SyncNone", sessions.SyncFull: "SyncFull"}[sync]
		t.Run("tmpfs, "+mode, func(t *testing.T) {
			test(t, newPlace(t, mountTmpfs(t, tmpfs), sync))
		})
		t.Run("ext4, "+mode, func(t *testing.T) {
			small := ext4
			small.size, small.mkfs = 16<<20, append(small.mkfs[:len(small.mkfs):len(small.mkfs)], mkfs...)
			test(t, newPlace(t, newDisk(t, small).dir, sync))
		})
	}
}

// names returns the entries of the store's directory, sorted.
func (p *place) names(t *testing.T) []string {
	t.Helper()
	names, err := sessionFiles(filepath.Join(p.dir, "sessions"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// sessionFiles returns the names in a store's directory, without those that the
// store has for itself.
func sessionFiles(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".owners") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// makeOwned makes a session that endOwned ends with its owner's others.
func (p *place) makeOwned(t *testing.T) {
	t.Helper()
	s := p.store.New()
	s.SetOwner("ann")
	if err := p.store.Save(background, s); err != nil {
		t.Fatal(err)
	}
}

func (p *place) endOwned(t *testing.T) {
	t.Helper()
	if n, err := p.store.DeleteOwner(background, "ann"); n != 1 || err != nil {
		t.Errorf("ending the sessions of an owner: %d, %v", n, err)
	}
}

// makeElsewhere makes a session in a store of a shorter timeout.
func (p *place) makeElsewhere(t *testing.T) (id string) {
	t.Helper()
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{
		Path: filepath.Join(p.dir, "sessions"), IdleTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := store.New()
	newState(1, 10).set(s, 0)
	if err := store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	return s.ID()
}

// useElsewhere saves and touches that session in this store, which would make its
// file anew if there were room, and ends it.
func (p *place) useElsewhere(t *testing.T, id string) {
	t.Helper()
	p.takeTheLast(t)
	for number := int64(2); number < 5; number++ {
		if err := p.saveState(t, id, number, 600); err != nil {
			t.Errorf("a save by a store of a longer timeout: %v", err)
		}
		p.want(t, id, number, 600)
		if touched, err := p.store.Touch(background, p.load(t, id), 0); !touched || err != nil {
			t.Errorf("a touch by a store of a longer timeout: %v, %v", touched, err)
		}
	}
	if err := p.store.Save(background, p.load(t, id)); err != nil {
		t.Errorf("a save of equal values by a store of a longer timeout: %v", err)
	}
	if err := p.store.Delete(background, p.load(t, id)); err != nil {
		t.Error(err)
	}
}

func (p *place) make(t *testing.T) *sessions.Session {
	t.Helper()
	s := p.store.New()
	newState(1, 10).set(s, 0)
	if err := p.store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *place) load(t *testing.T, id string) *sessions.Session {
	t.Helper()
	s, err := p.store.Get(background, id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// want checks that a session has that state in the store.
func (p *place) want(t *testing.T, id string, number int64, size int) {
	t.Helper()
	if got := stateOf(p.load(t, id), 0); got != newState(number, size) {
		t.Errorf("stored is state %d with %d bytes of padding; want state %d", got.number, len(got.padding), number)
	}
}

// wantRefused checks that an act fails with the error and leaves the directory
// as it is.
func (p *place) wantRefused(t *testing.T, what string, want error, act func() error) {
	t.Helper()
	before := p.names(t)
	if err := act(); !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
	if after := p.names(t); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("%s changed the directory from %d files to %d", what, len(before), len(after))
	}
}

// saveState saves a state into a session as it is stored.
func (p *place) saveState(t *testing.T, id string, number int64, size int) error {
	t.Helper()
	s := p.load(t, id)
	newState(number, size).set(s, 0)
	return p.store.Save(background, s)
}

// fill takes all the room there is, and returns a function that frees it. Closing a
// file frees the blocks that ext4 has set aside for its growth, and a commit of the
// journal those that were freed before. So it goes on until it finds no room several
// times in a row. It may be called again.
func (p *place) fill(t *testing.T) (free func()) {
	t.Helper()
	name := filepath.Join(p.dir, "filler")
	for full := 0; full < 3; full++ {
		if appendAll(t, name) > 0 {
			full = -1
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// takeTheLast makes sessions until there is no room for one: the blocks that ext4
// sets aside for its own needs, and so refuses to a file that grows, may still do.
func (p *place) takeTheLast(t *testing.T) {
	t.Helper()
	p.fill(t)
	for ; p.extra < 20; p.extra++ {
		s := p.store.New()
		newState(1, 10).set(s, 0)
		if err := p.store.Save(background, s); err != nil {
			return
		}
	}
	t.Fatal("the disk does not fill up")
}

// appendAll appends to a file until the disk is full, and returns how many
// bytes those were.
func appendAll(t *testing.T, name string) (written int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		var n int
		n, err = f.Write(make([]byte, 4096))
		written += n
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	return written
}

func TestFullDiskRefusesWhatNeedsRoomAndNothingElse(t *testing.T) {
	eachPlace(t, "size=1m,mode=0700", []string{"-m", "0"}, func(t *testing.T, p *place) {
		var ids []string
		for range 20 {
			ids = append(ids, p.make(t).ID())
		}
		// One that gets much smaller on the full disk, where no smaller file can be
		// made for it.
		if err := p.saveState(t, ids[3], 1, 100_000); err != nil {
			t.Fatal(err)
		}
		p.makeOwned(t)
		shorter := p.makeElsewhere(t)
		free := p.fill(t)
		for number := int64(2); number < 6; number++ { // each slot twice
			for _, id := range ids {
				if err := p.saveState(t, id, number, 600); err != nil {
					t.Fatalf("a save that fits its slot: %v", err)
				}
				p.want(t, id, number, 600)
			}
		}
		fresh := p.store.New()
		newState(1, 10).set(fresh, 0)
		p.takeTheLast(t)
		p.wantRefused(t, "a new session", unix.ENOSPC, func() error { return p.store.Save(background, fresh) })
		p.takeTheLast(t)
		p.wantRefused(t, "growth", unix.ENOSPC, func() error { return p.saveState(t, ids[0], 6, 100_000) })
		p.want(t, ids[0], 5, 600)
		renewed := p.load(t, ids[1])
		renewed.Renew()
		p.takeTheLast(t)
		p.wantRefused(t, "a renewal", unix.ENOSPC, func() error { return p.store.Save(background, renewed) })
		p.want(t, ids[1], 5, 600)
		if err := p.store.Delete(background, p.load(t, ids[2])); err != nil || !p.load(t, ids[2]).New() {
			t.Errorf("ending a session: %v", err)
		}
		p.endOwned(t)
		p.useElsewhere(t, shorter)
		free()
		p.afterwards(t, fresh, renewed, ids)
	})
}

// afterwards checks that the refused saves succeed with the same sessions once
// there is room.
func (p *place) afterwards(t *testing.T, fresh, renewed *sessions.Session, ids []string) {
	t.Helper()
	for what, s := range map[string]*sessions.Session{"a new session": fresh, "a renewal": renewed} {
		if !s.ShouldSave() {
			t.Errorf("%s was refused, and its session says that there is nothing to save", what)
		}
		if err := p.store.Save(background, s); err != nil {
			t.Errorf("%s, when there is room again: %v", what, err)
		}
	}
	p.want(t, fresh.ID(), 1, 10)
	p.want(t, renewed.ID(), 5, 600)
	if err := p.saveState(t, ids[0], 6, 100_000); err != nil {
		t.Errorf("growth, when there is room again: %v", err)
	}
	p.want(t, ids[0], 6, 100_000)
	if err := p.saveState(t, ids[3], 6, 600); err != nil {
		t.Errorf("a save of a session that has become smaller, when there is room again: %v", err)
	}
	p.want(t, ids[3], 6, 600)
	if info, err := os.Stat(filepath.Join(p.dir, "sessions", "session_"+ids[3]+".sess")); err != nil || info.Size() > 4096 {
		t.Errorf("its file: %v, %v; want one of 4096 bytes at most", info, err)
	}
	if got, want := len(p.names(t)), 20+p.extra; got != want { // one ended, one is new
		t.Errorf("%d files in the directory, want %d", got, want)
	}
}

func TestNoMoreInodesRefuseWhatNeedsAFileAndNothingElse(t *testing.T) {
	eachPlace(t, "nr_inodes=32,mode=0700", []string{"-N", "32"}, func(t *testing.T, p *place) {
		var ids []string
		var fresh *sessions.Session
		p.makeOwned(t)
		for {
			fresh = p.store.New()
			newState(1, 10).set(fresh, 0)
			before := len(p.names(t))
			err := p.store.Save(background, fresh)
			if err == nil {
				ids = append(ids, fresh.ID())
				continue
			}
			if !errors.Is(err, unix.ENOSPC) || len(p.names(t)) != before {
				t.Fatalf("session %d: %v, and %d files more", len(ids)+1, err, len(p.names(t))-before)
			}
			break
		}
		if len(ids) < 3 {
			t.Fatal(fmt.Sprint("only ", len(ids), " inodes: too few for the test"))
		}
		for _, id := range ids {
			if err := p.saveState(t, id, 2, 600); err != nil {
				t.Fatalf("a save that fits its slot: %v", err)
			}
			p.want(t, id, 2, 600)
		}
		p.wantRefused(t, "growth", unix.ENOSPC, func() error { return p.saveState(t, ids[0], 3, 6000) })
		p.want(t, ids[0], 2, 600)
		p.endOwned(t)
		if err := p.store.Delete(background, p.load(t, ids[1])); err != nil {
			t.Fatal(err)
		}
		if err := p.store.Save(background, fresh); err != nil {
			t.Errorf("a new session in the place of one that was ended: %v", err)
		}
	})
}
