package storetest_test

import (
	"testing"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/storetest"
)

func TestFilesystemSessionStore(t *testing.T) {
	for _, test := range []struct {
		name string
		o    sessions.FilesystemOptions
	}{
		{"default", sessions.FilesystemOptions{}},
		{"gob", sessions.FilesystemOptions{Codec: sessions.Gob()}},
		{"durable", sessions.FilesystemOptions{Sync: sessions.SyncFull}},
		{"UUIDs", sessions.FilesystemOptions{IDs: sessions.UUIDs()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T, o storetest.Options) sessions.SessionStore {
				so := test.o
				so.Path, so.IdleTimeout, so.MaxSessions = t.TempDir()+"/sessions", o.IdleTimeout, o.MaxSessions
				store, err := sessions.NewFilesystemSessionStore(so)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { store.Close() })
				return store
			})
		})
	}
}
