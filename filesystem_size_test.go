package sessions_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// A session that was large once has a file of its size again at the next save,
// and a load reads no more than that.
func TestSaveOfASessionThatWasLargeOnceMakesItsFileSmall(t *testing.T) {
	for name, o := range map[string]sessions.FilesystemOptions{
		"plain":     {},
		"sealed":    {Sealer: xorSealer{}, MaxSize: 2 << 20},
		"hashed":    {HashNames: true},
		"sync":      {Sync: sessions.SyncFull},
		"timeouts":  {IdleTimeout: time.Hour, Lifetime: time.Hour},
		"gob codec": {Codec: sessions.Gob()},
	} {
		for _, own := range []time.Duration{0, time.Minute} {
			t.Run(fmt.Sprintf("%s, own timeout %v", name, own), func(t *testing.T) {
				o.Path = t.TempDir()
				store := newStore(t, o)
				s := store.New()
				s.SetOwner("ann")
				s.SetIdleTimeout(own)
				s.Set("large", strings.Repeat("x", 1_000_000))
				s.Set("small", "y")
				save(t, store, s)
				stale := get(t, store, s.ID()) // loaded before, saves after
				large := onlyFile(t, o.Path).Size()
				s.Delete("large")
				save(t, store, s)
				if got := onlyFile(t, o.Path).Size(); large < 2_000_000 || got > 4096 {
					t.Errorf("a file of %d bytes, and of %d before; want 4096 at most", got, large)
				}
				again := get(t, store, s.ID())
				if again.Len() != 1 || again.Get("small") != "y" || again.Owner() != "ann" || again.IdleTimeout() != own {
					t.Errorf("loaded is %v, of %s, timeout %v", again, again.Owner(), again.IdleTimeout())
				}
				stale.Set("other", 2)
				save(t, store, stale)
				if again := get(t, store, s.ID()); again.Len() != 2 || again.Get("large") != nil {
					t.Errorf("a save of what was loaded before gives %v", again)
				}
			})
		}
	}
}

// onlyFile describes the one file of a directory.
func onlyFile(t *testing.T, dir string) os.FileInfo {
	t.Helper()
	files := names(t, dir)
	if len(files) != 1 {
		t.Fatalf("%d files; want one", len(files))
	}
	info, err := os.Stat(filepath.Join(dir, files[0]))
	if err != nil {
		t.Fatal(err)
	}
	return info
}
