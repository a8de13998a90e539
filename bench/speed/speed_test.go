//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := serveParent(os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(m.Run())
}

var few = amounts{rounds: 2, per: time.Microsecond, sessions: 64, sizes: 3, numbers: []int{64, 128}, goroutines: []int{2}, prunings: 2}

// All scenes run, with the smallest amounts.
func TestSpeedMeasuresEverySceneAndWritesEveryFormat(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	o := options{dirs: places{{"tmpfs", dir}}, amounts: few, json: filepath.Join(out, "speed.json"), svg: filepath.Join(out, "charts")}
	var stdout, stderr bytes.Buffer
	if err := measureAll(t.Context(), o, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	_, noRedis := exec.LookPath("redis-server")
	for _, c := range claims {
		needs := strings.Contains(c.text, "SyncFull") || noRedis != nil && (strings.Contains(c.text, "Redis") || strings.Contains(c.text, "AutoPipeline"))
		if !needs && !strings.Contains(stdout.String(), "| "+c.text+" |") {
			t.Errorf("the report has no figure for %q", c.text)
		}
	}
	text, err := os.ReadFile(o.json)
	if err != nil {
		t.Fatal(err)
	}
	var rep report
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	for _, s := range rep.Scenes {
		for _, r := range s.Results {
			if r.Nanos <= 0 || len(r.Rounds) != few.rounds {
				t.Errorf("%s of %s: %v ns in %d rounds", s.title(), r.Name, r.Nanos, len(r.Rounds))
			}
		}
	}
	for _, name := range []string{"operations", "number", "size"} {
		if text, err := os.ReadFile(filepath.Join(o.svg, name+"-tmpfs.svg")); err != nil || !bytes.Contains(text, []byte("<svg")) {
			t.Errorf("chart %s: %d bytes, %v", name, len(text), err)
		}
	}
	for _, s := range specs {
		if text, err := os.ReadFile(filepath.Join(o.svg, "operations-tmpfs.svg")); err != nil || !bytes.Contains(text, []byte(">"+s.name+"<")) && !s.waits && !s.redis {
			t.Errorf("the chart has no %s, %v", s.name, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

// A save that waits for the disk is measured on a disk alone.
func TestSpeedMeasuresSyncedSaves(t *testing.T) {
	o := options{dirs: places{{"disk", t.TempDir()}}, amounts: few, only: "synced"}
	var stdout, stderr bytes.Buffer
	if err := measureAll(t.Context(), o, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if !strings.Contains(stdout.String(), "SyncFull save") {
		t.Errorf("no figure in\n%s", &stdout)
	}
}

func TestSpeedMountsAndTakesAway(t *testing.T) {
	if os.Getuid() != 0 || os.Getenv("CI") == "" {
		t.Skip("mounts a file system: root in CI alone")
	}
	images := t.TempDir()
	o := options{mount: "ext4", images: images, amounts: few, only: "load by"}
	var stdout, stderr bytes.Buffer
	if err := measureAll(t.Context(), o, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if left, err := os.ReadDir(images); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

func TestSpeedRefusesArguments(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"--dir", "/dev/shm"}, {"--unknown"}} {
		if _, err := parse(args, new(bytes.Buffer)); err == nil {
			t.Errorf("%q is no error", args)
		}
	}
}

// A library whose operations fail beside others, here of a session that is none, leaves
// the other process to the rounds that follow.
func TestProcessBesideAnotherOutlivesItsFailures(t *testing.T) {
	var in, out bytes.Buffer
	if err := json.NewEncoder(&in).Encode(order{Library: "gorilla FilesystemStore", Dir: t.TempDir(), Operation: "read", Handles: []string{"none"}}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(&in, "1000\n1000\n")
	if err := serveParent(&in, &out); err != nil || out.String() != "0\nNaN\nNaN\n" {
		t.Errorf("it answered %q, and ended with %v", out.String(), err)
	}
	c := child{out: bufio.NewReader(strings.NewReader("NaN\n"))}
	if _, err := c.wait(); err != errChild {
		t.Errorf("its parent: %v, want %v", err, errChild)
	}
}

// Quartiles are those of the sorted rounds.
func TestQuartilesOfRounds(t *testing.T) {
	low, median, high := quartiles([]float64{5, 1, 4, 2, 3})
	if low != 2 || median != 3 || high != 4 {
		t.Errorf("got %v, %v, %v", low, median, high)
	}
}
