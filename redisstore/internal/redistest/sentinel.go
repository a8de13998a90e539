package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Watched is two servers, a master and its replica, and three Sentinels that watch them.
type Watched struct {
	Servers   []*Server
	Sentinels []*Server
}

// masterName is the name of the master to Sentinel.
const masterName = "sessions"

// StartSentinel starts a master, a replica and three Sentinels that are stopped at the end of
// the test. The arguments are those of the two servers.
func StartSentinel(t testing.TB, args ...string) *Watched {
	t.Helper()
	master := Start(t, args...)
	w := &Watched{Servers: []*Server{master, StartReplica(t, master, args...)}}
	for range 3 {
		file := filepath.Join(t.TempDir(), "sentinel.conf") // which the Sentinel writes to
		config := fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 2\nsentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s 5000\n", masterName, master.port())
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		w.Sentinels = append(w.Sentinels, start(t, Server{program: Redis, first: []string{file, "--sentinel"}}))
	}
	w.AwaitReady(t)
	return w
}

// AwaitReady waits until all Sentinels know one another and the replica, which has all of
// the master's keys.
func (w *Watched) AwaitReady(t testing.TB) {
	t.Helper()
	for _, s := range w.Sentinels {
		sentinel := redis.NewSentinelClient(&redis.Options{Addr: s.Addr})
		defer sentinel.Close()
		eventually(t, "Sentinel", func() error {
			master, err := sentinel.Master(context.Background(), masterName).Result()
			if err == nil && (master["num-other-sentinels"] != "2" || master["num-slaves"] != "1" || master["flags"] != "master") {
				err = fmt.Errorf("it knows the master as %v", master)
			}
			if err != nil {
				return err
			}
			replicas, err := sentinel.Replicas(context.Background(), masterName).Result()
			if err == nil && (len(replicas) != 1 || replicas[0]["flags"] != "slave" || replicas[0]["master-link-status"] != "ok") {
				err = fmt.Errorf("it knows the replicas as %v", replicas)
			}
			return err
		})
	}
}

// Master returns the server that the Sentinels take for the master.
func (w *Watched) Master(t testing.TB) *Server {
	t.Helper()
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: w.Sentinels[0].Addr})
	defer sentinel.Close()
	addr, err := sentinel.GetMasterAddrByName(context.Background(), masterName).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.Servers {
		if s.Addr == net.JoinHostPort(addr[0], addr[1]) {
			return s
		}
	}
	t.Fatalf("the master is %v, which was not started", addr)
	return nil
}

// Replica returns the other server.
func (w *Watched) Replica(t testing.TB) *Server {
	t.Helper()
	if w.Master(t) == w.Servers[0] {
		return w.Servers[1]
	}
	return w.Servers[0]
}

// Failover calls ready, cuts the replica off, kills the master after some time, and waits until
// the replica has its place. The writes of that time are lost.
func (w *Watched) Failover(t testing.TB, ready func(), lag time.Duration) {
	t.Helper()
	master, replica := w.Master(t), w.Replica(t)
	client := master.Client(t)
	client.Ping(context.Background())
	ready()
	replica.Stop(t)
	if err := client.ClientKillByFilter(context.Background(), "TYPE", "replica").Err(); err != nil {
		t.Error(err)
	}
	time.Sleep(lag)
	master.Kill()
	replica.Continue(t)
	eventually(t, "the failover", func() error {
		if w.Master(t) == master {
			return fmt.Errorf("the master is the killed one")
		}
		return nil
	})
}

// Rejoin starts the killed master again, as the replica of the other server.
func (w *Watched) Rejoin(t testing.TB) {
	t.Helper()
	killed := w.Replica(t)
	killed.args = append(killed.args, "--replicaof", "127.0.0.1 "+w.Master(t).port())
	killed.Restart(t)
	w.AwaitReady(t)
}

// Client returns a client of the master that is closed at the end of the test. It notices
// soon when that is down.
func (w *Watched) Client(t testing.TB) *redis.Client {
	o := &redis.FailoverOptions{MasterName: masterName, DialerRetries: 1, PoolSize: 1000}
	for _, s := range w.Sentinels {
		o.SentinelAddrs = append(o.SentinelAddrs, s.Addr)
	}
	client := redis.NewFailoverClient(o)
	t.Cleanup(func() { client.Close() })
	return client
}
