package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/handover"
	"github.com/sessfs/sessions/internal/command"
	"github.com/sessfs/sessions/internal/processtest"
	"github.com/sessfs/sessions/redisstore"
	"github.com/sessfs/sessions/redisstore/internal/redistest"
	"github.com/sessfs/sessions/securecookie"
)

func TestMain(m *testing.M) {
	processtest.Main(m, map[string]func() error{"sessmove": func() error {
		os.Exit(execute(context.Background(), strings.Fields(os.Getenv("ARGS")), os.Stdout, os.Stderr))
		return nil
	}})
}

func files(t *testing.T, o sessions.FilesystemOptions) *sessions.FilesystemSessionStore {
	t.Helper()
	store, err := sessions.NewFilesystemSessionStore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func onServer(t *testing.T, server *redistest.Server, o redisstore.Options) *redisstore.Store {
	t.Helper()
	store, err := redisstore.New(t.Context(), server.Client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func urlOf(server *redistest.Server) string { return "redis://" + server.Addr + "/0" }

// fill stores sessions and returns their IDs.
func fill(t *testing.T, store sessions.SessionStore, n int) (ids []string) {
	t.Helper()
	for i := range n {
		s := store.New()
		s.Set("n", i)
		s.SetOwner("ann")
		if err := store.Save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID())
	}
	return ids
}

// holds checks that a store has all sessions, with the values that fill set.
func holds(t *testing.T, store sessions.SessionStore, ids []string) {
	t.Helper()
	lost := 0
	for i, id := range ids {
		s, err := store.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if s.New() || s.Get("n") != int64(i) || s.Owner() != "ann" {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d sessions are lost or are others", lost, len(ids))
	}
}

// run is the command with its output.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return command.Run(name, stdout, stderr, func(stdout io.Writer) int { return execute(ctx, args, stdout, stderr) })
}

// sessmove runs the command, and checks its exit code.
func sessmove(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(t.Context(), args, &out, &errs); got != want {
		t.Fatalf("sessmove %v: exit code %d, want %d\n%s%s", args, got, want, &out, &errs)
	}
	return out.String(), errs.String()
}

func TestMoveToRedisAndBackKeepsTheCookies(t *testing.T) {
	server := redistest.Start(t)
	dir, back := t.TempDir(), t.TempDir()
	ids := fill(t, files(t, sessions.FilesystemOptions{Path: dir}), 200)
	if out, _ := sessmove(t, command.Done, "-n", dir, urlOf(server)); !strings.HasPrefix(out, "0 sessions moved of 200;") {
		t.Errorf("the dry run prints %s", out)
	}
	if out, _ := sessmove(t, command.Done, dir, urlOf(server)); !strings.HasPrefix(out, "200 sessions moved;") {
		t.Errorf("it prints %s", out)
	}
	holds(t, onServer(t, server, redisstore.Options{}), ids)
	if out, _ := sessmove(t, command.Done, dir, urlOf(server)); !strings.HasPrefix(out, "0 sessions moved;") {
		t.Errorf("the second run prints %s", out)
	}
	sessmove(t, command.Done, "-q", urlOf(server), back)
	holds(t, files(t, sessions.FilesystemOptions{Path: back, HashNames: true}), ids)
	for _, key := range server.Keys(t) {
		if strings.Contains(key, "}") && !strings.Contains(key, "owner:") {
			t.Error("a session is left on the server")
		}
	}
}

// The application runs on both stores, in two processes, while its sessions are moved.
func TestMoveOfARunningApplication(t *testing.T) {
	const visitors = 150
	server, dir := redistest.Start(t), t.TempDir()
	ids := fill(t, files(t, sessions.FilesystemOptions{Path: dir}), visitors)
	var instances []*handover.Store
	for range 2 {
		store, err := handover.New(onServer(t, server, redisstore.Options{}), files(t, sessions.FilesystemOptions{Path: dir}))
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, store)
	}
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			time.Sleep(rand.N(50 * time.Millisecond))
			store := instances[i%2]
			s, err := store.Get(t.Context(), id)
			switch {
			case err == nil && s.New():
				err = errors.New("a visitor was logged out")
			case err == nil && i%3 == 0:
				s.Destroy()
				err = store.Save(t.Context(), s)
			case err == nil:
				s.Set("visited", true)
				err = store.Save(t.Context(), s)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	sessmove(t, command.Done, dir, urlOf(server))
	wg.Wait()
	sessmove(t, command.Done, dir, urlOf(server))
	store := onServer(t, server, redisstore.Options{})
	for i, id := range ids {
		s, err := store.Get(t.Context(), id)
		if err != nil || s.New() != (i%3 == 0) || !s.New() && s.Get("visited") != true {
			t.Errorf("session %d is new: %v, with %v, %v", i, s.New(), s.Get("visited"), err)
		}
	}
}

func TestMoveThatIsKilledGoesOn(t *testing.T) {
	server, dir := redistest.Start(t), t.TempDir()
	from := files(t, sessions.FilesystemOptions{Path: dir})
	ids := fill(t, from, 300)
	for range 8 {
		p := processtest.Start(t, processtest.Command("sessmove", []string{"ARGS=--parallel 4 -q " + dir + " " + urlOf(server)}))
		time.Sleep(20*time.Millisecond + rand.N(20*time.Millisecond))
		p.Process.Kill()
		p.Wait()
	}
	sessmove(t, command.Done, dir, urlOf(server))
	holds(t, onServer(t, server, redisstore.Options{}), ids)
	for _, err := range from.List(t.Context()) {
		t.Errorf("a session is left in the directory, %v", err)
	}
}

func TestMoveToAServerThatDiesLosesNothing(t *testing.T) {
	server, dir := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always"), t.TempDir()
	ids := fill(t, files(t, sessions.FilesystemOptions{Path: dir}), 400)
	killed := make(chan bool)
	go func() {
		for client := server.Client(t); client.DBSize(context.Background()).Val() < 50; {
			time.Sleep(time.Millisecond)
		}
		server.Kill()
		close(killed)
	}()
	_, errs := sessmove(t, command.Failed, "--parallel", "2", dir, urlOf(server))
	if <-killed; !strings.Contains(errs, " sessions: ") || strings.Contains(errs, ids[0]) {
		t.Errorf("it prints %s", errs)
	}
	server.Restart(t)
	sessmove(t, command.Done, dir, urlOf(server))
	holds(t, onServer(t, server, redisstore.Options{}), ids)
}

func TestMoveSealsSessionsAnew(t *testing.T) {
	server, dir := redistest.Start(t), t.TempDir()
	fileKey, redisKey := securecookie.GenerateKey(), securecookie.GenerateKey()
	t.Setenv("FILE_KEYS", fileKey.Reveal())
	t.Setenv("REDIS_KEYS", redisKey.Reveal())
	ring := func(key securecookie.Key, audience string) sessions.Sealer {
		ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: []securecookie.Key{key}, Audience: audience})
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	ids := fill(t, files(t, sessions.FilesystemOptions{Path: dir, Sealer: ring(fileKey, "shop")}), 10)
	if out, _ := sessmove(t, command.Failed, "--from-keys", "REDIS_KEYS", dir, urlOf(server)); !strings.Contains(out, "0 sessions moved, 10 damaged, or sealed under other keys") {
		t.Errorf("with the wrong keys it prints %s", out)
	}
	sessmove(t, command.Done, "--from-keys", "FILE_KEYS", "--from-audience", "shop", "--to-keys", "REDIS_KEYS", dir, urlOf(server))
	holds(t, onServer(t, server, redisstore.Options{Sealer: ring(redisKey, "")}), ids)
	if values := server.Client(t).HVals(t.Context(), onServer(t, server, redisstore.Options{}).Key(ids[0])).Val(); len(values) == 0 || strings.Contains(fmt.Sprint(values), "ann") {
		t.Errorf("the server has %v", values)
	}
}

func TestMoveStoppedByASignalGoesOn(t *testing.T) {
	server, dir := redistest.Start(t), t.TempDir()
	ids := fill(t, files(t, sessions.FilesystemOptions{Path: dir}), 100)
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	stop := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }) // the bar's first line
	if got := run(ctx, []string{"--json", "--progress", "always", "--parallel", "1", dir, urlOf(server)}, &out, stop); got != command.Stopped {
		t.Errorf("exit code %d, want %d: %s", got, command.Stopped, &out)
	}
	var result struct {
		Moved, Listed int
		Stopped       bool
		ExitCode      int `json:"exit_code"`
		From, To      string
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil || !result.Stopped || result.Moved == 0 || result.Moved >= 100 || result.Listed != 100 || result.ExitCode != command.Stopped ||
		result.From != dir || result.To != urlOf(server) {
		t.Errorf("got %s: %v", &out, err)
	}
	sessmove(t, command.Done, dir, urlOf(server))
	holds(t, onServer(t, server, redisstore.Options{}), ids)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestMoveDrawsABar(t *testing.T) {
	server, dir := redistest.Start(t), t.TempDir()
	fill(t, files(t, sessions.FilesystemOptions{Path: dir}), 3)
	_, errs := sessmove(t, command.Done, "--progress", "always", dir, urlOf(server))
	if !strings.Contains(errs, " of 3, 0 failed") || !strings.HasSuffix(errs, " \r") {
		t.Errorf("it draws %q", errs)
	}
}

func TestMoveRefuses(t *testing.T) {
	server, dir, hashed := redistest.Start(t), t.TempDir(), t.TempDir()
	kept := fill(t, files(t, sessions.FilesystemOptions{Path: hashed, HashNames: true}), 2)
	t.Setenv("BAD_KEYS", "sk1_none")
	for want, args := range map[string][]string{
		"two places":         {dir},
		"a directory and":    {dir, dir},
		"no such directory":  {dir + "/none", urlOf(server)},
		"unknown flag":       {"--bad", dir, urlOf(server)},
		"never":              {"--lifetime", "1", dir, urlOf(server)},
		"as 336h, 14d or 2w": {"--idle-timeout", "-300000d", dir, urlOf(server)},
		"or never":           {"--idle-timeout", "213504d", dir, urlOf(server)}, // more nanoseconds than an int64 has
		"Redis takes no":     {"--id-bytes", "16", dir, urlOf(server)},
		"BAD_KEYS":           {"--to-keys", "BAD_KEYS", dir, urlOf(server)},
		"want --to-keys":     {"--to-audience", "shop", dir, urlOf(server)},
		"--parallel 0":       {"--parallel", "0", dir, urlOf(server)},
		"want auto, always":  {"--progress", "often", dir, urlOf(server)},
		"connection refused": {dir, "redis://ann:secret@127.0.0.1:1/0"},
		"hashes of IDs":      {hashed, urlOf(server)},
	} {
		_, errs := sessmove(t, command.Refused, args...)
		if !strings.Contains(errs, want) || strings.Contains(errs, "secret") || strings.Contains(errs, "sk1_") {
			t.Errorf("sessmove %v prints %q, want %q in it", args, errs, want)
		}
	}
	holds(t, files(t, sessions.FilesystemOptions{Path: hashed, HashNames: true}), kept)
	if keys := server.Keys(t); len(keys) != 0 {
		t.Errorf("the server has %d keys", len(keys))
	}
}

func TestMoveLeavesExpiredSessions(t *testing.T) {
	server, dir := redistest.Start(t), t.TempDir()
	ids := fill(t, files(t, sessions.FilesystemOptions{Path: dir}), 4)
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(dir+"/session_"+ids[3]+".sess", old, old); err != nil {
		t.Fatal(err)
	}
	sessmove(t, command.Done, "--idle-timeout", "1h", dir, urlOf(server))
	store := onServer(t, server, redisstore.Options{IdleTimeout: time.Hour})
	holds(t, store, ids[:3])
	if s, err := store.Get(t.Context(), ids[3]); err != nil || !s.New() {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestHelpsExamplesAreAccepted(t *testing.T) {
	t.Setenv("FILE_KEYS", securecookie.GenerateKey().Reveal())
	t.Setenv("REDIS_KEYS", securecookie.GenerateKey().Reveal())
	out, _ := sessmove(t, command.Done, "--help")
	for _, e := range examples {
		if _, err := parseArgs(strings.Fields(e.Command)[1:]); err != nil || !strings.Contains(out, e.Command) {
			t.Errorf("%s: %v", e.Command, err)
		}
	}
	if out, _ := sessmove(t, command.Done, "--version"); !strings.HasPrefix(out, "sessmove ") {
		t.Errorf("got %s", out)
	}
}

func TestOutputThatIsLostIsNoSuccess(t *testing.T) {
	var errs bytes.Buffer
	lost := writerFunc(func([]byte) (int, error) { return 0, errors.New("no space") })
	if got := run(t.Context(), []string{"--help"}, lost, &errs); got != command.Failed || !strings.Contains(errs.String(), "no space") {
		t.Errorf("exit code %d: %s", got, &errs)
	}
}

// As with sessprune, a signal and lost output together are a failure.
func TestOutputThatIsLostAfterASignalIsAFailure(t *testing.T) {
	server, dir := redistest.Start(t), t.TempDir()
	fill(t, files(t, sessions.FilesystemOptions{Path: dir}), 2)
	ctx, cancel := context.WithCancel(t.Context())
	stop := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }) // the bar's first line
	lost := writerFunc(func([]byte) (int, error) { return 0, errors.New("no space") })
	if got := run(ctx, []string{"--progress", "always", "--parallel", "1", dir, urlOf(server)}, lost, stop); got != command.Failed {
		t.Errorf("exit code %d, want %d", got, command.Failed)
	}
}

func TestTimeoutsOfWeeksAndDaysAreThoseOfSessprune(t *testing.T) {
	for text, want := range map[string]time.Duration{"2w": 14 * 24 * time.Hour, "1d12h": 36 * time.Hour, "90s": 90 * time.Second, "never": sessions.Never} {
		c, err := parseArgs([]string{"--idle-timeout", text, "dir", "redis://localhost:6379/0"})
		if err != nil || c.idleTimeout != want {
			t.Errorf("%s: got %v, %v; want %v", text, c.idleTimeout, err, want)
		}
	}
}

// The guide's command is one that the flags accept.
func TestGuidesCommandIsAccepted(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/redis.md")
	if err != nil {
		t.Skip("skipped: not in a checkout: ", err)
	}
	found := 0
	for line := range strings.Lines(string(guide)) {
		if _, args, ok := strings.Cut(line, "go run ./cmd/sessmove "); ok {
			found++
			if _, err := parseArgs(strings.Fields(args)); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if found == 0 {
		t.Error("the guide has no command")
	}
}
