//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A fileSystem is one that a disk can have.
type fileSystem struct {
	name    string
	kind    string // as in /proc/filesystems
	mkfs    []string
	options string // of mount(2)
	size    int64  // of the disk, in bytes
}

// Blocks of 4096 bytes are mkfs.ext4's choice for a disk of the usual size.
// XFS does not go onto less than 300 MB.
var (
	ext4        = fileSystem{"ext4", "ext4", []string{"mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0"}, "", 64 << 20}
	ext4NoAlloc = fileSystem{"ext4 noauto_da_alloc", "ext4", ext4.mkfs, "noauto_da_alloc", 64 << 20}
	xfs         = fileSystem{"XFS", "xfs", []string{"mkfs.xfs", "-q"}, "", 320 << 20}
)

// A disk is a file system on a loop device over a file in memory.
type disk struct {
	fileSystem
	device string
	dir    string // where it is mounted
}

// newDisk makes and mounts a disk, which goes when the test ends.
func newDisk(t *testing.T, f fileSystem) *disk {
	t.Helper()
	skipUnlessMountable(t, f)
	d := &disk{fileSystem: f, dir: t.TempDir()}
	image := makeImage(t, f)
	out, err := exec.Command("losetup", "-f", "--show", image).Output()
	if err != nil {
		t.Skipf("no loop device: %v", err)
	}
	d.device = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		unix.Unmount(d.dir, unix.MNT_DETACH)
		if err := exec.Command("losetup", "-d", d.device).Run(); err != nil {
			t.Errorf("the loop device stays behind: %v", err)
		}
	})
	if err := d.mount(0); err != nil {
		t.Skipf("cannot mount %s: %v", f.name, err)
	}
	return d
}

func skipUnlessMountable(t *testing.T, f fileSystem) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a disk")
	}
	for _, program := range []string{"losetup", f.mkfs[0]} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s", program)
		}
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil || !slices.Contains(strings.Fields(string(known)), f.kind) {
		t.Skipf("this kernel has no %s", f.kind)
	}
}

// makeImage makes the file that the disk is on: in memory if there is a place
// for it, since only the writes count, not their medium.
func makeImage(t *testing.T, f fileSystem) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "powercut")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	image := filepath.Join(dir, "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, f.size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(f.mkfs[0], append(f.mkfs[1:], image)...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v: %s", f.mkfs[0], err, out)
	}
	return image
}

func (d *disk) mount(flags uintptr) error {
	return unix.Mount(d.device, d.dir, d.kind, flags, d.options)
}

// A cut is a kind of power cut, as a flag of EXT4_IOC_SHUTDOWN and
// XFS_IOC_GOINGDOWN: the log in memory is written first, or is lost. From the call on
// nothing else reaches the disk.
type cut uint32

const (
	logFlushed cut = 1
	logLost    cut = 2
)

func (c cut) String() string {
	if c == logFlushed {
		return "log flushed"
	}
	return "log lost"
}

// cutPower shuts the file system down by _IOR('X', 125, __u32), the same for ext4 and
// XFS.
func (d *disk) cutPower(how cut) error {
	const shutdown = 0x8004587d
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), shutdown, int(how))
}

// restart mounts the disk again, which replays its log.
func (d *disk) restart() error {
	// A descriptor may be a moment from being closed.
	if err := patiently(func() error { return unix.Unmount(d.dir, 0) }); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	// While another process has the disk mounted, in a copied namespace for example,
	// mounting it would bring back the file system that is shut down. A mounted disk
	// cannot be opened exclusively.
	err := patiently(func() error {
		fd, err := unix.Open(d.device, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("still mounted somewhere: %w", err)
	}
	return d.mount(0)
}

// patiently tries again while something is busy.
func patiently(try func() error) (err error) {
	for range 500 {
		if err = try(); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}
