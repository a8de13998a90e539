package redistest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// slots is how many hash slots a cluster has.
const slots = 16384

// A Cluster is a cluster of masters without replicas.
type Cluster struct {
	Masters []*Server
	clients []*redis.Client // of each
}

// StartCluster starts a cluster of n masters that is stopped at the end of the test.
func StartCluster(t testing.TB, n int, args ...string) *Cluster {
	t.Helper()
	c := new(Cluster)
	var buses []int
	for range n {
		_, bus, _ := net.SplitHostPort(freeAddr(t))
		port, _ := strconv.Atoi(bus)
		buses = append(buses, port)
		c.Masters = append(c.Masters, Start(t, append([]string{"--cluster-enabled", "yes", "--cluster-port", bus}, args...)...))
	}
	first, _ := strconv.Atoi(c.Masters[0].port())
	for i, s := range c.Masters {
		client := s.Client(t)
		c.clients = append(c.clients, client)
		for _, command := range [][]any{
			{"cluster", "addslotsrange", i * slots / n, (i+1)*slots/n - 1},
			{"cluster", "set-config-epoch", i + 1},
			{"cluster", "meet", "127.0.0.1", first, buses[0]},
		} {
			if err := client.Do(t.Context(), command...).Err(); err != nil {
				t.Fatalf("%v: %v", command, err)
			}
		}
	}
	for _, client := range c.clients {
		eventually(t, "the cluster", func() error {
			info, err := client.ClusterInfo(context.Background()).Result()
			if err == nil && !(strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", n))) {
				err = fmt.Errorf("its state is %q", info)
			}
			return err
		})
	}
	return c
}

// Addrs returns the addresses of the masters.
func (c *Cluster) Addrs() (addrs []string) {
	for _, s := range c.Masters {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// Client returns a client that is closed at the end of the test.
func (c *Cluster) Client(t testing.TB) *redis.ClusterClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
	t.Cleanup(func() { client.Close() })
	return client
}

// MasterOf returns the number of the master that has a slot from the start.
func (c *Cluster) MasterOf(slot int) int {
	master := slot * len(c.Masters) / slots
	for slot >= (master+1)*slots/len(c.Masters) {
		master++
	}
	return master
}

// Move moves a slot and its keys from one master to another, not very fast.
func (c *Cluster) Move(t testing.TB, slot, from, to int) {
	t.Helper()
	do := func(master int, command ...any) any {
		t.Helper()
		reply, err := c.clients[master].Do(context.Background(), command...).Result()
		if err != nil {
			t.Fatalf("%v: %v", command, err)
		}
		return reply
	}
	fromID, toID := do(from, "cluster", "myid"), do(to, "cluster", "myid")
	do(to, "cluster", "setslot", slot, "importing", fromID)
	do(from, "cluster", "setslot", slot, "migrating", toID)
	time.Sleep(30 * time.Millisecond)
	for {
		keys := do(from, "cluster", "getkeysinslot", slot, 1).([]any)
		if len(keys) == 0 {
			break
		}
		do(from, "migrate", "127.0.0.1", c.Masters[to].port(), "", 0, 5000, "keys", keys[0])
	}
	time.Sleep(30 * time.Millisecond)
	do(to, "cluster", "setslot", slot, "node", toID)
	for master := range c.Masters {
		if master != to {
			do(master, "cluster", "setslot", slot, "node", toID)
		}
	}
}

func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// eventually waits until f has no error.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}
