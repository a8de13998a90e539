package redistest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A Proxy stands between clients and a server, and sees their commands. It can lose
// answers, and answer by itself.
type Proxy struct {
	Addr string

	mu       sync.Mutex
	commands [][]string
	bytes    int
	writes   int
	lose     func(command []string) bool
	reply    func(command []string) string
}

// StartProxy starts a proxy of the server at addr, until the end of the test.
func StartProxy(t testing.TB, addr string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(conn, addr)
		}
	}()
	return p
}

// Lose breaks the connection after the server has carried out a command for which f is true.
func (p *Proxy) Lose(f func(command []string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lose = f
}

// Reply answers a command with the text that f makes, in the server's protocol, in place of
// the server; "" passes it on.
func (p *Proxy) Reply(f func(command []string) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reply = f
}

// Reset forgets the commands so far.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands, p.bytes, p.writes = nil, 0, 0
}

// Commands returns the commands since Reset, but for those of a client that connects.
func (p *Proxy) Commands() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.commands
}

// Sent returns how many bytes those commands had.
func (p *Proxy) Sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// Writes returns how often a client sent commands, some of them together perhaps.
func (p *Proxy) Writes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writes
}

func (p *Proxy) serve(conn net.Conn, addr string) {
	defer conn.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	in, out := bufio.NewReader(conn), bufio.NewReader(server)
	for {
		request, err := readReply(in)
		if err != nil {
			return
		}
		lose, reply := p.note(request, in.Buffered() == 0)
		if reply == "" {
			if _, err := io.WriteString(server, request); err != nil {
				return
			}
			if reply, err = readReply(out); err != nil {
				return
			}
		}
		if lose {
			return
		}
		if _, err := io.WriteString(conn, reply); err != nil {
			return
		}
	}
}

// note records a command, which may be the last of those sent together, and returns whether
// its answer is lost, and the answer.
func (p *Proxy) note(request string, last bool) (lose bool, reply string) {
	command := parseCommand(request)
	switch strings.ToLower(command[0]) {
	case "hello", "client", "ping", "auth", "select":
		return false, ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands = append(p.commands, command)
	p.bytes += len(request)
	if last {
		p.writes++
	}
	if p.reply != nil {
		reply = p.reply(command)
	}
	return p.lose != nil && p.lose(command), reply
}

// parseCommand returns the arguments of a request.
func parseCommand(request string) (args []string) {
	r := bufio.NewReader(strings.NewReader(request))
	r.ReadString('\n')
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return args
		}
		n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
		arg := make([]byte, n+2)
		io.ReadFull(r, arg)
		args = append(args, string(arg[:n]))
	}
}

// readReply returns one value of the protocol (RESP3), as it is.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return line, nil
		}
		data := make([]byte, n+2)
		_, err := io.ReadFull(r, data)
		return line + string(data), err
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	case '+', '-', ':', '_', '#', ',', '(':
		return line, nil
	default:
		return "", fmt.Errorf("no protocol: %q", line)
	}
	var all strings.Builder
	all.WriteString(line)
	for range n {
		part, err := readReply(r)
		if err != nil {
			return "", err
		}
		all.WriteString(part)
	}
	return all.String(), nil
}
