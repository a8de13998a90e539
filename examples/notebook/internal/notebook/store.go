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
	Form    string // the form in which they keep a session, in a sentence or two
	Carrier sessions.Carrier

	// Owners finds the sessions of a user. It is nil where none can be found, and
	// the pages tell so.
	Owners sessions.OwnerStore

	// Merges reports whether the changes of requests that overlap are all kept.
	Merges bool

	// Show returns the session of a request as it is stored. w has the headers of
	// the response.
	Show func(w http.ResponseWriter, r *http.Request, s *sessions.Session) (Stored, error)
}

// The timeouts of all stores.
const (
	IdleTimeout = 12 * time.Hour
	Lifetime    = 30 * 24 * time.Hour
)

var cookieOptions = sessions.CookieOptions{
	InsecureAllowHTTP: true, // localhost has no TLS
	RenewOnAccess:     time.Minute,
}

// Carry makes the carrier of a store that keeps sessions on the server.
func Carry(store sessions.SessionStore) (sessions.Carrier, error) {
	return sessions.NewCookies(store, cookieOptions)
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
		IdleTimeout: IdleTimeout,
		Lifetime:    Lifetime,
		Observe:     observe,
	})
	if err != nil {
		return Store{}, err
	}
	carrier, err := Carry(store)
	show := func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) (Stored, error) {
		return readFile(filepath.Join(dir, "session_"+sessions.PublicID(s.ID())+".sess"))
	}
	return Store{
		Name:    "files",
		Place:   dir,
		Form:    "Two slots: a save overwrites the older one, so that a process that dies in it leaves the other as it was. The name of the file is a hash of your session ID, and not the ID.",
		Carrier: carrier,
		Owners:  store,
		Merges:  true,
		Show:    show,
	}, err
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
	carrier, err := securecookie.NewCarrier(ring, securecookie.CarrierOptions{CookieOptions: cookieOptions, IdleTimeout: IdleTimeout, Lifetime: Lifetime})
	return Store{
		Name:    "sealed cookies",
		Form:    "Your values are in there, sealed: only this server can open them, and it keeps no copy. The page shows the beginning, since all of it is as good as a password.",
		Carrier: carrier,
		Show:    showCookies,
	}, err
}
