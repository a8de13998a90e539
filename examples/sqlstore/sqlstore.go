// Package sqlstore is an example of a store of one's own: sessions in a table of
// an SQL database, here SQLite. With another database the driver's name changes, and
// Commit's SELECT locks the row (FOR UPDATE) where SQLite's BEGIN IMMEDIATE locks the
// whole database.
package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"iter"
	"net/url"
	"time"

	_ "modernc.org/sqlite"

	"github.com/sessfs/sessions"
)

// A Store keeps sessions in a database that any number of processes share. It is a
// [sessions.SessionStore] and [sessions.Updater]. Its methods may be called by several
// goroutines at once.
type Store struct {
	*sessions.Base
	reads  *sql.DB
	writes *sql.DB // of one connection: goroutines queue here, and processes in SQLite
}

var (
	_ sessions.SessionStore = (*Store)(nil)
	_ sessions.Updater      = (*Store)(nil)
)

const schema = `
CREATE TABLE IF NOT EXISTS sessions (
	key        TEXT PRIMARY KEY, -- a hash of the ID
	used       INTEGER NOT NULL, -- Unix time in nanoseconds
	owner      TEXT NOT NULL,
	attributes BLOB NOT NULL,    -- the rest of a sessions.Record, as JSON
	data       BLOB NOT NULL     -- the values
) STRICT, WITHOUT ROWID`

// Open opens the database in a file, and makes it if there is none.
func Open(path string, idleTimeout time.Duration) (*Store, error) {
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(30000)", "journal_mode(wal)", "synchronous(normal)"},
	}.Encode()}).String()
	var st Store
	var err error
	if st.Base, err = sessions.NewBase(&st, sessions.BaseOptions{IdleTimeout: idleTimeout}); err != nil {
		return nil, err
	}
	if st.reads, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	if st.writes, err = sql.Open("sqlite", dsn); err != nil {
		return nil, err
	}
	st.writes.SetMaxOpenConns(1)
	if _, err := st.writes.Exec(schema); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &st, nil
}

// Close closes the database.
func (st *Store) Close() error { return errors.Join(st.reads.Close(), st.writes.Close()) }

// Load reads a record.
func (st *Store) Load(ctx context.Context, key string) (sessions.Record, error) {
	return scan(st.reads.QueryRowContext(ctx, "SELECT used, owner, attributes, data FROM sessions WHERE key = ?", key))
}

func scan(row interface{ Scan(...any) error }, more ...any) (rec sessions.Record, err error) {
	var used int64
	var owner, attributes, data []byte
	switch err = row.Scan(append([]any{&used, &owner, &attributes, &data}, more...)...); {
	case errors.Is(err, sql.ErrNoRows):
		return rec, sessions.ErrNotStored
	case err != nil:
		return rec, err
	case json.Unmarshal(attributes, &rec) != nil:
		return sessions.Record{Damaged: true}, nil // it can be ended
	}
	rec.Used, rec.Owner, rec.Data = time.Unix(0, used), string(owner), string(data)
	return rec, nil
}

// Commit carries out a change in one transaction.
func (st *Store) Commit(ctx context.Context, c *sessions.Change) error {
	tx, err := st.writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	rec, err := scan(tx.QueryRowContext(ctx, "SELECT used, owner, attributes, data FROM sessions WHERE key = ?", c.Key()))
	stored := &rec
	if errors.Is(err, sessions.ErrNotStored) {
		stored, err = nil, nil
	}
	if err == nil {
		err = c.Apply(stored)
	}
	if err != nil {
		return err
	}
	if key := c.Ended(); key != "" {
		if _, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE key = ?", key); err != nil {
			return err
		}
	}
	if key := c.NewKey(); key != "" {
		rec, _ := c.Attributes()
		owner := rec.Owner
		used := cmp.Or(rec.Used, time.Now())
		rec.Owner = "" // has a column: JSON would change bytes that are not UTF-8
		attributes, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO sessions (key, used, owner, attributes, data) VALUES (?, ?, ?, ?, ?)",
			key, used.UnixNano(), owner, attributes, []byte(c.Record().Data))
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// List returns the keys of the sessions that have not expired: hashes of their IDs.
func (st *Store) List(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		rows, err := st.reads.QueryContext(ctx, "SELECT used, owner, attributes, x'', key FROM sessions")
		if err != nil {
			yield("", err)
			return
		}
		defer rows.Close()
		for rows.Next() && ctx.Err() == nil {
			var key string
			rec, err := scan(rows, &key)
			switch {
			case err != nil:
				key = ""
			case rec.Damaged, st.Expired(&rec):
				continue
			}
			if !yield(key, err) {
				return
			}
		}
		if err := cmp.Or(ctx.Err(), rows.Err()); err != nil {
			yield("", err)
		}
	}
}
