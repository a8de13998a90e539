package redisstore_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

var guideBlock = regexp.MustCompile("(?s)```(go|sh)\n(.*?)```")

// guide returns the blocks of docs/redis.md in a language.
func guide(t *testing.T, language string) (text string, blocks []string) {
	t.Helper()
	data, err := os.ReadFile("../docs/redis.md")
	if err != nil {
		t.Skip("skipped: not in a checkout: ", err)
	}
	for _, m := range guideBlock.FindAllStringSubmatch(string(data), -1) {
		if m[1] == language {
			blocks = append(blocks, m[2])
		}
	}
	return string(data), blocks
}

func TestGuidesProgramsAreTheExamples(t *testing.T) {
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, blocks := guide(t, "go")
	for _, block := range blocks {
		indented := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(block, "\t$1")
		if !strings.Contains(string(example), indented) {
			t.Errorf("example_test.go has no\n%s", block)
		}
	}
	if len(blocks) == 0 {
		t.Error("found no program")
	}
}

// The guide's commands run, in their order, and a user with the rights that they give
// does all that a store does.
func TestGuidesCommandsMakeAServerThatTheStoreAccepts(t *testing.T) {
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("skipped: there is no redis-cli")
	}
	server := redistest.Start(t)
	admin := server.Client(t)
	store := newStore(t, admin, redisstore.Options{Prefix: "session:"})
	s := store.New()
	s.Set("cart", []int{1, 2})
	if err := store.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	_, blocks := guide(t, "sh")
	ran := 0
	for _, block := range blocks {
		block = strings.ReplaceAll(block, "\\\n", "")
		for line := range strings.Lines(block) {
			switch {
			case !strings.HasPrefix(line, "redis-cli"):
			case strings.Contains(line, "min-replicas"), strings.Contains(line, "default off"): // need more servers, and this connection
			default:
				out := shell(t, server, line)
				if ran++; strings.Contains(line, "HGETALL") && !strings.Contains(out, "=cart\n[1,2]") {
					t.Errorf("%s prints %s", line, out)
				}
			}
		}
	}
	if ran < 10 {
		t.Errorf("ran %d commands, want 10 or more", ran)
	}
	client := server.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "a-long-password" })
	useAll(t, newStore(t, client, redisstore.Options{Prefix: "session:"}))
	if log, err := admin.ACLLog(t.Context(), 100).Result(); err != nil || len(log) != 0 {
		t.Errorf("refused: %v, %v", log, err)
	}
}

// shell runs a line of the guide with redis-cli connected to the server.
func shell(t *testing.T, server *redistest.Server, line string) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(server.Addr)
	line = strings.ReplaceAll(line, "redis-cli", "redis-cli -e -p "+port)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// useAll does all that a user of the store does.
func useAll(t *testing.T, store *redisstore.Store) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	s := store.New()
	for _, change := range []func(){
		func() { s.Login("user-42"); s.SetIdleTimeout(1e10) },
		func() { s.Renew(); s.SetMeta("a phone") },
		func() { s.Clear(); s.SetIdleTimeout(0) },
	} {
		change()
		s.Set("a", 1)
		must(store.Save(t.Context(), s))
		_, err := store.Touch(t.Context(), s, 0)
		must(err)
		must(store.Update(t.Context(), s, func(s *sessions.Session) error { s.Delete("a"); return nil }))
	}
	for _, err := range store.List(t.Context()) {
		must(err)
	}
	must(store.Delete(t.Context(), s))
	_, err := store.DeleteAll(t.Context())
	must(err)
}

var sizeRow = regexp.MustCompile(`(?m)^\| ([0-9]+) of ([0-9,]+) B \([^|]*\| ([0-9,]+) \| ([0-9,]+) \|$`)

func TestGuidesSizesAreMeasured(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	if info, _ := client.Info(t.Context(), "memory").Result(); !strings.Contains(info, "mem_allocator:jemalloc") {
		t.Skip("skipped: the server has another allocator than jemalloc")
	}
	number := func(text string) int {
		n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	text, _ := guide(t, "sh")
	rows := sizeRow.FindAllStringSubmatch(text, -1)
	for _, row := range rows {
		for i, o := range []redisstore.Options{{}, {Sealer: keyRing(t)}} {
			got := memoryOf(t, client, newStore(t, client, o), number(row[1]), number(row[2]))
			if want := number(row[3+i]); got < want*95/100 || got > want*105/100 {
				t.Errorf("%s of %s B, sealed %v: got %d bytes, the guide has %d", row[1], row[2], i == 1, got, want)
			}
		}
	}
	if len(rows) != 4 {
		t.Errorf("found %d rows, want 4", len(rows))
	}
}

// memoryOf returns the bytes that a session of n values takes.
func memoryOf(t *testing.T, client *redis.Client, store *redisstore.Store, n, size int) int {
	t.Helper()
	s := store.New()
	s.SetOwner("user-12345")
	for i := range n {
		s.Set(fmt.Sprintf("key-%02d", i), strings.Repeat("x", size-len(`""`)))
	}
	if err := store.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	key, err := store.KeyOf(s)
	if err != nil {
		t.Fatal(err)
	}
	used, err := client.MemoryUsage(t.Context(), key, 0).Result() // of all values, not of five
	if err != nil {
		t.Fatal(err)
	}
	return int(used)
}
