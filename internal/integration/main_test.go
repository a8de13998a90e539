package integration

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/processtest"
)

var background = context.Background()

// longVariable has the duration of each of the randomized tests, "10m" for example.
const longVariable = "SESSIONS_LONG"

// long returns the duration in longVariable, or zero.
func long(t *testing.T) time.Duration {
	t.Helper()
	env := os.Getenv(longVariable)
	if env == "" {
		return 0
	}
	d, err := time.ParseDuration(env)
	if err != nil {
		t.Fatal(longVariable, err)
	}
	return d
}

// dirVariable has the directory of the sessions, for a program.
const dirVariable = "SESSIONS_TEST_DIR"

var programs = make(map[string]func() error)

// program declares a function for processes of its own, in the file that needs it.
func program(name string, run func() error) string {
	programs[name] = run
	return name
}

func TestMain(m *testing.M) { processtest.Main(m, programs) }

// start starts a program, under the command wrap if there is one.
func start(t *testing.T, name, dir string, wrap ...string) *processtest.Process {
	t.Helper()
	return processtest.Start(t, processtest.Command(name, []string{dirVariable + "=" + dir}, wrap...))
}

// openStore opens a store, without a log, in tests and in programs.
func openStore(o sessions.FilesystemOptions) (*sessions.FilesystemSessionStore, error) {
	o.Logger = slog.New(slog.DiscardHandler)
	return sessions.NewFilesystemSessionStore(o)
}

// storeAndID opens the store of a program, which reads the ID of its session.
func storeAndID() (store *sessions.FilesystemSessionStore, id string, err error) {
	if store, err = openStore(sessions.FilesystemOptions{Path: os.Getenv(dirVariable)}); err == nil {
		_, err = fmt.Scan(&id)
	}
	return store, id, err
}

func newStore(t *testing.T, o sessions.FilesystemOptions) *sessions.FilesystemSessionStore {
	t.Helper()
	store, err := openStore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}
