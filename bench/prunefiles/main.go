// Command prunefiles fills a directory with session files for prune.sh: it saves one
// session with a store and writes COUNT copies of its file, half of them with a time
// that is AGE ago.
//
//	prunefiles DIR COUNT AGE
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sessfs/sessions"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: prunefiles DIR COUNT AGE")
	}
	dir := os.Args[1]
	count, err := strconv.Atoi(os.Args[2])
	check(err)
	age, err := time.ParseDuration(os.Args[3])
	check(err)
	content := sessionFile(dir)
	var running sync.WaitGroup
	const writers = 4
	for w := range writers {
		running.Go(func() {
			for i := w; i < count; i += writers {
				modTime := time.Now()
				if i%8 < 4 { // not i%2, which would be the same for all of a writer's
					modTime = modTime.Add(-age)
				}
				write(dir, content, modTime)
			}
		})
	}
	running.Wait()
}

// sessionFile returns the content of the file of a session of about 1 KB.
func sessionFile(dir string) []byte {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, IdleTimeout: 14 * 24 * time.Hour})
	check(err)
	s := store.New()
	for i := range 10 {
		s.Set(fmt.Sprintf("key%d", i), strings.Repeat("v", 100))
	}
	check(store.Save(context.Background(), s))
	name := filepath.Join(dir, "session_"+s.ID()+".sess")
	content, err := os.ReadFile(name)
	check(err)
	check(os.Remove(name))
	return content
}

func write(dir string, content []byte, modTime time.Time) {
	var id [32]byte
	rand.Read(id[:])
	name := filepath.Join(dir, "session_"+hex.EncodeToString(id[:])+".sess")
	check(os.WriteFile(name, content, 0o600))
	check(os.Chtimes(name, modTime, modTime))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
