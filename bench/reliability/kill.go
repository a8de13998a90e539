package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A child is this program again, with the name of a library in this variable and an
// order on its standard input.
const childVariable = "RELIABILITY_CHILD"

type order struct {
	Dir     string
	Clients []client
}

const secret = "a secret of 32 bytes, for cookies"

// savers is how many goroutines of a child save at the same time.
const savers = 4

// saveUntilKilled is a child: it saves the sessions, one after the other and
// again, until it is killed.
func saveUntilKilled(name string) error {
	l, err := libraryNamed(name)
	if err != nil {
		return err
	}
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return err
	}
	s, err := l.open(o.Dir, secret)
	if err != nil {
		return err
	}
	fmt.Println("saving")
	var wg sync.WaitGroup
	for g := range savers {
		wg.Go(func() {
			for i := 0; ; i++ {
				for j := g; j < len(o.Clients); j += savers {
					o.Clients[j].clone().do(s, func(s session) {
						s.set("n", i)
						s.setText("text", strings.Repeat("x", 800+i%200))
					})
				}
			}
		})
	}
	wg.Wait()
	return errors.New("this process was not killed")
}

// tryKills kills children at random moments, and then checks each session for its
// user.
func tryKills(l library, dir string, n amounts) (o outcome, err error) {
	var clients []client
	for kill := 0; err == nil && kill <= n.kills; kill++ {
		// One that was lost is made anew, for the next child to save.
		var lost int
		if clients, lost, err = look(l, dir, clients, n.sessions); err != nil {
			break
		}
		if kill > 0 {
			o.lost += lost
			o.of += n.sessions
		}
		if kill < n.kills {
			err = killChild(l, order{dir, clients})
		}
	}
	return o, err
}

// look counts the sessions that cannot be read any more, and replaces them.
func look(l library, dir string, clients []client, sessions int) (_ []client, lost int, err error) {
	s, err := l.open(dir, secret)
	if err != nil {
		return nil, 0, err
	}
	defer s.close()
	for i := range sessions {
		if i < len(clients) && clients[i].get(s, "user") == 1 {
			continue
		}
		c, err := login(s)
		if err != nil {
			return nil, 0, err
		}
		if i < len(clients) {
			clients[i] = c
			lost++
		} else {
			clients = append(clients, c)
		}
	}
	return clients, lost, nil
}

// killChild starts a child and kills it when it has saved for a moment.
func killChild(l library, o order) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), childVariable+"="+l.name)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(text)), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_, err = io.ReadFull(out, make([]byte, len("saving\n")))
	time.Sleep(5*time.Millisecond + rand.N(20*time.Millisecond))
	err = errors.Join(err, cmd.Process.Kill())
	cmd.Wait() // its error is the kill
	return err
}

// inDirOpen opens another installation below dir.
func inDirOpen(l library, dir string) (*site, error) {
	other := filepath.Join(dir, "elsewhere")
	if err := os.Mkdir(other, 0o700); err != nil {
		return nil, err
	}
	return l.open(other, "another secret of more than 32 bytes")
}
