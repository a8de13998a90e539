package sessions_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// Every failure that can be provoked, with secrets for ID, key, value and
// owner: none of them stands in an error or a log.
func TestErrorsAndLogLinesShowNoSecret(t *testing.T) {
	var texts strings.Builder
	secrets := []string{"secretkey", "secretvalue", "secretowner", base64.StdEncoding.EncodeToString([]byte("secretowner"))}
	failures := 0
	note := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		failures++
		fmt.Fprintf(&texts, "%s: %v | %+v | %s\n", what, err, err, err)
		slog.New(slog.NewJSONHandler(&texts, nil)).Error(what, "error", err)
	}
	logger := slog.New(slog.NewJSONHandler(&texts, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for name, o := range map[string]sessions.FilesystemOptions{
		"json": {}, "gob": {Codec: sessions.Gob()}, "sealed": {Sealer: xorSealer{}}, "hashed": {HashNames: true}, "full": {Sync: sessions.SyncFull, IdleTimeout: time.Hour},
	} {
		dir := t.TempDir()
		o.Path, o.Logger, o.MaxSize = dir, logger, 10_000
		store := newStore(t, o)
		secret := func() *sessions.Session {
			s := store.New()
			s.Set("secretkey", "secretvalue")
			s.SetOwner("secretowner")
			save(t, store, s)
			secrets = append(secrets, s.ID(), s.ID()[:16])
			return s
		}
		pathOf := func(s *sessions.Session) string {
			for _, n := range names(t, dir) {
				if found := get(t, store, s.ID()); !found.New() && (o.HashNames || strings.Contains(n, s.ID())) {
					return filepath.Join(dir, n)
				}
			}
			t.Fatal("no file")
			return ""
		}
		all := func(what string, s *sessions.Session) { // everything that can fail with this session
			s.Set("secretkey", "secretvalue again")
			note(name+" "+what+" save", store.Save(background, s))
			note(name+" "+what+" update", store.Update(background, s, func(*sessions.Session) error { return nil }))
			_, err := store.Touch(background, s, 0)
			note(name+" "+what+" touch", err)
		}
		s := secret()
		if err := store.Delete(background, s); err != nil {
			t.Fatal(err)
		}
		all("deleted", s)

		s = secret()
		if err := os.WriteFile(pathOf(s), []byte("damage"), 0o600); err != nil {
			t.Fatal(err)
		}
		get(t, store, s.ID()) // logs
		all("damaged", s)
		store.DeleteAll(background)

		s = secret()
		path := pathOf(s)
		os.Remove(path)
		os.Mkdir(path, 0o700)
		get(t, store, s.ID())
		all("directory", s)
		note("delete", store.Delete(background, s))
		s.Renew()
		note("renew", store.Save(background, s))
		os.Remove(path)

		s = secret()
		s.Set("large", strings.Repeat("secretvalue", 1000))
		note("too large", store.Save(background, s))
		for codec, values := range unencodable() {
			for what, value := range values {
				if s := store.New(); codec == name || codec == "json" && o.Codec == nil {
					s.Set("secretkey", value)
					note(what, store.Save(background, s))
				}
			}
		}
		fresh := store.New()
		taken := fresh.Clone()
		save(t, store, fresh)
		note("taken", store.Save(background, taken))
		note("foreign", store.Save(background, nowhere.New()))

		s = secret()
		ended, cancel := context.WithCancel(background)
		cancel()
		_, err := store.Get(ended, s.ID())
		note("get, cancelled", err)
		note("save, cancelled", store.Save(ended, s))
		_, err = store.DeleteAll(ended)
		note("delete all, cancelled", err)
		note("an error of one's own, wrapped", fmt.Errorf("wrapped: %w", store.Update(background, s, func(*sessions.Session) error { return io.EOF })))

		// The directory goes away, something else takes its place, and at last the
		// store is closed.
		s = secret()
		if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err == nil {
			note("new, in a directory that is gone", store.Save(background, newWith(store)))
			all("directory gone", s)
		}
		store.Close()
		_, err = store.Get(background, s.ID())
		note("get, closed", err)
		note("save, closed", store.Save(background, s))
		note("new, closed", store.Save(background, newWith(store)))
		note("delete, closed", store.Delete(background, s))
		_, err = store.DeleteAll(background)
		note("delete all, closed", err)
		_, err = store.DeleteOwner(background, "secretowner")
		note("delete owner, closed", err)
		for _, err := range store.List(background) {
			note("list, closed", err)
		}
		for _, err := range store.ListOwner(background, "secretowner") {
			note("list owner, closed", err)
		}
	}
	for _, secret := range secrets {
		if i := strings.Index(texts.String(), secret); i >= 0 {
			from := strings.LastIndexByte(texts.String()[:i], '\n') + 1
			t.Errorf("%.12s… is shown: %.200s", secret, texts.String()[from:])
		}
	}
	t.Logf("%d failures, %d secrets, %d bytes of text", failures, len(secrets), texts.Len())
	if failures < 100 {
		t.Errorf("only %d failures were provoked", failures)
	}
}

func newWith(store sessions.SessionStore) *sessions.Session {
	s := store.New()
	s.Set("secretkey", "secretvalue")
	s.SetOwner("secretowner")
	return s
}
