//go:build linux

package slotfile_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions/internal/slotfile"
)

// The stress test runs for stressTime, or for SESSIONS_STRESS, a
// duration. Its children are this binary again, with a task in stressChild.
const (
	stressTime  = 2 * time.Second
	stressChild = "SLOTFILE_STRESS_CHILD" // role:log:path:until
)

var stressNames = []string{"a", "b"}

func TestMain(m *testing.M) {
	if args := os.Getenv(stressChild); args != "" {
		if path, ok := strings.CutPrefix(args, "once:"); ok {
			readOnce(path)
		} else if path, ok := strings.CutPrefix(args, "few:"); ok {
			keepFew(path)
		} else {
			stress(strings.Split(args, ":"))
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// An op is one line of a log. The log is a mapped file, so that the operations of a
// killed process are known up to the system call that it was in.
type op struct {
	begin, end int64 // CLOCK_MONOTONIC, which is one clock for the machine; end zero: never came back
	kind       int64
	name       int64 // index into stressNames
	life, n    uint64
	wasN       uint64 // of the record that a write replaced
}

const (
	opNone int64 = iota
	opRead       // life and n are those read; life zero: no record
	opWrite
	opCreate
	opRemove
	opFailed // nothing was done: the record was not there, or was there already
)

const (
	opsEach = 1 << 18 // of a goroutine; unused ones take no space
	workers = 2       // goroutines of a process
)

// opLog maps a log, made if there is none. It stays mapped.
func opLog(path string) ([]op, error) {
	const size = workers * opsEach * int(unsafe.Sizeof(op{}))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(int64(size)); err != nil {
		return nil, err
	}
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*op)(unsafe.Pointer(&b[0])), workers*opsEach), nil
}

func monotonic() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// stressPayload is a record that shows its identity all over: the life of the
// record since it was created, the number of its save, and so many repetitions
// of both that some are of several pages and some outgrow their slots.
func stressPayload(life, n uint64) string {
	h := fnv.New64a()
	fmt.Fprint(h, life, n)
	size := int(h.Sum64() % 1400)
	switch {
	case h.Sum64()>>32%3 == 0:
		size *= 40
	case h.Sum64()>>32%5 == 0:
		size *= 9
	}
	one := fmt.Sprintf("%d %d ", life, n)
	return one + strings.Repeat(one, size/len(one))
}

func parsePayload(s string) (life, n uint64, ok bool) {
	_, err := fmt.Sscan(s, &life, &n)
	return life, n, err == nil && s == stressPayload(life, n)
}

// stress is a child: it reads, or writes, until the time is up, and exits with
// 3 when it saw an error or a payload that was never written.
func stress(args []string) {
	fail := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		os.Exit(3)
	}
	role, until := args[0], int64(0)
	until, _ = strconv.ParseInt(args[3], 10, 64)
	log, err := opLog(args[1])
	if err != nil {
		fail("log: %v", err)
	}
	files := openForChild(args[2], fail)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range opsEach {
				now := monotonic()
				if now > until {
					return
				}
				o := &log[w*opsEach+i]
				o.name = int64(rand.IntN(len(stressNames)))
				do := stressRead
				if role == "writer" {
					do = stressWrite
				}
				atomic.StoreInt64(&o.begin, now)
				if err := do(files, stressNames[o.name], o); err != nil {
					fail("%s: %v", role, err)
				}
				o.end = monotonic()
			}
		})
	}
	wg.Wait()
}

func stressRead(files *slotfile.Files, name string, o *op) error {
	o.kind = opRead
	rec, err := files.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var ok bool
	if o.life, o.n, ok = parsePayload(rec.Payload); !ok || rec.Meta != string(meta) {
		return fmt.Errorf("nobody wrote these %d bytes: %.60q", len(rec.Payload), rec.Payload)
	}
	return nil
}

func stressWrite(files *slotfile.Files, name string, o *op) error {
	var l slotfile.Lock
	err := files.Lock(ctx, name, &l)
	if errors.Is(err, fs.ErrNotExist) {
		o.kind, o.life, o.n = opCreate, rand.Uint64(), 1
		if err = files.Create(ctx, name, meta, stressPayload(o.life, 1), false); errors.Is(err, fs.ErrExist) {
			o.kind, err = opFailed, nil
		}
		return err
	}
	if err != nil {
		return err
	}
	defer l.Unlock()
	if errors.Is(l.Err(), fs.ErrNotExist) { // a process was killed in the middle of a removal
		o.kind = opFailed
		_, err := l.Remove()
		return err
	}
	if l.Err() != nil {
		return l.Err()
	}
	life, n, ok := parsePayload(string(l.Payload()))
	if !ok {
		return fmt.Errorf("under the lock: nobody wrote these %d bytes: %.60q", len(l.Payload()), l.Payload())
	}
	o.life, o.wasN, o.n = life, n, n+1
	if rand.IntN(100) == 0 {
		o.kind = opRemove
		_, err := l.Remove()
		return err
	}
	o.kind = opWrite
	return l.Write(ctx, meta, stressPayload(life, n+1), false)
}

// TestReadIsTheNewestFinishedSaveOrOneThatOverlapsIt runs writers, which
// are killed in the middle of their work again and again, and readers, in
// processes of their own, and then holds every read against the history.
func TestReadIsTheNewestFinishedSaveOrOneThatOverlapsIt(t *testing.T) {
	duration := stressTime
	if env := os.Getenv("SESSIONS_STRESS"); env != "" {
		var err error
		if duration, err = time.ParseDuration(env); err != nil {
			t.Fatal(err)
		}
	}
	path := t.TempDir()
	until := monotonic() + int64(duration)
	var logs []string // appended to by one goroutine a slot
	var mu sync.Mutex
	child := func(role string) *exec.Cmd {
		mu.Lock()
		defer mu.Unlock()
		log := filepath.Join(t.TempDir(), "log")
		logs = append(logs, log)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%s:%s:%d", stressChild, role, log, path, until))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Error(err)
		}
		return cmd
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := child("reader").Wait(); err != nil {
				t.Errorf("reader: %v", err)
			}
		})
	}
	kills := 0
	for i := range 3 {
		wg.Go(func() {
			for monotonic() < until {
				cmd := child("writer")
				if i == 0 { // this one and its successors die young
					time.Sleep(time.Duration(100+rand.IntN(100)) * time.Millisecond)
					cmd.Process.Kill()
					kills++
				}
				if err := cmd.Wait(); err != nil && cmd.ProcessState.Exited() {
					t.Errorf("writer: %v", err)
				}
			}
		})
	}
	wg.Wait()
	var ops [][]op
	for _, log := range logs {
		all, err := opLog(log)
		if err != nil {
			t.Fatal(err)
		}
		for w := range workers {
			mine := all[w*opsEach : (w+1)*opsEach]
			n := 0
			for n < len(mine) && mine[n].begin != 0 {
				n++
			}
			ops = append(ops, mine[:n])
		}
	}
	checkHistory(t, ops, kills)
}
