//go:build unix

package main

import (
	"context"
	"database/sql"
	"net/http"
	"path/filepath"
	"time"

	"github.com/alexedwards/scs/boltstore"
	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/redis/go-redis/v9"
	"go.etcd.io/bbolt"

	_ "modernc.org/sqlite" // the database/sql driver
)

// scsStore is scs as its README has it: LoadAndSave, or Load and Commit by hand. No
// store has a goroutine that clears up.
type scsStore struct {
	manager *scs.SessionManager
	values  values
	tokens  []string
	closer  func() error
}

func newSCS(store scs.Store, v values, closer func() error) library {
	manager := scs.New()
	manager.Store = store
	return &scsStore{manager: manager, values: v, closer: closer}
}

func openMemstore(e environment) (library, error) {
	return newSCS(memstore.NewWithCleanupInterval(0), e.values, func() error { return nil }), nil
}

func openBolt(e environment) (library, error)       { return openBoltWith(e, false) }
func openBoltNoSync(e environment) (library, error) { return openBoltWith(e, true) }

// boltstore returns a slice of the database's map that is decoded after the
// transaction, when another may be writing there. The map is large enough never to
// move meanwhile.
func openBoltWith(e environment, noSync bool) (library, error) {
	db, err := bbolt.Open(filepath.Join(e.dir, "bolt.db"), 0o600,
		&bbolt.Options{Timeout: 10 * time.Second, InitialMmapSize: 1 << 28, NoSync: noSync, NoFreelistSync: true})
	if err != nil {
		return nil, err
	}
	return newSCS(boltstore.NewWithCleanupInterval(db, 0), e.values, db.Close), nil
}

// openSQLite has the journal and the waiting that a server needs.
func openSQLite(e environment) (library, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(e.dir, "sqlite.db")+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		return nil, err
	}
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL);
		CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions(expiry)`)
	if err != nil {
		db.Close()
		return nil, err
	}
	return newSCS(sqlite3store.NewWithCleanupInterval(db, 0), e.values, db.Close), nil
}

func openGoRedis(e environment) (library, error) {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: e.socket})
	return newSCS(goredisstore.New(client), e.values, client.Close), nil
}

func (l *scsStore) fill(n int) ([]string, error) {
	for len(l.tokens) < n {
		ctx, err := l.begin()
		if err != nil {
			return nil, err
		}
		token, _, err := l.manager.Commit(ctx)
		if err != nil {
			return nil, err
		}
		l.tokens = append(l.tokens, token)
	}
	return l.tokens, nil
}

func (l *scsStore) begin() (context.Context, error) {
	ctx, err := l.manager.Load(context.Background(), "")
	if err == nil {
		l.values.each(func(key string, value any) { l.manager.Put(ctx, key, value) })
	}
	return ctx, err
}

func (l *scsStore) adopt(handles []string) { l.tokens = handles }
func (l *scsStore) hold() holder           { return &scsHolder{scsStore: l} }
func (l *scsStore) cookie(i int) string    { return l.manager.Cookie.Name + "=" + l.tokens[i] }
func (l *scsStore) close() error           { return l.closer() }

func (l *scsStore) handler(changes bool) http.Handler {
	return l.manager.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if l.manager.GetString(ctx, "key1") == "" || l.manager.GetString(ctx, "key2") == "" {
			answer(w, errMissing)
			return
		}
		if changes {
			l.manager.Put(ctx, "n", l.manager.GetInt(ctx, "n")+1)
		}
		answer(w, nil)
	}))
}

func (l *scsStore) wrap(h http.Handler) http.Handler { return l.manager.LoadAndSave(h) }

type scsHolder struct {
	*scsStore
	held [longTurn]context.Context
}

func (h *scsHolder) load(slot, i int) (err error) {
	h.held[slot], err = h.manager.Load(context.Background(), h.tokens[i])
	return err
}

func (h *scsHolder) read(slot int) error {
	if ctx := h.held[slot]; h.manager.GetString(ctx, "key1") == "" || h.manager.GetString(ctx, "key2") == "" {
		return errMissing
	}
	return nil
}

func (h *scsHolder) change(slot, n int) error {
	h.manager.Put(h.held[slot], "n", n)
	return nil
}

func (h *scsHolder) save(slot int) error {
	_, _, err := h.manager.Commit(h.held[slot])
	return err
}

func (h *scsHolder) begin(slot int) (err error) {
	h.held[slot], err = h.scsStore.begin()
	return err
}

func (h *scsHolder) end(slot int) error { return h.manager.Destroy(h.held[slot]) }
