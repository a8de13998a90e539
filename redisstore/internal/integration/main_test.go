// Package integration proves that redisstore keeps its promises to several processes, and beside
// servers that are killed. It is a module of its own, for a checker of histories.
package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
)

var background = context.Background()

// longVariable switches on the long proofs: of the lengths below, and not of a tenth.
const longVariable = "SESSIONS_LONG"

// times returns the number of rounds of a proof.
func times(t *testing.T, short, long int) int {
	n := short
	if os.Getenv(longVariable) != "" {
		n = long
	}
	t.Logf("%d rounds; %d where %s is set", n, long, longVariable)
	return n
}

// taskVariable has the task of a process: a test that needs processes starts its own
// binary again.
const taskVariable = "REDISSTORE_TEST_TASK"

// A task is the work of a process.
type task struct {
	Program string
	Addr    string // of the server, or several of a cluster, with commas
	ID      string // of the session
	N       int    // of the process
}

// programs are what a process does: each reads orders from in, and prints reports.
var programs = map[string]func(*redisstore.Store, task, *bufio.Scanner) error{}

func TestMain(m *testing.M) {
	logging.Disable() // servers are down on purpose
	text := os.Getenv(taskVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var todo task
	err := json.Unmarshal([]byte(text), &todo)
	if err == nil {
		err = todo.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (todo task) run() error {
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: strings.Split(todo.Addr, ",")})
	defer client.Close()
	store, err := redisstore.New(background, client, redisstore.Options{})
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	return programs[todo.Program](store, todo, in)
}

// A process is one that does a task.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// start starts the process of a task.
func (todo task) start(t *testing.T) *process {
	t.Helper()
	text, err := json.Marshal(todo)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.in, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, 16<<20)
	return p
}

// line waits for the next line of the process.
func (p *process) line(t *testing.T) string {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("a process has ended early: %v", p.cmd.Wait())
	}
	return p.out.Text()
}

// end waits for the process, and returns what it printed.
func (p *process) end(t *testing.T) []string {
	t.Helper()
	p.in.Close()
	var lines []string
	for p.out.Scan() {
		lines = append(lines, p.out.Text())
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("a process: %v, after %q", err, strings.Join(lines, "\n"))
	}
	return lines
}

// hasty returns a client that notices soon when a server is down.
func hasty(t testing.TB, server *redistest.Server) *redis.Client {
	return server.Client(t, func(o *redis.Options) { o.DialerRetries, o.PoolSize = 1, 1000 })
}

// answers waits until the server of a store answers, and its client has noticed.
func answers(store *redisstore.Store) (err error) {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err = store.Get(background, store.GenerateKey()); err == nil {
			break
		}
	}
	return err
}

func awaitServer(t testing.TB, store *redisstore.Store) {
	t.Helper()
	if err := answers(store); err != nil {
		t.Fatal(err)
	}
}

func newStore(t testing.TB, c redis.Cmdable, o redisstore.Options) *redisstore.Store {
	t.Helper()
	store, err := redisstore.New(background, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// saved returns a stored session with these values.
func saved(t testing.TB, store *redisstore.Store, values map[string]any) *sessions.Session {
	t.Helper()
	s := store.New()
	s.SetAll(maps.All(values))
	if err := store.Save(background, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// stored returns the stored session of an ID, nil for none.
func stored(t testing.TB, store *redisstore.Store, id string) *sessions.Session {
	t.Helper()
	s, err := store.Get(background, id)
	if err != nil {
		t.Fatal(err)
	}
	if s.New() {
		return nil
	}
	return s
}
