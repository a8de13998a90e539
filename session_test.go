package sessions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
)

// A backend is a store's, of which nothing but its Commit matters.
type backend func(context.Context, *sessions.Change) error

func (backend) Load(context.Context, string) (sessions.Record, error) {
	return sessions.Record{}, sessions.ErrNotStored
}

func (b backend) Commit(ctx context.Context, c *sessions.Change) error { return b(ctx, c) }

// base returns the Base of a store of one's own.
func base(commit backend) *sessions.Base {
	b, err := sessions.NewBase(commit, sessions.BaseOptions{Key: func(id string) string { return id }, IdleTimeout: sessions.Never, Lifetime: sessions.Never})
	if err != nil {
		panic(err)
	}
	return b
}

// nowhere keeps no sessions.
var nowhere = base(nil)

// loadedBy returns a session as a store loads it.
func loadedBy(t testing.TB, b *sessions.Base, data string) *sessions.Session {
	t.Helper()
	s, err := b.Load("id", "id", sessions.Record{Codec: "json", Created: time.Now(), Used: time.Now(), Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func loaded(t testing.TB, data string) *sessions.Session {
	t.Helper()
	return loadedBy(t, nowhere, data)
}

// commitTo saves a session of nowhere, over the stored record.
func commitTo(s *sessions.Session, stored sessions.Record, write func(*sessions.Change) error) error {
	return nowhere.CommitTo(background, s, applied(stored, write))
}

// applied is the Commit of a Backend that has a record, and writes by write.
func applied(stored sessions.Record, write func(*sessions.Change) error) backend {
	return func(_ context.Context, c *sessions.Change) error {
		if err := c.Apply(&stored); err != nil {
			return err
		}
		return write(c)
	}
}

// values collects the values of All.
func values(s *sessions.Session) map[string]any { return maps.Collect(s.All()) }

func TestModifiedAndShouldSaveAreWerkzeugs(t *testing.T) {
	nothing := maps.All(map[string]any{})
	for _, row := range []struct {
		act      string
		do       func(s *sessions.Session)
		modified bool
	}{
		{"the constructor", func(s *sessions.Session) {}, false},
		{"set an absent key", func(s *sessions.Session) { s.Set("new", 1) }, true},
		{"set a key to the value it had", func(s *sessions.Session) { s.Set("a", "x") }, true},
		{"set a key to nil", func(s *sessions.Session) { s.Set("new", nil) }, true},
		{"delete a present key", func(s *sessions.Session) { s.Delete("a") }, true},
		{"delete an absent key", func(s *sessions.Session) { s.Delete("none") }, false},
		{"clear", func(s *sessions.Session) { s.Clear() }, true},
		{"update", func(s *sessions.Session) { s.SetAll(maps.All(map[string]any{"a": 1})) }, true},
		{"update with nothing", func(s *sessions.Session) { s.SetAll(nothing) }, true},
		{"set default of an absent key", func(s *sessions.Session) { s.SetDefault("new", 1) }, true},
		{"set default of a present key", func(s *sessions.Session) { s.SetDefault("a", 1) }, false},
		{"set default of a key that is nil", func(s *sessions.Session) { s.SetDefault("nil", 1) }, false},
		{"pop a present key", func(s *sessions.Session) { s.Pop("a") }, true},
		{"pop a key that is nil", func(s *sessions.Session) { s.Pop("nil") }, true},
		{"pop an absent key", func(s *sessions.Session) { s.Pop("none") }, false},
		{"get", func(s *sessions.Session) { s.Get("a"); s.Get("none") }, false},
		{"look up", func(s *sessions.Session) { s.Lookup("list") }, false},
		{"get as a type", func(s *sessions.Session) { sessions.Key[string]("a").Get(s) }, false},
		{"pop an absent key as a type", func(s *sessions.Session) { sessions.Key[string]("none").Pop(s) }, false},
		{"delete an absent key as a type", func(s *sessions.Session) { sessions.Key[string]("none").Delete(s) }, false},
		{"len, all, string", func(s *sessions.Session) { s.Len(); values(s); _ = s.String() }, false},
		{"change inside a list", func(s *sessions.Session) { s.Get("list").([]any)[0] = 2 }, false},
		{"change inside a map", func(s *sessions.Session) { s.Get("map").(map[string]any)["k"] = 2 }, false},
		{"mark", func(s *sessions.Session) { s.MarkModified() }, true},
		{"no flash messages", func(s *sessions.Session) { s.Flashes() }, false},
		{"add a flash message", func(s *sessions.Session) { s.AddFlash("x") }, true},
		{"take flash messages", func(s *sessions.Session) { s.AddFlash("x"); s.Flashes() }, true},
		{"renew", func(s *sessions.Session) { s.Renew() }, true},
		{"destroy", func(s *sessions.Session) { s.Destroy() }, true},
		{"another idle timeout", func(s *sessions.Session) { s.SetIdleTimeout(time.Hour) }, true},
		{"the same idle timeout", func(s *sessions.Session) { s.SetIdleTimeout(0) }, false},
		{"another owner", func(s *sessions.Session) { s.SetOwner("u") }, true},
		{"the same owner", func(s *sessions.Session) { s.SetOwner("") }, false},
		{"clone", func(s *sessions.Session) { s.Clone().Set("a", 1) }, false},
	} {
		t.Run(row.act, func(t *testing.T) {
			s := loaded(t, `{"a":"x","list":[1],"map":{"k":1},"nil":null}`)
			row.do(s)
			if s.Modified() != row.modified || s.ShouldSave() != row.modified {
				t.Errorf("Modified = %v, ShouldSave = %v; want %v", s.Modified(), s.ShouldSave(), row.modified)
			}
			if s.New() {
				t.Error("a loaded session became new")
			}
			if star := strings.HasSuffix(s.String(), "*>"); star != row.modified {
				t.Errorf("String = %s, want a star: %v", s, row.modified)
			}
		})
	}
	s := nowhere.New()
	if s.Clear(); !s.Modified() {
		t.Error("clearing an empty session is a change")
	}
}

func TestNewSessionIsNewAndNotWorthSaving(t *testing.T) {
	s := nowhere.New()
	if !s.New() || s.Modified() || s.ShouldSave() || s.Len() != 0 || !nowhere.IsValidKey(s.ID()) || s.Err() != nil {
		t.Errorf("%v: want a new one, unmodified and empty", s)
	}
	if age := time.Since(s.Created()); age < 0 || age > time.Minute || s.Created().Location() != time.UTC {
		t.Errorf("created %v, want now in UTC", s.Created())
	}
}

func TestGetReturnsOneOfSevenTypesAfterALoad(t *testing.T) {
	s := loaded(t, `{"string":"é\u00e9","true":true,"nil":null,"int":42,"big":9007199254740993,"min":-9223372036854775808,
		"float":1.5,"exp":1e3,"huge":18446744073709551616,"list":[1,"x",[2.5]],"map":{"n":9007199254740993,"l":[null]}}`)
	want := map[string]any{
		"string": "éé", "true": true, "nil": nil, "int": int64(42), "big": int64(9007199254740993), "min": int64(-9223372036854775808),
		"float": 1.5, "exp": 1000.0, "huge": 18446744073709551616.0,
		"list": []any{int64(1), "x", []any{2.5}},
		"map":  map[string]any{"n": int64(9007199254740993), "l": []any{nil}},
	}
	if got := values(s); !reflect.DeepEqual(got, want) {
		t.Errorf("All = %#v,\nwant %#v", got, want)
	}
	for key, value := range want {
		if got, ok := s.Lookup(key); !ok || !reflect.DeepEqual(got, value) {
			t.Errorf("Lookup(%q) = %#v, %v; want %#v", key, got, ok, value)
		}
	}
	if v, ok := s.Lookup("none"); v != nil || ok || s.Get("none") != nil {
		t.Errorf("an absent key has the value %v, %v", v, ok)
	}
	if s.Len() != len(want) {
		t.Errorf("Len = %d, want %d", s.Len(), len(want))
	}
}

func TestAllGoesThroughTheKeysInOrderAndAllowsChanges(t *testing.T) {
	s := loaded(t, `{"c":3,"a":1,"b":2}`)
	s.Set("d", 4)
	s.Set("0", 0)
	s.Delete("b")
	for range 2 { // a sequence may be used again
		var keys []string
		for key := range s.All() {
			keys = append(keys, key)
			s.Set(key, "changed") // would deadlock under a lock
			if key == "c" {
				s.Delete("d")
			}
		}
		if want := []string{"0", "a", "c"}; !slices.Equal(keys, want) {
			t.Errorf("keys %q, want %q", keys, want)
		}
	}
	for range s.All() {
		break
	}
}

func TestSetDefaultPopUpdateAndClearAreThoseOfADict(t *testing.T) {
	s := loaded(t, `{"a":"x","bad":nope}`)
	if got := s.SetDefault("a", "y"); got != "x" {
		t.Errorf("SetDefault of a present key = %v", got)
	}
	if got := s.SetDefault("b", 1); got != 1 || s.Get("b") != 1 {
		t.Errorf("SetDefault of an absent key = %v, then Get = %v", got, s.Get("b"))
	}
	if v, ok := s.Pop("a"); v != "x" || !ok {
		t.Errorf("Pop = %v, %v", v, ok)
	}
	if v, ok := s.Pop("a"); v != nil || ok {
		t.Errorf("Pop again = %v, %v", v, ok)
	}
	if v, ok := s.Lookup("bad"); v != nil || ok {
		t.Errorf("a value that is no JSON = %v, %v", v, ok)
	}
	s.SetAll(maps.All(map[string]any{"b": 2, "c": 3}))
	s.Delete("bad")
	if got, want := values(s), map[string]any{"b": 2, "c": 3}; !reflect.DeepEqual(got, want) {
		t.Errorf("after Update: %v, want %v", got, want)
	}
	if s.Clear(); s.Len() != 0 || len(values(s)) != 0 || s.Get("b") != nil {
		t.Errorf("after Clear: %v", values(s))
	}
	if s.Set("b", 1); s.Len() != 1 {
		t.Errorf("after Clear and Set: %d values", s.Len())
	}
}

func TestCloneIsFlat(t *testing.T) {
	s := loaded(t, `{"a":1,"list":[1]}`)
	list := s.Get("list").([]any)
	s.Set("b", 2)
	c := s.Clone()
	if c.ID() != s.ID() || c.Modified() != s.Modified() || !reflect.DeepEqual(values(c), values(s)) {
		t.Errorf("the clone is %v %v, want %v %v", c, values(c), s, values(s))
	}
	c.Set("a", "clone's")
	c.Delete("b")
	s.Set("c", "original's")
	if s.Get("a") != int64(1) || s.Get("b") != 2 || c.Get("c") != nil {
		t.Errorf("original %v and clone %v share their keys", values(s), values(c))
	}
	if list[0] = "both"; c.Get("list").([]any)[0] != "both" {
		t.Error("the clone is deep; want the values shared")
	}
}

func TestKeysAreSortedAndTheCallersOwn(t *testing.T) {
	s := loaded(t, `{"b":1,"gone":1,"a":1}`)
	s.Set("aa", 1)
	s.Set("b", 2)
	s.Delete("gone")
	want := []string{"a", "aa", "b"}
	keys := s.Keys()
	if !slices.Equal(keys, want) {
		t.Errorf("got %q, want %q", keys, want)
	}
	keys[0] = "changed"
	if got := s.Keys(); !slices.Equal(got, want) {
		t.Errorf("after a change of the slice: got %q, want %q", got, want)
	}
	s.Clear()
	if got := s.Keys(); len(got) != 0 {
		t.Errorf("after Clear: got %q, want none", got)
	}
}

func TestFlashesComeOnceAndInOrder(t *testing.T) {
	s := nowhere.New()
	var want []any
	for i := range 20 {
		s.AddFlash(i)
		want = append(want, i)
	}
	s.Set("_flashy", "no message")
	if got := s.Flashes(); !reflect.DeepEqual(got, want) {
		t.Errorf("Flashes = %v, want %v", got, want)
	}
	if got := s.Flashes(); got != nil {
		t.Errorf("Flashes again = %v, want nil", got)
	}
	if s.Len() != 1 {
		t.Errorf("%d values are left, want the one that is no message", s.Len())
	}
}

func TestFlashesAsLeavesMessagesOfOtherTypes(t *testing.T) {
	type notice struct{ Level, Text string }
	store := newStore(t, sessions.FilesystemOptions{})
	s := store.New()
	s.AddFlash(notice{"info", "saved"})
	s.AddFlash("plain")
	save(t, store, s)
	s = get(t, store, s.ID())
	if got := sessions.FlashesAs[notice](s); len(got) != 1 || got[0] != (notice{"info", "saved"}) {
		t.Errorf("notices: %v", got)
	}
	if got := s.Flashes(); len(got) != 1 || got[0] != "plain" || s.Len() != 0 {
		t.Errorf("the rest: %v, and %d values are left", got, s.Len())
	}
}

func TestDestroyMakesASessionEmptyAndAnonymousAtOnce(t *testing.T) {
	s := loaded(t, `{"a":1}`)
	s.SetOwner("u")
	s.SetIdleTimeout(time.Hour)
	s.Set("b", 1)
	if s.Destroy(); s.Len() != 0 || s.Owner() != "" || s.IdleTimeout() != 0 || s.Get("a") != nil {
		t.Errorf("after Destroy: %v, owner %q, %v", values(s), s.Owner(), s.IdleTimeout())
	}
}

func TestSetIdleTimeoutIsOfWholeSecondsAndNotNegative(t *testing.T) {
	s := nowhere.New()
	for d, want := range map[time.Duration]time.Duration{
		0: 0, -1: 0, -time.Hour: 0, math.MinInt64: 0,
		1: time.Second, 500 * time.Millisecond: time.Second, time.Second: time.Second, time.Second + 1: 2 * time.Second,
		240 * 365 * 24 * time.Hour: 240 * 365 * 24 * time.Hour, math.MaxInt64: math.MaxInt64 / time.Second * time.Second,
	} {
		if s.SetIdleTimeout(d); s.IdleTimeout() != want {
			t.Errorf("SetIdleTimeout(%v): IdleTimeout = %v, want %v", d, s.IdleTimeout(), want)
		}
	}
}

func TestStringShowsNoValueKeyOrID(t *testing.T) {
	s := nowhere.New()
	s.Set("secretKey", "secretValue")
	s.SetOwner("secretOwner")
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%x", "%X", "%s", "%q", "%t", "%10v", "%T"} {
		fmt.Fprintf(&b, verb+"\n", s)
	}
	fmt.Fprintf(&b, "%v %+v", struct{ S *sessions.Session }{s}, []any{s, map[string]any{"s": s}})
	fmt.Fprint(&b, s, fmt.Errorf("with %v", s))
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("a session", "s", s, "in", []any{s}, slog.Group("g", "s", s), "struct", struct{ S *sessions.Session }{s})
	}
	if data, err := json.Marshal(s); err == nil {
		b.Write(data)
		t.Error("a session was encoded as JSON")
	}
	if i := strings.Index(b.String(), "secret"); i >= 0 {
		t.Errorf("secret printed: …%.60s…", b.String()[max(0, i-20):])
	}
	if got, want := s.String(), "<Session 1 values new*>"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
}

func TestSessionIsSafeForConcurrentUse(t *testing.T) {
	s := loaded(t, `{"a":1,"list":[1],"map":{"k":1}}`)
	number := sessions.Key[int64]("number")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				key := fmt.Sprint("key", g)
				s.Set(key, i)
				s.Get("list")
				s.Lookup(key)
				s.SetDefault("default", g)
				number.Set(s, int64(i))
				number.Get(s)
				s.AddFlash(i)
				s.Flashes()
				s.SetAll(maps.All(map[string]any{"u": g}))
				values(s)
				s.Len()
				_ = s.String()
				s.Clone().Set("x", 1)
				s.MarkModified()
				s.SetIdleTimeout(time.Duration(i) * time.Second)
				s.SetOwner(key)
				s.Owner()
				s.Created()
				s.Modified()
				s.Pop(key)
				if i%50 == 49 {
					s.Renew()
					s.Clear()
				}
				commit(s)
			}
		})
	}
	wg.Wait()
}

// commit saves a session to nowhere.
func commit(s *sessions.Session) error {
	return commitTo(s, sessions.Record{Data: `{"stored":1}`}, func(c *sessions.Change) error { c.Record(); return nil })
}

func TestDiscardForgetsWhatIsNotSaved(t *testing.T) {
	store := newStore(t, sessions.FilesystemOptions{Path: t.TempDir() + "/sessions"})
	s := store.New()
	s.Set("a", 1)
	s.SetOwner("ann")
	s.SetIdleTimeout(time.Hour)
	s.Discard()
	if s.Len() != 0 || s.Modified() || !s.New() || s.Owner() != "" || s.IdleTimeout() != 0 {
		t.Errorf("a new session: got %v, owner %q, %v", s, s.Owner(), s.IdleTimeout())
	}
	s.Set("list", []any{"a"})
	s.SetOwner("ann")
	if err := store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	created, id := s.Created(), s.ID()
	for name, change := range map[string]func(){
		"Set":            func() { s.Set("a", 1); s.Set("list", 2) },
		"Delete":         func() { s.Delete("list") },
		"Clear":          s.Clear,
		"MarkModified":   func() { s.Get("list").([]any)[0] = "changed"; s.MarkModified() },
		"SetIdleTimeout": func() { s.SetIdleTimeout(time.Hour) },
		"SetOwner":       func() { s.SetOwner("bob") },
		"Renew":          s.Renew,
		"Destroy":        func() { s.Destroy(); s.AddFlash("bye") },
	} {
		change()
		s.Discard()
		if got := s.Get("list"); s.Modified() || s.Len() != 1 || fmt.Sprint(got) != "[a]" || s.Owner() != "ann" || s.IdleTimeout() != 0 || !s.Created().Equal(created) {
			t.Errorf("%s: got %v, list %v, owner %q", name, s, got, s.Owner())
		}
		if err := store.Save(background, s); err != nil || s.ID() != id {
			t.Errorf("%s: saved afterwards: %v, another ID %v", name, err, s.ID() != id)
		}
	}
}
