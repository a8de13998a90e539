package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/prune"
	"github.com/sessfs/sessions/securecookie"
)

// A counter that many requests increment at once needs more than Get and Save:
// between the two, another request may count.
func ExampleUpdater() {
	store, remove := openStore()
	defer remove()
	ctx := context.Background()
	const count sessions.Key[int] = "count"
	s := store.New()
	if err := store.Save(ctx, s); err != nil {
		log.Fatal(err)
	}
	id := s.ID()

	var requests sync.WaitGroup
	for range 10 {
		requests.Go(func() {
			s, err := store.Get(ctx, id)
			if err == nil {
				err = store.Update(ctx, s, func(s *sessions.Session) error {
					count.Set(s, count.Get(s)+1)
					return nil
				})
			}
			if err != nil {
				log.Fatal(err)
			}
		})
	}
	requests.Wait()
	s, _ = store.Get(ctx, id)
	fmt.Println(count.Get(s))
	// Output: 10
}

// A user's list of their own sessions, which one click ends.
func ExampleOwnerStore() {
	store, remove := openStore()
	defer remove()
	ctx := context.Background()
	var here *sessions.Session
	for _, device := range []string{"phone", "laptop"} {
		here = store.New()
		here.Login("ann")
		here.SetMeta(device)
		if err := store.Save(ctx, here); err != nil {
			log.Fatal(err)
		}
	}
	for info, err := range store.ListOwner(ctx, "ann") {
		if err != nil {
			log.Fatal(err)
		}
		if info.PublicID != here.PublicID() {
			ended, err := store.DeleteOne(ctx, "ann", info.PublicID)
			fmt.Println("ended the", info.Meta, ended, err)
		}
	}
	n, err := store.DeleteOwner(ctx, "ann", here.PublicID())
	fmt.Println("others left:", n, err)
	// Output:
	// ended the phone true <nil>
	// others left: 0 <nil>
}

// An error of a save can be told apart.
func ExampleSessionStore_errors() {
	store, remove := openStore()
	defer remove()
	ctx := context.Background()
	s := store.New()
	s.Set("callback", func() {})
	var bad *sessions.ValueError
	if err := store.Save(ctx, s); errors.As(err, &bad) {
		fmt.Println(bad.Key, "-", err)
	}
	// Output: callback - sessions: a value of type func() cannot be encoded: json has no form for a func()
}

// The timeouts of all sessions of a store: those of NIST SP 800-63B-4 for AAL2.
func ExampleFilesystemOptions_timeouts() {
	dir, remove := tempDir()
	defer remove()
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{
		Path:        dir,
		IdleTimeout: time.Hour,      // since the last use
		Lifetime:    24 * time.Hour, // since the login
	})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	_, err = sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, IdleTimeout: 3600})
	fmt.Println(err)
	// Output: sessions: cannot keep sessions in files: IdleTimeout is 3.6µs, want a second or more; an hour is time.Hour
}

// A backup of the directory then has no ID, no value and no owner that can be read.
func ExampleSealer() {
	keys := []securecookie.Key{securecookie.GenerateKey()} // in earnest: ParseKeys(os.Getenv("SESSION_KEYS"))
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: keys, Audience: "shop.example.com"})
	if err != nil {
		log.Fatal(err)
	}
	dir, remove := tempDir()
	defer remove()
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, Sealer: ring, HashNames: true})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	s := store.New()
	s.Set("city", "Utrecht")
	if err := store.Save(context.Background(), s); err != nil {
		log.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.sess"))
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the ID in the name:", strings.Contains(files[0], s.ID()))
	fmt.Println("the value in the file:", strings.Contains(string(text), "Utrecht"))
	// Output:
	// the ID in the name: false
	// the value in the file: false
}

// A new key seals, the old one still opens. A save seals the session anew, and so does
// a request with RenewOnAccess. One lifetime later the old key can go.
func ExampleRotatingSealer() {
	dir, remove := tempDir()
	defer remove()
	ctx := context.Background()
	restart := func(keys ...securecookie.Key) *sessions.FilesystemSessionStore {
		ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: keys, Audience: "shop.example.com"})
		if err != nil {
			log.Fatal(err)
		}
		store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{
			Path: dir, Sealer: ring, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			log.Fatal(err)
		}
		return store
	}
	old, current := securecookie.GenerateKey(), securecookie.GenerateKey()

	store := restart(old)
	used, unused := store.New(), store.New()
	if err := errors.Join(store.Save(ctx, used), store.Save(ctx, unused)); err != nil {
		log.Fatal(err)
	}
	store.Close()
	store = restart(current, old)
	s, err := store.Get(ctx, used.ID())
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Save(ctx, s); err != nil {
		log.Fatal(err)
	}
	store.Close()
	store = restart(current)
	defer store.Close()
	for _, id := range []string{used.ID(), unused.ID()} {
		s, err := store.Get(ctx, id)
		fmt.Println("found:", err == nil && !s.New())
	}
	// Output:
	// found: true
	// found: false
}

// With gob, a value of a Go type comes back as one, also from an untyped Get.
func ExampleGob() {
	type user struct {
		Name string
		Born time.Time
	}
	dir, remove := tempDir()
	defer remove()
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, Codec: sessions.Gob(user{})})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ctx := context.Background()

	s := store.New()
	s.Set("user", user{"Ann", time.Date(1990, 5, 1, 0, 0, 0, 0, time.UTC)})
	if err := store.Save(ctx, s); err != nil {
		log.Fatal(err)
	}
	s, err = store.Get(ctx, s.ID())
	if err != nil {
		log.Fatal(err)
	}
	ann, ok := s.Get("user").(user)
	fmt.Println(ann.Name, ann.Born.Year(), ok)
	// Output: Ann 1990 true
}

// A server that removes ended sessions itself, without cron. Of several processes
// one does the work, and the others get ErrRunning.
func ExampleFilesystemSessionStore_Prune() {
	store, remove := openStore()
	defer remove()
	if err := store.Save(context.Background(), store.New()); err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background()) // in earnest until the server stops
	defer stop()
	var background sync.WaitGroup
	background.Go(func() {
		ticker := time.NewTicker(10 * time.Minute)
		defer ticker.Stop()
		for ctx.Err() == nil {
			report, err := store.Prune(ctx, prune.Options{TimeBudget: 5 * time.Minute})
			if err != nil && !errors.Is(err, prune.ErrRunning) {
				slog.Error("ended sessions stay", "error", err)
			}
			fmt.Println("removed:", report.Removed, "live:", report.Live)
			stop() // in this example
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	})
	background.Wait()
	// Output: removed: 0 live: 1
}
