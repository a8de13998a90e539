//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/securecookie"
)

// The values that are used.
const (
	key1   sessions.Key[string] = "key1"
	key2   sessions.Key[string] = "key2"
	number sessions.Key[int]    = "n"
)

func openFiles(e environment) (library, error) {
	return openStore(e, sessions.FilesystemOptions{})
}

func openNoIdle(e environment) (library, error) {
	return openStore(e, sessions.FilesystemOptions{IdleTimeout: sessions.Never})
}

func openSyncFull(e environment) (library, error) {
	return openStore(e, sessions.FilesystemOptions{Sync: sessions.SyncFull})
}

func openSealed(e environment) (library, error) {
	ring, err := newRing(e.dir)
	if err != nil {
		return nil, err
	}
	return openStore(e, sessions.FilesystemOptions{Sealer: ring})
}

// newRing makes a ring with the key of the directory, which another process may
// have made.
func newRing(dir string) (*securecookie.KeyRing, error) {
	path := filepath.Join(dir, "key")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		text = []byte(securecookie.GenerateKey().Reveal())
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return nil, err
	}
	key, err := securecookie.ParseKey(string(text))
	if err != nil {
		return nil, err
	}
	return securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: []securecookie.Key{key}, Audience: "bench"})
}

func openStore(e environment, o sessions.FilesystemOptions) (library, error) {
	o.Path = filepath.Join(e.dir, "sessions")
	store, err := sessions.NewFilesystemSessionStore(o)
	if err != nil {
		return nil, err
	}
	return newStored(store, store.Close, e.values)
}

// openRedis opens a store on a client that sends each command by itself.
func openRedis(e environment) (library, error) {
	return openRedisBy(e, func(c *redis.Client) (redis.Cmdable, error) { return c, nil })
}

// openPipelinedRedis opens one on a client that sends the commands of many goroutines
// together, with the options of the guide.
func openPipelinedRedis(e environment) (library, error) {
	return openRedisBy(e, func(c *redis.Client) (redis.Cmdable, error) {
		return c.AsyncAutoPipelineWithOptions(&redis.AutoPipelineOptions{MaxBatchSize: 16, MaxConcurrentBatches: 8, Unordered: true})
	})
}

func openRedisBy(e environment, face func(*redis.Client) (redis.Cmdable, error)) (library, error) {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: e.socket, ContextTimeoutEnabled: true})
	c, err := face(client)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	store, err := redisstore.New(context.Background(), c, redisstore.Options{})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return newStored(store, client.Close, e.values)
}

// stored is any SessionStore of this project, with IDs in a cookie.
type stored struct {
	store  sessions.SessionStore
	mw     *sessions.Middleware
	name   string // of the cookie
	values values
	ids    []string
	closer func() error
}

func newStored(store sessions.SessionStore, closer func() error, v values) (library, error) {
	cookies, err := sessions.NewCookies(store, sessions.CookieOptions{})
	if err != nil {
		return nil, err
	}
	mw, err := sessions.NewMiddleware(cookies, sessions.MiddlewareOptions{})
	if err != nil {
		return nil, err
	}
	return &stored{store: store, mw: mw, name: cookies.CookieName(), values: v, closer: closer}, nil
}

func (l *stored) fill(n int) ([]string, error) {
	for len(l.ids) < n {
		s := l.store.New()
		l.values.each(s.Set)
		if err := l.store.Save(context.Background(), s); err != nil {
			return nil, err
		}
		l.ids = append(l.ids, s.ID())
	}
	return l.ids, nil
}

func (l *stored) adopt(handles []string)      { l.ids = handles }
func (l *stored) hold() holder                { return &storedHolder{stored: l} }
func (l *stored) cookie(i int) string         { return l.name + "=" + l.ids[i] }
func (l *stored) close() error                { return l.closer() }
func (l *stored) handler(c bool) http.Handler { return ourHandler(l.mw, c) }

func (l *stored) wrap(h http.Handler) http.Handler { return l.mw.Wrap(h) }
func (l *sealed) wrap(h http.Handler) http.Handler { return l.mw.Wrap(h) }

func ourHandler(mw *sessions.Middleware, changes bool) http.Handler {
	return mw.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		if key1.Get(s) == "" || key2.Get(s) == "" {
			answer(w, errMissing)
			return
		}
		if changes {
			number.Set(s, number.Get(s)+1)
		}
		answer(w, nil)
	}))
}

type storedHolder struct {
	*stored
	held [longTurn]*sessions.Session
}

func (h *storedHolder) load(slot, i int) (err error) {
	h.held[slot], err = h.store.Get(context.Background(), h.ids[i])
	return err
}

func (h *storedHolder) read(slot int) error {
	if s := h.held[slot]; key1.Get(s) == "" || key2.Get(s) == "" {
		return errMissing
	}
	return nil
}

func (h *storedHolder) change(slot, n int) error {
	number.Set(h.held[slot], n)
	return nil
}

func (h *storedHolder) save(slot int) error {
	return h.store.Save(context.Background(), h.held[slot])
}

func (h *storedHolder) begin(slot int) error {
	h.held[slot] = h.store.New()
	h.values.each(h.held[slot].Set)
	return nil
}

func (h *storedHolder) end(slot int) error {
	return h.store.Delete(context.Background(), h.held[slot])
}

// sealed are sessions in sealed cookies.
type sealed struct {
	carrier *securecookie.Carrier
	mw      *sessions.Middleware
	values  values
	cookies []string
}

func openCookies(e environment) (library, error) {
	ring, err := newRing(e.dir)
	if err != nil {
		return nil, err
	}
	carrier, err := securecookie.NewCarrier(ring, securecookie.CarrierOptions{})
	if err != nil {
		return nil, err
	}
	mw, err := sessions.NewMiddleware(carrier, sessions.MiddlewareOptions{})
	if err != nil {
		return nil, err
	}
	return &sealed{carrier: carrier, mw: mw, values: e.values}, nil
}

func (l *sealed) fill(n int) ([]string, error) {
	for len(l.cookies) < n {
		s, w := l.carrier.New(), response{}
		l.values.each(s.Set)
		if err := l.carrier.Commit(w, request(""), s); err != nil {
			return nil, err
		}
		cookie, err := w.cookie()
		if err != nil {
			return nil, err
		}
		l.cookies = append(l.cookies, cookie)
	}
	return l.cookies, nil
}

func (l *sealed) adopt(handles []string)      { l.cookies = handles }
func (l *sealed) hold() holder                { return &sealedHolder{sealed: l} }
func (l *sealed) cookie(i int) string         { return l.cookies[i] }
func (l *sealed) close() error                { return nil }
func (l *sealed) handler(c bool) http.Handler { return ourHandler(l.mw, c) }

type sealedHolder struct {
	*sealed
	held     [longTurn]*sessions.Session
	requests [longTurn]*http.Request
}

func (h *sealedHolder) load(slot, i int) (err error) {
	h.requests[slot] = request(h.cookies[i])
	h.held[slot], err = h.carrier.Load(h.requests[slot])
	return err
}

func (h *sealedHolder) read(slot int) error {
	if s := h.held[slot]; key1.Get(s) == "" || key2.Get(s) == "" {
		return errMissing
	}
	return nil
}

func (h *sealedHolder) change(slot, n int) error {
	number.Set(h.held[slot], n)
	return nil
}

func (h *sealedHolder) save(slot int) error {
	w := response{}
	if err := h.carrier.Commit(w, h.requests[slot], h.held[slot]); err != nil {
		return err
	}
	_, err := w.cookie()
	return err
}

func (h *sealedHolder) begin(int) error { return errNoEnd }
func (h *sealedHolder) end(int) error   { return errNoEnd }

var errNoEnd = fmt.Errorf("a session in a cookie is not made and ended without a browser")
