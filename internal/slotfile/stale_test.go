//go:build linux

package slotfile_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions/internal/slotfile"
)

// readOnce is a child that reports when it begins to read, and the record it has read.
func readOnce(path string) {
	fail := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		os.Exit(3)
	}
	files := openForChild(path, fail)
	fmt.Println("begin")
	rec, err := files.Read(ctx, "a")
	if err != nil {
		fail("%v", err)
	}
	fmt.Println(rec.Payload)
}

// The case for which Read looks twice, which chance produces once in some
// hundred thousand reads: a reader sees slot A, is stopped while one save goes
// there and the next one tears slot B, and then sees B. Its A is
// older than B was when the read began. strace stops it there.
func TestReadStoppedBetweenTheSlotsIsNotStale(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace")
	}
	head := live(6, "a save that is under way")[:slotfile.SlotHead+3]
	mixed := slices.Clone(head)
	mixed[20] = '2' // a digit of the sequence number, as if the head were older
	for name, torn := range map[string][]byte{"the head is there": head, "the head is mixed with another": mixed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testStoppedRead(t, strace, torn)
		})
	}
}

func testStoppedRead(t *testing.T, strace string, torn []byte) {
	path := t.TempDir()
	files := open(t, path)
	// Slot A ends behind the 4096 bytes of the first read, and the payload in it
	// before. It is not so small that the record would move into smaller slots.
	long := func(payload string) string { return strings.Repeat(payload, 2000/len(payload)) }
	create(t, files, "a", strings.Repeat("large", 1400))
	for _, payload := range []string{"two", "three", "four"} {
		if err := write(files, "a", long(payload)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace=pread64", "-e", "inject=pread64:delay_exit=400000", os.Args[0])
	cmd.Env = append(os.Environ(), stressChild+"=once:"+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Skip("strace cannot trace here: ", cmd.Wait())
	}
	time.Sleep(200 * time.Millisecond) // slot A, with "three", is read
	if err := write(files, "a", long("five")); err != nil {
		t.Fatal(err)
	}
	// A writer in the middle of the next save.
	var l slotfile.Lock
	if err := files.Lock(ctx, "a", &l); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(path, "a"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(slotfile.SlotSizeFor(7000))
	if _, err := f.WriteAt(torn, slotfile.HeaderSize+size); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Size != slotfile.HeaderSize+2*size {
		t.Fatalf("a file of %d bytes, %v: the test does not know its layout", st.Size, err)
	}
	f.Close()
	lines.Scan()
	l.Unlock()
	if err := cmd.Wait(); err != nil || lines.Text() != long("five") {
		t.Errorf(`the read gives "%.9s…", %v; "four" was saved before it began, and "five" while it went on`, lines.Text(), err)
	}
}

// The history against which the stress test holds reads finds wrong ones.
func TestHistoryFindsWrongReads(t *testing.T) {
	h := history{made: make(map[version]op)}
	for _, o := range []op{
		{begin: 10, end: 20, kind: opCreate, life: 1, n: 1},
		{begin: 30, end: 40, kind: opWrite, life: 1, n: 2, wasN: 1},
		{begin: 50, end: 60, kind: opWrite, life: 1, n: 3, wasN: 2},
		{begin: 70, end: 80, kind: opRemove, life: 1, n: 4, wasN: 3},
		{begin: 90, end: 95, kind: opCreate, life: 2, n: 1},
	} {
		h.add(t, o)
	}
	h.check(t) // sorts
	for _, row := range []struct {
		read op
		ok   bool
	}{
		{op{begin: 1, end: 5}, true},
		{op{begin: 22, end: 25}, false},
		{op{begin: 22, end: 25, life: 1, n: 1}, true},
		{op{begin: 1, end: 5, life: 1, n: 1}, false},
		{op{begin: 35, end: 38, life: 1, n: 1}, true},
		{op{begin: 35, end: 38, life: 1, n: 2}, true},
		{op{begin: 42, end: 45, life: 1, n: 1}, false},
		{op{begin: 42, end: 55, life: 1, n: 3}, true},
		{op{begin: 62, end: 65, life: 1, n: 1}, false},
		{op{begin: 62, end: 65, life: 1, n: 7}, false},
		{op{begin: 75, end: 78}, true},
		{op{begin: 82, end: 85, life: 1, n: 3}, false},
		{op{begin: 82, end: 85}, true},
		{op{begin: 96, end: 99}, false},
		{op{begin: 96, end: 99, life: 2, n: 1}, true},
	} {
		if why := h.wrong(row.read); (why == "") != row.ok {
			t.Errorf("a read of save %d of life %d from %d to %d: %q; want it right: %v",
				row.read.n, row.read.life, row.read.begin, row.read.end, why, row.ok)
		}
	}
}
