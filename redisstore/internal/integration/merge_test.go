package integration

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

// lossyStores returns stores as of so many processes, which lose one answer of seven.
func lossyStores(t *testing.T, n int) (stores []*redisstore.Store) {
	t.Helper()
	server := redistest.Start(t)
	for range n {
		proxy := redistest.StartProxy(t, server.Addr)
		client := redis.NewClient(&redis.Options{Addr: proxy.Addr})
		t.Cleanup(func() { client.Close() })
		stores = append(stores, newStore(t, client, redisstore.Options{}))
		count := 0
		proxy.Lose(func([]string) bool { count++; return count%7 == 0 })
	}
	return stores
}

// list returns a value that is a list of numbers.
func list(s *sessions.Session, key string) []int { return sessions.Key[[]int](key).Get(s) }

// beside saves two sessions at the same time, each by its store.
func beside(t *testing.T, stores []*redisstore.Store, both ...*sessions.Session) {
	t.Helper()
	var running sync.WaitGroup
	for i, s := range both {
		running.Go(func() {
			if err := stores[i].Save(background, s); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}

// A merge takes a list as one request left it: it does not add up those of two.
func TestArraysNeverDouble(t *testing.T) {
	stores := lossyStores(t, 2)
	id := saved(t, stores[0], map[string]any{"list": []int{1, 2, 3}, "deep": map[string]any{"list": []string{"a"}}}).ID()
	want := []int{1, 2, 3}
	for n := range 50 {
		a, b := stored(t, stores[0], id), stored(t, stores[1], id)
		want = append(want, n)
		a.Set("list", append(list(a, "list"), n))
		a.Get("deep").(map[string]any)["n"] = n
		a.MarkModified()
		_, _ = b.Get("list"), b.Get("deep") // which it leaves as they are
		b.Set("other", n)
		b.MarkModified()
		beside(t, stores, a, b)
		for _, store := range stores {
			s := stored(t, store, id)
			deep := s.Get("deep").(map[string]any)
			if got := list(s, "list"); !slices.Equal(got, want) || len(deep["list"].([]any)) != 1 || deep["n"] != int64(n) || s.Get("other") != int64(n) {
				t.Fatalf("after round %d the list is %v, want %v; the deep one is %v", n, got, want, deep)
			}
		}
	}
}

// Two processes append to one list, and look into it when it cannot be told whether they did.
func TestArraysGetEachUpdateOnce(t *testing.T) {
	const updates = 100
	stores := lossyStores(t, 2)
	id := saved(t, stores[0], map[string]any{"list": []int{}}).ID()
	var running sync.WaitGroup
	for i, store := range stores {
		running.Go(func() {
			s := stored(t, store, id)
			for n := i; n < 2*updates && !t.Failed(); n += 2 {
				err := store.Update(background, s, func(s *sessions.Session) error { s.Set("list", append(list(s, "list"), n)); return nil })
				switch {
				case err != nil && !strings.Contains(err.Error(), "cannot be told"):
					t.Error(err)
				case err != nil && !slices.Contains(list(stored(t, store, id), "list"), n):
					n -= 2 // once more
				}
			}
		})
	}
	running.Wait()
	got := list(stored(t, stores[0], id), "list")
	slices.Sort(got)
	for n := range got {
		if len(got) != 2*updates || got[n] != n {
			t.Fatalf("the list has %d values, want each of %d once: %v", len(got), 2*updates, got)
		}
	}
}

func TestDeletedKeysNeverComeBack(t *testing.T) {
	stores := lossyStores(t, 2)
	id := saved(t, stores[0], map[string]any{"other": 0}).ID()
	for n := range 60 {
		key := fmt.Sprint("key", n)
		first := stored(t, stores[0], id)
		first.Set(key, n)
		beside(t, stores, first)
		a, b := stored(t, stores[0], id), stored(t, stores[1], id)
		switch n % 3 {
		case 0:
			a.Delete(key)
		case 1:
			a.Pop(key)
		case 2:
			a.Clear()
			a.Set("cleared", n)
		}
		b.Get(key)
		b.Set("other", n)
		b.MarkModified()
		beside(t, stores, a, b)
		b.Set("later", n) // by a request that has not seen the end of the key
		first.Set("last", n)
		beside(t, stores, first.Clone(), b)
		for _, store := range stores {
			s := stored(t, store, id)
			if _, ok := s.Lookup(key); ok || s.Get("later") != int64(n) {
				t.Fatalf("round %d: the deleted key is there: %v; later = %v", n, ok, s.Get("later"))
			}
		}
	}
}
