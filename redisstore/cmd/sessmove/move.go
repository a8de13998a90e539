package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/handover"
	"github.com/sessfs/sessions/internal/command"
	"github.com/sessfs/sessions/redisstore"
)

// A mover moves the sessions of one store to another.
type mover struct {
	*config
	source   handover.Source
	target   handover.Source
	toKey    func(key string) string // from one of the source
	closeAll []func() error
}

// open opens both stores.
func open(ctx context.Context, c *config, logger *slog.Logger) (*mover, error) {
	m := &mover{config: c}
	files, err := m.openFiles(logger)
	if err != nil {
		return nil, err
	}
	store, err := m.openRedis(ctx, logger)
	if err != nil {
		m.close()
		return nil, fmt.Errorf("%s: %w", redacted(c.url), err)
	}
	if c.toRedis {
		m.source, m.target, m.toKey = files, store, store.Key
	} else {
		// A key of redisstore ends with the public ID, which is a file's key with HashNames.
		const length = 64
		m.source, m.target, m.toKey = store, files, func(key string) string { return key[len(key)-length:] }
	}
	return m, nil
}

// openFiles opens the directory. It has to be there when the sessions come from it.
func (m *mover) openFiles(logger *slog.Logger) (*sessions.FilesystemSessionStore, error) {
	sealer := m.to
	if m.toRedis {
		sealer = m.from
		if _, err := os.Stat(m.dir); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: there is no such directory", m.dir)
		}
	}
	files, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{
		Path:             m.dir,
		FilenameTemplate: m.template,
		IDs:              sessions.RandomIDs(m.idBytes),
		HashNames:        !m.toRedis,
		IdleTimeout:      m.idleTimeout,
		Lifetime:         m.lifetime,
		Sealer:           sealer,
		Sync:             sessions.SyncFull, // a power cut neither loses a session nor brings it back
		Logger:           logger,
	})
	if err != nil {
		return nil, err
	}
	m.closeAll = append(m.closeAll, files.Close)
	return files, nil
}

func (m *mover) openRedis(ctx context.Context, logger *slog.Logger) (*redisstore.Store, error) {
	client, err := m.newClient()
	if err != nil {
		return nil, err
	}
	m.closeAll = append(m.closeAll, client.Close)
	sealer := m.from
	if m.toRedis {
		sealer = m.to
	}
	return redisstore.New(ctx, client, redisstore.Options{
		Prefix:      m.prefix,
		IDs:         sessions.RandomIDs(m.idBytes),
		IdleTimeout: m.idleTimeout,
		Lifetime:    m.lifetime,
		Sealer:      sealer,
		Logger:      logger,
	})
}

func (m *mover) newClient() (redis.UniversalClient, error) {
	if m.cluster {
		o, err := redis.ParseClusterURL(m.url)
		if err != nil {
			return nil, err
		}
		o.PoolSize = m.parallel
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(m.url)
	if err != nil {
		return nil, err
	}
	o.PoolSize = m.parallel
	return redis.NewClient(o), nil
}

func (m *mover) close() {
	for _, f := range m.closeAll {
		_ = f() // nothing is written by it
	}
}

// maxFailures in a row end the command: the server, or the disk, is gone.
const maxFailures = 20

// move moves all sessions, and those that came meanwhile.
func (m *mover) move(ctx context.Context, b *command.Bar) *result {
	r := &result{started: time.Now(), errors: make(map[string]int), bar: b}
	defer r.finish()
	if b != nil || m.dryRun {
		for _, err := range m.source.List(ctx) {
			if err != nil {
				r.count(err)
				continue
			}
			r.total++
		}
	}
	for again := !m.dryRun; again; {
		before := r.get().moved
		m.pass(ctx, r)
		again = r.get().moved > before && !r.ends(ctx)
	}
	r.stopped = ctx.Err() != nil
	return r
}

// pass moves the sessions that are listed now.
func (m *mover) pass(ctx context.Context, r *result) {
	r.begin()
	keys := make(chan string)
	var wg sync.WaitGroup
	for range m.parallel {
		wg.Go(func() {
			for key := range keys {
				r.count(m.moveOne(ctx, key))
			}
		})
	}
	for key, err := range m.source.List(ctx) {
		if r.ends(ctx) {
			break
		}
		if err != nil {
			r.count(err)
			continue
		}
		keys <- key
	}
	close(keys)
	wg.Wait()
}

func (m *mover) moveOne(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// A session that is begun is moved to its end, also when a signal comes.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return handover.Move(ctx, m.target, m.toKey(key), m.source, key)
}
