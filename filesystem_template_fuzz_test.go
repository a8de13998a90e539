package sessions_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sessfs/sessions"
)

// Whatever template the constructor accepts, the store finds the sessions that it
// has saved, and makes nothing outside of its directory.
func FuzzFilenameTemplate(f *testing.F) {
	for _, template := range []string{
		"", "%s", "session_%s.sess", "werkzeug_%s.sess", "0%s0", "%s.__sess_tm", "tmp-%s", ".%s", ".owners.%s", "-%s", "ä%s\xff",
		"session", "%s%s", "%%s", "%d%s", "sub/%s", `sub\%s`, "../%s", "%s.__sess_tmp", "%s\n", "a\x00%s", strings.Repeat("a", 200) + "%s",
	} {
		f.Add(template, false, false)
		f.Add(template, true, true)
	}
	f.Fuzz(func(t *testing.T, template string, hashNames, uuids bool) {
		parent := t.TempDir()
		o := sessions.FilesystemOptions{Path: filepath.Join(parent, "sessions"), FilenameTemplate: template, HashNames: hashNames}
		if uuids {
			o.IDs = sessions.UUIDs()
		}
		store, err := sessions.NewFilesystemSessionStore(o)
		if err != nil {
			return
		}
		defer store.Close()
		s := store.New()
		s.Set("a", "one")
		if err := store.Save(background, s); err != nil {
			t.Fatalf("template %q was accepted, and Save = %v", template, err)
		}
		loaded, err := store.Get(background, s.ID())
		if err != nil || loaded.New() || loaded.Get("a") != "one" {
			t.Errorf("template %q: Get = %v, %v after a save", template, loaded, err)
		}
		wantListed(t, store, s.ID(), hashNames)
		if got := names(t, parent); !slices.Equal(got, []string{"sessions"}) {
			t.Errorf("template %q: beside the directory there are %q", template, got)
		}
		if got := names(t, o.Path); len(got) != 1 {
			t.Errorf("template %q: one session has the files %q", template, got)
		}
		if err := store.Delete(background, s); err != nil || len(names(t, o.Path)) != 0 {
			t.Errorf("template %q: Delete = %v, and %q stays", template, err, names(t, o.Path))
		}
	})
}

// wantListed checks that List returns exactly that session.
func wantListed(t *testing.T, store *sessions.FilesystemSessionStore, id string, hashNames bool) {
	t.Helper()
	var listed []string
	for key, err := range store.List(background) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, key)
	}
	if len(listed) != 1 || (listed[0] == id) == hashNames {
		t.Errorf("List gives %d IDs; want that of the one session that there is, hashed: %v", len(listed), hashNames)
	}
}
