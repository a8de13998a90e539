package notebook

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

// A Store is where a notebook keeps its sessions. The handlers are the same for
// all of them; only the pages tell which one it is.
type Store struct {
	Name    string // as in "your session is kept in files"
	Place   string // where those are, "" if that is no use to the reader
	Carrier sessions.Carrier

	// Merges reports whether the changes of requests that overlap are all kept.
	Merges bool

	// Show returns the session of a request as it is stored. w has the headers of
	// the response.
	Show func(w http.ResponseWriter, r *http.Request, s *sessions.Session) (Stored, error)
}

const (
	idleTimeout = 12 * time.Hour
	lifetime    = 30 * 24 * time.Hour
)

var cookieOptions = sessions.CookieOptions{
	InsecureAllowHTTP: true, // localhost has no TLS
	RenewOnAccess:     time.Minute,
}

// Open returns the store of a name, "files" or "cookies". The files are in dir,
// and observe, unless it is nil, gets their sessions' events.
func Open(name, dir string, observe func(context.Context, sessions.Event)) (Store, error) {
	switch name {
	case "files":
		return files(dir, observe)
	case "cookies":
		return cookies()
	}
	return Store{}, errors.New("-store is files or cookies")
}

// files leaves the files of expired sessions to sessprune, which cron runs.
// HashNames makes the file's name one that the page can show.
func files(dir string, observe func(context.Context, sessions.Event)) (Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Store{}, err
	}
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{
		Path:        dir,
		HashNames:   true,
		IdleTimeout: idleTimeout,
		Lifetime:    lifetime,
		Observe:     observe,
	})
	if err != nil {
		return Store{}, err
	}
	carrier, err := sessions.NewCookies(store, cookieOptions)
	show := func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) (Stored, error) {
		return readFile(filepath.Join(dir, "session_"+sessions.PublicID(s.ID())+".sess"))
	}
	return Store{Name: "files", Place: dir, Carrier: carrier, Merges: true, Show: show}, err
}

// cookies takes the keys from the environment, so that sessions outlive the
// process.
func cookies() (Store, error) {
	text := os.Getenv("NOTEBOOK_KEYS")
	if text == "" {
		log.Print("notebook: without NOTEBOOK_KEYS the key is new, and sessions end with this process; go run ./securecookie/keygen makes one")
		text = securecookie.GenerateKey().Reveal()
	}
	keys, err := securecookie.ParseKeys(text)
	if err != nil {
		return Store{}, err
	}
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: keys, Audience: "notebook"})
	if err != nil {
		return Store{}, err
	}
	carrier, err := securecookie.NewCarrier(ring, securecookie.CarrierOptions{CookieOptions: cookieOptions, IdleTimeout: idleTimeout, Lifetime: lifetime})
	return Store{Name: "sealed cookies", Carrier: carrier, Show: showCookies}, err
}
