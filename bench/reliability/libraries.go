package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/alexedwards/scs/boltstore"
	"github.com/alexedwards/scs/v2"
	gorilla "github.com/gorilla/sessions"
	"github.com/sessfs/sessions"
	"go.etcd.io/bbolt"
)

// A library is one of those that are compared.
type library struct {
	name    string
	modules []string // whose versions the table names
	open    func(dir, secret string) (*site, error)
}

var libraries = []library{
	{"this project", nil, openOurs},
	{"FilesystemStore", []string{"github.com/gorilla/sessions"}, openGorilla},
	{"SessionManager with boltstore", []string{"github.com/alexedwards/scs/v2", "github.com/alexedwards/scs/boltstore", "go.etcd.io/bbolt"}, openSCS},
}

func libraryNamed(name string) (library, error) {
	for _, l := range libraries {
		if l.name == name {
			return l, nil
		}
	}
	return library{}, fmt.Errorf("no library is named %q", name)
}

// A site is a library at work, until it is closed.
type site struct {
	// handler loads the session of a request, passes it to act, and saves it
	// if act has changed it.
	handler func(act func(session)) http.Handler

	close func() error
}

// A session is a handler's view of one.
type session interface {
	get(key string) int
	set(key string, value int)
	setText(key, value string)
	end() // logout

	// update adds one to a number in one step, or returns the reason why it cannot.
	update(key string) error
}

// none is the error for an operation that a library does not have.
type none string

func (n none) Error() string { return string(n) }

// openOurs opens a site of this project: the middleware loads when a handler first
// asks, and saves.
func openOurs(dir, _ string) (*site, error) {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: filepath.Join(dir, "sessions")})
	if err != nil {
		return nil, err
	}
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		return nil, err
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	handler := func(act func(session)) http.Handler {
		return mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			act(ours{sessions.FromContext(r.Context()), store, r.Context()})
		}))
	}
	return &site{handler, store.Close}, nil
}

type ours struct {
	*sessions.Session
	store *sessions.FilesystemSessionStore
	ctx   context.Context
}

func (s ours) get(key string) int        { return sessions.Key[int](key).Get(s.Session) }
func (s ours) set(key string, value int) { sessions.Key[int](key).Set(s.Session, value) }
func (s ours) setText(key, value string) { s.Set(key, value) }
func (s ours) end()                      { s.Destroy() }

func (s ours) update(key string) error {
	return s.store.Update(s.ctx, s.Session, func(*sessions.Session) error {
		s.set(key, s.get(key)+1)
		return nil
	})
}

// openGorilla opens a site of gorilla/sessions, used as in its README: Get, which
// always returns a session, Values, and Save. A negative MaxAge ends a session.
func openGorilla(dir, secret string) (*site, error) {
	path := filepath.Join(dir, "sessions")
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	store := gorilla.NewFilesystemStore(path, []byte(secret))
	handler := func(act func(session)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, _ := store.Get(r, "session")
			g := &gorillaSession{Session: s}
			act(g)
			if !g.changed {
				return
			}
			if err := s.Save(r, w); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	return &site{handler, func() error { return nil }}, nil
}

type gorillaSession struct {
	*gorilla.Session
	changed bool
}

func (s *gorillaSession) get(key string) int {
	n, _ := s.Values[key].(int)
	return n
}
func (s *gorillaSession) set(key string, value int) { s.Values[key], s.changed = value, true }
func (s *gorillaSession) setText(key, value string) { s.Values[key], s.changed = value, true }
func (s *gorillaSession) end()                      { s.Options.MaxAge, s.changed = -1, true }
func (s *gorillaSession) update(string) error       { return none("it has none") }

// openSCS opens a site of scs with its middleware, over a store that keeps sessions in
// a file: boltstore, whose file one process at a time can open. The map of the file
// is large enough never to move while a session is being decoded from it.
func openSCS(dir, _ string) (*site, error) {
	db, err := bbolt.Open(filepath.Join(dir, "sessions.db"), 0o600, &bbolt.Options{Timeout: 10 * time.Second, InitialMmapSize: 1 << 28})
	if err != nil {
		return nil, err
	}
	manager := scs.New()
	manager.Store = boltstore.NewWithCleanupInterval(db, 0)
	manager.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusInternalServerError) // the default logs it, too
	}
	handler := func(act func(session)) http.Handler {
		return manager.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			act(&scsSession{SessionManager: manager, ctx: r.Context()})
		}))
	}
	return &site{handler, db.Close}, nil
}

type scsSession struct {
	*scs.SessionManager
	ctx context.Context
}

func (s *scsSession) get(key string) int        { return s.GetInt(s.ctx, key) }
func (s *scsSession) set(key string, value int) { s.Put(s.ctx, key, value) }
func (s *scsSession) setText(key, value string) { s.Put(s.ctx, key, value) }
func (s *scsSession) end() {
	if err := s.Destroy(s.ctx); err != nil {
		panic(err) // a test that cannot go on
	}
}
func (s *scsSession) update(string) error { return none("it has none") }
