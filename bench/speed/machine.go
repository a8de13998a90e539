//go:build unix

package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine describes the machine, the system and the versions.
func machine() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	processor := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(info), "model name\t: ")
		if name, _, ok := strings.Cut(rest, "\n"); ok {
			processor = name
		}
	}
	system, release := unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:])
	release, _, _ = strings.Cut(release, "-") // the rest may name the host
	return fmt.Sprintf("%s, %d processors, %s %s, %s", processor, runtime.NumCPU(), system, release, runtime.Version())
}

func today() string { return time.Now().UTC().Format(time.DateOnly) }

// versions names the modules of a library.
func versions(modules []string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var names []string
	for _, module := range modules {
		for _, dep := range info.Deps {
			if dep.Path == module {
				names = append(names, strings.TrimPrefix(module, "github.com/")+" "+dep.Version)
			}
		}
	}
	return strings.Join(names, ", ")
}

// awaitFile waits until a server has made its socket.
func awaitFile(path string) error {
	for range 500 {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s did not appear in five seconds", path)
}
