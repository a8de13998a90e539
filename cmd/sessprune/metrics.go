package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// lastSuccess is the one metric that outlives a run that fails.
const lastSuccess = "sessprune_last_success_timestamp_seconds"

// A metric is one family of the text format.
type metric struct {
	name, help string
	samples    []string // what stands behind the name
}

func (m *metric) add(labels string, value float64) {
	m.samples = append(m.samples, labels+" "+strconv.FormatFloat(value, 'f', -1, 64))
}

// metrics are all families, each with samples of all directories.
func metrics(c *config, results []result, before map[string]string) []metric {
	files := metric{name: "sessprune_files", help: "Files that the last run found in the directory, by what became of them."}
	size := metric{name: "sessprune_bytes", help: "Size of the files that the last run found in the directory, by what became of them."}
	duration := metric{name: "sessprune_duration_seconds", help: "How long the last run took."}
	exit := metric{name: "sessprune_exit_code", help: "What the last run of the directory ended with; 0 is success."}
	oldest := metric{name: "sessprune_oldest_session_age_seconds", help: "The longest idle time among the sessions that stayed."}
	run := metric{name: "sessprune_last_run_timestamp_seconds", help: "When the last run began."}
	success := metric{name: lastSuccess, help: "When the last run began that ended with 0 and removed what it should."}
	for _, r := range results {
		n, dir := &r.report, `directory="`+escapeLabel(r.dir)+`"`
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
			started = time.Now() // refused before it began
		}
		stamp := float64(started.UnixMilli()) / 1000
		run.add(all, stamp)
		switch was := before[all]; {
		case r.code == exitDone && !c.dryRun && !c.report:
			success.add(all, stamp)
		case was != "":
			success.samples = append(success.samples, all+" "+was)
		}
	}
	return []metric{files, size, duration, exit, oldest, run, success}
}

// writeMetrics replaces the file as a whole, so that the collector never sees
// half of one.
func writeMetrics(c *config, results []result) error {
	var text strings.Builder
	for _, m := range metrics(c, results, successesBefore(c.metricsFile)) {
		if len(m.samples) == 0 {
			continue
		}
		fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s gauge\n", m.name, m.help, m.name)
		for _, s := range m.samples {
			fmt.Fprintln(&text, m.name+s)
		}
	}
	dir, name := filepath.Split(c.metricsFile)
	// The collector reads what ends in .prom.
	f, err := os.CreateTemp(dir, "."+name+".*.tmp")
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text.String())
	if err == nil {
		err = f.Chmod(0o644) // for the collector, which is another user
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.metricsFile)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// successesBefore reads, from the file that is about to be replaced, when each
// directory was last gone through with success.
func successesBefore(file string) map[string]string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil // the first run
	}
	before := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		sample, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), lastSuccess+"{")
		at := strings.LastIndex(sample, "} ")
		if !ok || at < 0 {
			continue
		}
		if _, err := strconv.ParseFloat(sample[at+2:], 64); err == nil {
			before["{"+sample[:at+1]] = sample[at+2:]
		}
	}
	return before
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func escapeLabel(s string) string { return labelEscapes.Replace(strings.ToValidUTF8(s, "\uFFFD")) }
