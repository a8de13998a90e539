// Package redistest starts redis-servers for tests.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Server is a redis-server of a test, on a free port of the loopback interface.
type Server struct {
	Addr string
	Dir  string // of its files; they stay when it is stopped

	program     string
	first, args []string // arguments, before and after those that all servers get
	cmd         *exec.Cmd
	out         *bytes.Buffer
	done        chan error
}

// Start starts a server that is stopped at the end of the test. It writes nothing to
// disk, unless the further arguments tell it to: pairs like "--appendonly", "yes".
// Without a redis-server the test is skipped.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, Server{program: Redis, args: args})
}

// The programs that can be a server.
const (
	Redis  = "redis-server"
	Valkey = "valkey-server"
)

// StartProgram is Start for one of the programs.
func StartProgram(t testing.TB, program string, args ...string) *Server {
	t.Helper()
	return start(t, Server{program: program, args: args})
}

func start(t testing.TB, template Server) *Server {
	t.Helper()
	if _, err := exec.LookPath(template.program); err != nil {
		t.Skip("skipped: there is no " + template.program)
	}
	dir := t.TempDir()
	for range 10 {
		s := new(template)
		s.Addr, s.Dir = freeAddr(t), dir
		if err := s.start(); err == nil {
			t.Cleanup(func() { s.Kill() })
			return s
		} else if !bytes.Contains(s.out.Bytes(), []byte("Address already in use")) {
			t.Fatalf("%s: %v\n%s", s.program, err, s.out)
		}
	}
	t.Fatal(template.program + ": no free port")
	return nil
}

// StartReplica starts a server that follows another one, and has caught up.
func StartReplica(t testing.TB, master *Server, args ...string) *Server {
	t.Helper()
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := Start(t, append([]string{"--replicaof", host + " " + port}, args...)...)
	client := replica.Client(t)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if info, err := client.Info(context.Background(), "replication").Result(); err == nil && bytes.Contains([]byte(info), []byte("master_link_status:up")) {
			return replica
		}
	}
	t.Fatalf("the replica does not follow\n%s", replica.out)
	return nil
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *Server) start() error {
	host, port, _ := net.SplitHostPort(s.Addr)
	s.out = new(bytes.Buffer)
	args := append(slices.Clone(s.first), "--bind", host, "--port", port, "--dir", s.Dir, "--save", "", "--appendonly", "no", "--daemonize", "no", "--repl-diskless-sync-delay", "0")
	args = append(args, s.args...)
	s.cmd = exec.Command(s.program, args...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.Env = append(os.Environ(), "HOME="+filepath.Join(s.Dir))
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait(); close(done) }(s.cmd, s.done)
	return s.await()
}

// await waits until the server answers.
func (s *Server) await() error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-s.done:
			return fmt.Errorf("it has ended: %v", err)
		default:
		}
		conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err != nil {
			continue
		}
		conn.SetDeadline(time.Now().Add(time.Second))
		fmt.Fprint(conn, "PING\r\n")
		reply := make([]byte, 64)
		n, _ := conn.Read(reply)
		conn.Close()
		// A server with a password answers -NOAUTH, and is there.
		if bytes.HasPrefix(reply[:n], []byte("+PONG")) || bytes.HasPrefix(reply[:n], []byte("-NOAUTH")) {
			return nil
		}
	}
	return fmt.Errorf("it does not answer")
}

// Kill ends the server with SIGKILL.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	<-s.done
}

// Restart starts a killed server again, at the same address and with its files.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatalf("%s: %v\n%s", s.program, err, s.out)
	}
}

// Client returns a client that is closed at the end of the test.
func (s *Server) Client(t testing.TB, change ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{Addr: s.Addr}
	for _, f := range change {
		f(o)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// Keys returns all keys of the server.
func (s *Server) Keys(t testing.TB) []string {
	t.Helper()
	keys, err := s.Client(t).Keys(context.Background(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
