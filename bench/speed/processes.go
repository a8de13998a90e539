//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"time"
)

// childVariable is set in the environment of a process that is to work beside
// another.
const childVariable = "SPEED_CHILD"

// An order is the work of such a process.
type order struct {
	Library, Dir, Socket, Operation string
	Size                            int // index in sizes
	Handles                         []string
}

// A child is such a process, for its parent.
type child struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func newChild(o order) (*child, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{command: exec.Command(path)}
	c.command.Env = append(os.Environ(), childVariable+"=1")
	c.command.Stderr = os.Stderr
	if c.in, err = c.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := c.command.Start(); err != nil {
		return nil, err
	}
	err = json.NewEncoder(c.in).Encode(o)
	if err == nil {
		_, err = c.wait() // until it is ready
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// start lets the child work for so long.
func (c *child) start(per time.Duration) error {
	_, err := fmt.Fprintln(c.in, int64(per))
	return err
}

// wait returns the number of the child's operations in a nanosecond.
func (c *child) wait() (rate float64, err error) {
	_, err = fmt.Fscanln(c.out, &rate)
	if math.IsNaN(rate) {
		err = errChild
	}
	return rate, err
}

// errChild is the error of a child whose work failed.
var errChild = errors.New("the other process failed, as it has said")

func (c *child) close() error {
	return errors.Join(c.in.Close(), c.command.Wait())
}

// serveParent is the child's side.
func serveParent(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	l, err := specNamed(o.Library).open(environment{o.Dir, o.Socket, sizes[o.Size]})
	if err != nil {
		return err
	}
	defer l.close()
	l.adopt(o.Handles)
	workers := []worker{operations[o.Operation](l)}
	for rate := 0.0; ; {
		if _, err := fmt.Fprintln(out, rate); err != nil {
			return err
		}
		var per int64
		if _, err := fmt.Fscanln(lines, &per); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if rate, err = together(workers, len(o.Handles), time.Duration(per)); err != nil {
			log.Printf("%s, of two processes: %v", o.Library, err)
			rate = math.NaN()
		}
	}
}
