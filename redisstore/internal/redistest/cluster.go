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
type Cluster struct{ Masters []*Server }

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
	for _, s := range c.Masters {
		client := s.Client(t)
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
