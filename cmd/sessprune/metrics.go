package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
)

const (
	// lastSuccess is the one metric that a run that fails leaves as it was.
	lastSuccess = "sessprune_last_success_timestamp_seconds"

	// metricsTimeout bounds the wait for other runs that write the same file.
	// Each takes milliseconds.
	metricsTimeout = 10 * time.Second
)

// A metric is one family of the text format.
type metric struct {
	name, help string
	samples    []string // the texts behind the name
}

func (m *metric) add(labels string, value float64) {
	m.samples = append(m.samples, labels+" "+strconv.FormatFloat(value, 'f', -1, 64))
}

// metrics returns all families, each with the samples of this run's directories, and
// after them those of other directories from the file before.
func metrics(c *config, results []result, before samples) []metric {
	files := metric{name: "sessprune_files", help: "Files that the last run found in the directory, by outcome."}
	size := metric{name: "sessprune_bytes", help: "Size of the files that the last run found in the directory, by outcome."}
	duration := metric{name: "sessprune_duration_seconds", help: "How long the last run took."}
	exit := metric{name: "sessprune_exit_code", help: "Exit code of the last run of the directory; 0 is success."}
	oldest := metric{name: "sessprune_oldest_session_age_seconds", help: "The longest idle time among the sessions that stayed."}
	run := metric{name: "sessprune_last_run_timestamp_seconds", help: "When the last run began."}
	success := metric{name: lastSuccess, help: "When the last run began that ended with 0 and was no dry run."}
	for _, r := range results {
		n, dir := &r.report, directoryLabel(r.dir)
		all := "{" + dir + "}"
		removed := "removed"
		if c.dryRun || c.report {
			removed = "would_be_removed"
		}
		for _, o := range []struct {
			outcome string
			count   int
		}{
			{removed, n.Removed}, {"live", n.Live}, {"busy", n.Busy}, {"corrupt", n.Corrupt}, {"corrupt_" + removed, n.CorruptRemoved},
			{"temp", n.Temp}, {"temp_" + removed, n.TempRemoved}, {"foreign", n.Foreign}, {"vanished", n.Vanished}, {"failed", n.Failed},
		} {
			files.add("{"+dir+`,outcome="`+o.outcome+`"}`, float64(o.count))
		}
		size.add("{"+dir+`,outcome="`+removed+`"}`, float64(n.RemovedBytes))
		size.add("{"+dir+`,outcome="live"}`, float64(n.LiveBytes))
		duration.add(all, n.Duration.Seconds())
		exit.add(all, float64(r.code))
		oldest.add(all, n.Oldest.Seconds())
		started := n.Started
		if started.IsZero() {
			started = time.Now() // the directory was refused
		}
		stamp := float64(started.UnixMilli()) / 1000
		run.add(all, stamp)
		if r.code == exitDone && !c.dryRun && !c.report {
			success.add(all, stamp)
		} else {
			success.samples = append(success.samples, before[lastSuccess][dir]...)
		}
	}
	families := []metric{files, size, duration, exit, oldest, run, success}
	for i := range families {
		families[i].keepOthers(results, before)
	}
	return families
}

// keepOthers adds the samples of directories that are not among the results.
func (m *metric) keepOthers(results []result, before samples) {
	for _, dir := range slices.Sorted(maps.Keys(before[m.name])) {
		if !slices.ContainsFunc(results, func(r result) bool { return directoryLabel(r.dir) == dir }) {
			m.samples = append(m.samples, before[m.name][dir]...)
		}
	}
}

// writeMetrics replaces the file as a whole, so that the collector never sees half of
// one. By a lock, runs that write the same file take turns.
func writeMetrics(c *config, results []result) error {
	unlock, err := lockDirectory(filepath.Dir(c.metricsFile))
	if err != nil {
		return err
	}
	defer unlock()
	before, err := readSamples(c.metricsFile)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, m := range metrics(c, results, before) {
		if len(m.samples) == 0 {
			continue
		}
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s gauge\n", m.name, m.help, m.name)
		for _, s := range m.samples {
			fmt.Fprintln(&text, m.name+s)
		}
	}
	return replaceFile(c.metricsFile, text.String())
}

// replaceFile writes a file under another name and renames it, under the lock of
// its directory: a file of the other name is from a run that was killed.
func replaceFile(path, text string) error {
	dir, name := filepath.Split(path)
	temp := filepath.Join(dir, "."+name+".tmp") // the collector reads files that end in .prom
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err == nil {
		err = f.Chmod(0o644) // for the collector, which is another user
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

// lockDirectory waits for the directory's lock, for metricsTimeout at most.
func lockDirectory(path string) (unlock func() error, err error) {
	// The lock is taken by a path that does not end in a link.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	for end := time.Now().Add(metricsTimeout); ; time.Sleep(5 * time.Millisecond) {
		unlock, ok, err := dirfs.TryLockDirectory(dir, sessionfile.PruneLock)
		if ok || err != nil {
			return unlock, err
		}
		if time.Now().After(end) {
			return nil, errors.New("its directory stays locked by another process")
		}
	}
}

// samples are the lines of a metrics file without the names, by the metric's name and
// the label of the directory.
type samples map[string]map[string][]string

var sampleLine = regexp.MustCompile(`^(sessprune_[a-z_]+)(\{(directory="(?:[^"\\]|\\.)*")[^{}]*\} ([0-9.]+))\n$`)

// readSamples reads the samples of a metrics file. A file that is missing has none.
func readSamples(path string) (samples, error) {
	text, err := readRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	found := make(samples)
	for line := range strings.Lines(text) {
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if found[m[1]] == nil {
			found[m[1]] = make(map[string][]string)
		}
		found[m[1]][m[3]] = append(found[m[1]][m[3]], m[2])
	}
	return found, err
}

var errIrregular = errors.New("not a regular file, but a link, a FIFO, a device or a directory")

// readRegular reads a regular file. It does not wait for the other end of a FIFO that
// has the name since the command line was checked.
func readRegular(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return "", errors.Join(err, errIrregular)
	}
	text, err := io.ReadAll(f)
	return string(text), err
}

func directoryLabel(dir string) string { return `directory="` + escapeLabel(dir) + `"` }

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func escapeLabel(s string) string { return labelEscapes.Replace(strings.ToValidUTF8(s, "\uFFFD")) }
