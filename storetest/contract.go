package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/sessfs/sessions"
)

var contractChecks = []check{
	{
		name: "NewStoresNothing",
		rule: "New makes an empty session with a valid ID of its own; nothing is stored before Save.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s, other := store.New(), store.New()
			want(s.New() && !s.Modified() && s.Len() == 0, "a new session is %v", s)
			want(store.IsValidKey(s.ID()) && s.ID() != other.ID(), "IDs of new sessions are not valid, or the same")
			want(len(list(ctx, store)) == 0, "sessions are listed before one was saved")
			gone(ctx, store, s.ID(), "a session was never saved")
		}),
	},
	{
		name: "KeysAreValidAndUnique",
		rule: "GenerateKey makes IDs that IsValidKey accepts, and that cannot be guessed; nothing else is valid.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			seen := make(map[string]bool)
			for range 1000 {
				key := store.GenerateKey()
				want(store.IsValidKey(key), "a generated key is not valid")
				want(!seen[key], "a key was generated twice")
				want(len(key) >= 32, "a key has %d characters", len(key))
				seen[key] = true
			}
			for name, id := range invalidIDs(store) {
				want(!store.IsValidKey(id), "an ID is valid: %s", name)
			}
		}),
	},
	{
		name: "InvalidIDIsANewSession",
		rule: "Get of an ID that cannot be one returns a new session with another ID, and no error.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			for name, id := range invalidIDs(store) {
				s, err := store.Get(ctx, id)
				need(err, "get of an invalid ID, "+name)
				want(s.New() && s.ID() != id, "an invalid ID was taken: %s", name)
			}
			want(len(list(ctx, store)) == 0, "getting invalid IDs stored something")
		}),
	},
	{
		name: "UnknownIDIsNotAdopted",
		rule: "Get of a well-formed ID that the store does not know returns a new session with another ID.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			id := store.GenerateKey()
			s, err := store.Get(ctx, id)
			need(err, "get of an unknown ID")
			want(s.New() && s.Len() == 0 && !s.Modified(), "get of an unknown ID returned %v", s)
			want(s.ID() != id, "an unknown ID was adopted: an attacker who sets a cookie chooses the ID")
		}),
	},
	{
		name: "SavedSessionIsLoaded",
		rule: "A saved session is loaded: with equal values, not new, not modified; and the saved one itself is not modified any more.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := store.New()
			s.Set("foo", int64(42))
			want(s.ShouldSave(), "a session with a value should be saved")
			need(store.Save(ctx, s), "save")
			want(!s.New() && !s.Modified(), "after its save a session is %v", s)
			loaded := load(ctx, store, s.ID())
			want(loaded != s && !loaded.Modified(), "a loaded session is the saved one, or modified")
			want(loaded.Len() == 1 && loaded.Get("foo") == int64(42), "a loaded session has %d values, foo = %v", loaded.Len(), loaded.Get("foo"))
			loaded.Set("foo", int64(43))
			want(loaded.Modified() && !loaded.New(), "a changed session is %v", loaded)
		}),
	},
	{
		name: "ValuesComeBack",
		rule: "Values of every JSON type, under any key, of any size that a session may have, come back as they were.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			values := map[string]any{
				"string": "text", "int": int64(1) << 60, "float": 1.5, "bool": true, "nil": nil,
				"list": []any{int64(1), "two"}, "map": map[string]any{"a": int64(1)},
				"": "empty key", "a/../b": "path", "a.b": "dot", "Ünïcødé ☃": "unicode", "\"\\\x00\n": "escapes",
				"large": strings.Repeat("0123456789", 10_000),
			}
			s := saved(ctx, store, values)
			loaded := load(ctx, store, s.ID())
			want(loaded.Len() == len(values), "got %d values of %d", loaded.Len(), len(values))
			for key, value := range values {
				got, ok := loaded.Lookup(key)
				want(ok && fmt.Sprint(got) == fmt.Sprint(value), "the value under %q came back as a %T that is not equal", key, got)
			}
		}),
	},
	{
		name: "CreatedTimeoutAndOwnerComeBack",
		rule: "The time at which a session was made, its own timeout and its owner are stored with it.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := store.New()
			s.SetIdleTimeout(time.Hour)
			s.SetOwner("o=1 \"ann\"\n")
			created := s.Created()
			need(store.Save(ctx, s), "save")
			loaded := load(ctx, store, s.ID())
			want(loaded.IdleTimeout() == time.Hour, "the session's own timeout came back as %v", loaded.IdleTimeout())
			want(loaded.Owner() == "o=1 \"ann\"\n", "the session's owner did not come back")
			want(loaded.Created().Sub(created).Abs() < time.Second, "the time of creation moved by %v", loaded.Created().Sub(created))
		}),
	},
	{
		name: "LoginLifetimePersistenceAndMetaComeBack",
		rule: "The time of a session's login, its own lifetime, the persistence of its cookie and its Meta are stored with it.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := store.New()
			s.Login("ann")
			s.SetLifetime(time.Hour)
			s.SetPersistence(sessions.PersistIdle)
			s.SetMeta("a device =\n\"%☃")
			at := s.AuthenticatedAt()
			need(store.Save(ctx, s), "save")
			loaded := load(ctx, store, s.ID())
			want(loaded.AuthenticatedAt().Sub(at).Abs() < time.Second, "the time of the login moved by %v", loaded.AuthenticatedAt().Sub(at))
			want(loaded.Lifetime() == time.Hour, "the session's own lifetime came back as %v", loaded.Lifetime())
			want(loaded.Persistence() == sessions.PersistIdle, "the persistence came back as %v", loaded.Persistence())
			want(loaded.Meta() == s.Meta(), "Meta came back as %q", loaded.Meta())
		}),
	},
	{
		name: "SaveIfModified",
		rule: "SaveIfModified saves a session that should be saved, and no other.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := store.New()
			need(store.SaveIfModified(ctx, s), "save of an unmodified session")
			want(len(list(ctx, store)) == 0, "an unmodified session was saved")
			s.Set("a", int64(1))
			need(store.SaveIfModified(ctx, s), "save of a modified session")
			want(load(ctx, store, s.ID()).Get("a") == int64(1), "a modified session was not saved")
		}),
	},
	{
		name: "DeleteEndsOneSession",
		rule: "Delete ends that session and no other; deleting it again is not an error, nor deleting one that was never saved.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			other := saved(ctx, store, map[string]any{"a": int64(2)})
			need(store.Delete(ctx, s), "delete")
			gone(ctx, store, s.ID(), "a session was deleted")
			need(store.Delete(ctx, s), "second delete")
			need(store.Delete(ctx, store.New()), "delete of a session that was never saved")
			want(load(ctx, store, other.ID()).Get("a") == int64(2), "another session changed")
		}),
	},
	{
		name: "ListReturnsTheStoredSessions",
		rule: "List returns the keys of the stored sessions, KeyOf where the store has it, otherwise the IDs, and nothing else, also while sessions are made.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			saves := make(chan error, 1)
			keys := make(map[string]bool) // to be read after saves
			go func() {
				var err error
				for i := 0; i < 50 && err == nil; i++ {
					s := store.New()
					s.Set("a", strings.Repeat("x", i*100))
					err = store.Save(ctx, s)
					keys[keyOf(store, s)] = true
				}
				saves <- err
			}()
			for done := false; !done; {
				select {
				case err := <-saves:
					need(err, "save")
					done = true
				default:
				}
				list(ctx, store)
			}
			listed := list(ctx, store)
			want(len(keys) == 50 && maps.Equal(listed, keys), "list returned %d of 50 sessions, or something else", len(listed))
			for range store.List(ctx) {
				break // a caller may stop
			}
		}),
	},
	{
		name: "TakenIDIsRefused",
		rule: "Save of a new session under an ID that is taken is ErrExists, and changes nothing.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := store.New()
			second := s.Clone()
			s.Set("a", int64(1))
			need(store.Save(ctx, s), "save")
			second.Set("a", int64(2))
			err := store.Save(ctx, second)
			want(errors.Is(err, sessions.ErrExists), "got error %v, want ErrExists", err)
			want(load(ctx, store, s.ID()).Get("a") == int64(1), "the stored session was overwritten")
		}),
	},
	{
		name: "BadValueChangesNothing",
		rule: "A value that cannot be encoded, or whose encoder panics, is a *ValueError that names its key; the stored session stays as it was.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			s.Set("a", int64(2))
			for _, value := range []any{make(chan int), panicking{}} {
				s.Set("bad", value)
				err := store.Save(ctx, s)
				var bad *sessions.ValueError
				want(errors.As(err, &bad) && bad.Key == "bad", "got error %v, want a *ValueError for the key", err)
				want(s.Modified(), "the session counts as saved")
				want(load(ctx, store, s.ID()).Get("a") == int64(1), "the stored session changed")
			}
			s.Delete("bad")
			need(store.Save(ctx, s), "save without the value")
		}),
	},
	{
		name: "EndedContextIsObeyed",
		rule: "With a context that has ended every method returns its error and changes nothing.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_, err := store.Get(ended, s.ID())
			want(errors.Is(err, context.Canceled), "Get returned %v", err)
			s.Set("a", int64(2))
			err = store.Save(ended, s)
			want(errors.Is(err, context.Canceled), "Save returned %v", err)
			err = store.SaveIfModified(ended, s)
			want(errors.Is(err, context.Canceled), "SaveIfModified returned %v", err)
			err = store.Delete(ended, s)
			want(errors.Is(err, context.Canceled), "Delete returned %v", err)
			want(load(ctx, store, s.ID()).Get("a") == int64(1), "the stored session changed")
		}),
	},
	{
		name: "ListEndsWithTheContext",
		rule: "When its context ends, List ends with the context's error, and the ID \"\" beside it; also in a store without sessions.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			listError(store.List(ended(ctx)), context.Canceled)
			for range 3 {
				saved(ctx, store, map[string]any{"a": int64(1)})
			}
			listEnds(ctx, store.List)
		}),
	},
	{
		name: "FailureIsNoMiss",
		rule: "When the store cannot be reached, Get is an error, never a new session: that would log all users out. List is an error too.",
		run: catching(func(ctx context.Context, store sessions.SessionStore) {
			s := saved(ctx, store, map[string]any{"a": int64(1)})
			closer, err := capability[io.Closer](store, "io.Closer, and cannot be made to fail")
			if err != nil {
				panic(failed{err})
			}
			need(closer.Close(), "close")
			_, err = store.Get(ctx, s.ID())
			want(err != nil, "Get from a closed store is a new session, and no error")
			s.Set("a", int64(2))
			want(store.Save(ctx, s) != nil, "Save to a closed store is no error")
			want(s.Modified(), "after a failed save the session counts as saved")
			listError(store.List(ctx), nil)
		}),
	},
}

// A panicking value is an application's mistake that a store must survive.
type panicking struct{}

func (panicking) MarshalJSON() ([]byte, error) { panic("a mistake of the application") }
func (panicking) GobEncode() ([]byte, error)   { panic("a mistake of the application") }

// invalidIDs returns IDs that attackers send, by their fault.
func invalidIDs(store sessions.SessionStore) map[string]string {
	valid := store.GenerateKey()
	return map[string]string{
		"empty":                   "",
		"one character":           "a",
		"a path upwards":          "../" + valid[3:],
		"an absolute path":        "/etc/passwd",
		"a separator":             valid[:8] + "/" + valid[9:],
		"a NUL byte":              valid[:8] + "\x00" + valid[9:],
		"a line break at the end": valid + "\n",
		"a space before":          " " + valid,
		"upper case":              strings.ToUpper(strings.Repeat("a", len(valid))),
		"one character too many":  valid + "0",
		"one character too few":   valid[1:],
		"a megabyte":              strings.Repeat("a", 1<<20),
	}
}
