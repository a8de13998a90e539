package ownerindex_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/ownerindex"
)

const key = "0123456789abcdef"

// open opens the index of a directory as one process would.
func open(t testing.TB, path string) *ownerindex.Index {
	t.Helper()
	dir, err := dirfs.Open(path)
	must(t, err)
	t.Cleanup(func() { dir.Close() })
	return ownerindex.New(dir, false)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// whole returns a State that is complete.
func whole(t testing.TB, x *ownerindex.Index) ownerindex.State {
	t.Helper()
	s, _, err := x.Begin(t.Context(), key)
	must(t, err)
	done, err := x.SetComplete(t.Context(), s)
	if must(t, err); !done {
		t.Fatal("SetComplete = false")
	}
	return s
}

// enter enters names for a tag.
func enter(t testing.TB, x *ownerindex.Index, tag string, names ...string) {
	t.Helper()
	for _, name := range names {
		for again := true; again; {
			var l ownerindex.Lock
			must(t, x.Lock(t.Context(), tag, &l))
			if !slices.Contains(l.Files, name) {
				l.Files = append(l.Files, name)
			}
			locked, err := l.Write(t.Context())
			must(t, err)
			again = !locked
			l.Unlock()
		}
	}
}

func wantFiles(t testing.TB, x *ownerindex.Index, tag string, want ...string) {
	t.Helper()
	e, err := x.Read(t.Context(), tag)
	if must(t, err); !slices.Equal(e.Files, want) {
		t.Errorf("the files of %s are %q, want %q", tag, e.Files, want)
	}
}

// holds reports whether the State still is complete, as another process sees it.
func holds(t testing.TB, path string, since ownerindex.State) bool {
	t.Helper()
	s, ok, err := open(t, path).Current(t.Context())
	must(t, err)
	return ok && s.Complete && s.Is(since)
}

func TestIndexKeepsItsStateWhileFilesComeAndGrowAndGo(t *testing.T) {
	path := t.TempDir()
	x, other := open(t, path), open(t, path)
	since := whole(t, x)
	var names []string
	for i := range 100 {
		name := fmt.Sprintf("session_%060d", i)
		must(t, os.WriteFile(filepath.Join(path, name), nil, 0o600))
		names = append(names, name)
		enter(t, other, "ann", name)
		enter(t, x, fmt.Sprint("owner", i), name)
	}
	wantFiles(t, x, "ann", names...)
	for _, name := range names[1:] {
		must(t, os.Remove(filepath.Join(path, name)))
	}
	old := time.Now().Add(-25 * time.Hour)
	entries, err := os.ReadDir(filepath.Join(path, ".owners"))
	must(t, err)
	for _, e := range entries {
		must(t, os.Chtimes(filepath.Join(path, ".owners", e.Name()), old, old))
	}
	must(t, x.Tidy(t.Context()))
	wantFiles(t, other, "ann", names[0])
	wantFiles(t, other, "owner0", names[0])
	if left, err := os.ReadDir(filepath.Join(path, ".owners")); len(left) != 3 || err != nil {
		t.Errorf("%d files, %v; want those of two owners and the state", len(left), err)
	}
	if !holds(t, path, since) {
		t.Error("the index was begun anew")
	}
}

func TestIndexThatOthersChangeDoesNotHold(t *testing.T) {
	for name, change := range map[string]func(index string) error{
		"a file more":       func(index string) error { return os.WriteFile(filepath.Join(index, "x"), nil, 0o600) },
		"a file less":       func(index string) error { return os.Remove(filepath.Join(index, "ann")) },
		"another time":      func(index string) error { return os.Chtimes(index, time.Now(), time.Now()) },
		"another directory": func(index string) error { return copyDir(index) },
		"no state":          func(index string) error { return os.Truncate(filepath.Join(index, "state"), 0) },
		"none":              os.RemoveAll,
	} {
		path := t.TempDir()
		x := open(t, path)
		since := whole(t, x)
		enter(t, x, "ann", "a")
		if !holds(t, path, since) {
			t.Errorf("%s: does not hold before", name)
		}
		must(t, change(filepath.Join(path, ".owners")))
		if holds(t, path, since) {
			t.Errorf("%s: holds", name)
		}
		enter(t, x, "bob", "b") // makes a file, and mends nothing
		if holds(t, path, since) {
			t.Errorf("%s: holds after another file was made", name)
		}
		again, begun, err := open(t, path).Begin(t.Context(), key)
		if !begun || err != nil || again.Complete || again.Is(since) {
			t.Errorf("%s: Begin = %+v, %v, %v", name, again, begun, err)
		}
	}
}

// copyDir puts a copy with the same times in the place of a directory.
func copyDir(dir string) error {
	info, err := os.Stat(dir)
	if err == nil {
		err = os.CopyFS(dir+".copy", os.DirFS(dir))
	}
	if err == nil {
		err = os.Chtimes(dir+".copy", info.ModTime(), info.ModTime())
	}
	if err == nil {
		err = os.Rename(dir, dir+".old")
	}
	if err == nil {
		err = os.Rename(dir+".copy", dir)
	}
	return err
}

func TestIndexUnderAnotherKeyBeginsAnew(t *testing.T) {
	path := t.TempDir()
	x := open(t, path)
	since := whole(t, x)
	if s, begun, err := x.Begin(t.Context(), key); begun || err != nil || !s.Is(since) {
		t.Errorf("Begin again = %+v, %v, %v", s, begun, err)
	}
	if s, begun, err := x.Begin(t.Context(), "fedcba9876543210"); !begun || err != nil || s.Is(since) || s.Complete {
		t.Errorf("Begin of another = %+v, %v, %v", s, begun, err)
	}
	if is, err := open(t, path).StillIs(t.Context(), since); is || err != nil {
		t.Errorf("StillIs = %v, %v", is, err)
	}
	if done, err := open(t, path).SetComplete(t.Context(), since); done || err != nil {
		t.Errorf("SetComplete of the one before = %v, %v", done, err)
	}
}

func TestEntryEndedComparesTimesAndPublicIDs(t *testing.T) {
	var e ownerindex.Entry
	before := time.Now()
	e.AddEnd([]string{"kept", "with space and \"quotes\"\n"})
	x := open(t, t.TempDir())
	var l ownerindex.Lock
	must(t, x.Lock(t.Context(), "ann", &l))
	l.Entry = e
	_, err := l.Write(t.Context())
	l.Unlock()
	must(t, err)
	e, err = x.Read(t.Context(), "ann")
	must(t, err)
	for _, test := range []struct {
		login time.Time
		ids   []string
		want  bool
	}{
		{before, []string{"a", "b"}, true},
		{before, []string{"a", "kept"}, false},
		{before, []string{"with space and \"quotes\"\n"}, false},
		{time.Now(), []string{"a"}, false},
	} {
		if got := e.Ended(test.login, test.ids...); got != test.want {
			t.Errorf("Ended(%v, %q) = %v", test.login.Sub(before), test.ids, got)
		}
	}
	future := ownerindex.Entry{Ends: []ownerindex.End{{At: time.Now().Add(time.Hour)}}}
	if future.Ended(time.Now(), "a") {
		t.Error("an end that is in the future counts: the clock was set back")
	}
}

func TestEntryKeepsTheEndsThatMatter(t *testing.T) {
	var e ownerindex.Entry
	for range 3 {
		e.AddEnd(nil)
	}
	if len(e.Ends) != 1 {
		t.Errorf("%d ends of all, want the last", len(e.Ends))
	}
	e.AddEnd([]string{"a"})
	if len(e.Ends) != 2 {
		t.Errorf("%d ends, want the one that keeps none, too", len(e.Ends))
	}
	e.AddEnd([]string{"b", "c"})
	if len(e.Ends) != 3 {
		t.Errorf("%d ends, want both that keep others", len(e.Ends))
	}
	before := time.Now()
	for i := range 100 {
		e.AddEnd([]string{fmt.Sprint(i)})
	}
	if len(e.Ends) > 20 || !e.Ended(before, "a") || !e.Ended(before, "99") {
		t.Errorf("%d ends", len(e.Ends))
	}
}
