package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sessfs/sessions/internal/command"
	"github.com/sessfs/sessions/prune"
)

// print prints the result for one directory as text: the report on standard output,
// errors on standard error.
func (r *result) print(c *config, stdout, stderr io.Writer) {
	// A refused directory was not pruned, or has no sessions.
	if !c.quiet && !c.json && r.code != exitRefused && r.code != exitRunning {
		fmt.Fprintf(stdout, "%s: %s\n", r.dir, summary(r.report))
		if c.report {
			printReport(stdout, c, r.report)
		}
	}
	if r.err != nil && (r.code != exitStopped || !c.quiet) {
		line := command.Plain(r.err)
		if r.code == exitStopped {
			line += fmt.Sprintf(": the next run goes on; %s removed of %s looked at",
				command.Plural(r.report.Removed+r.report.CorruptRemoved+r.report.TempRemoved, "file", "files"), command.Plural(r.report.Entries, "entry", "entries"))
			if r.report.DryRun {
				line += " (a dry run)"
			}
		}
		if r.report.Failed > 0 {
			line = fmt.Sprintf("%s could not be handled: %s", command.Plural(r.report.Failed, "file", "files"), line)
		}
		fmt.Fprintf(stderr, "sessprune: %s: %s\n", r.dir, line)
	}
}

// summary returns one line about a directory.
func summary(n prune.Report) string {
	removed := "removed"
	if n.DryRun {
		removed = "would be removed"
	}
	parts := []string{fmt.Sprintf("%s of %s sessions %s (%s), %s live (%s)",
		command.Count(n.Removed), command.Count(n.Sessions), removed, size(n.RemovedBytes), command.Count(n.Live), size(n.LiveBytes))}
	add := func(k int, outcome string) {
		if k > 0 {
			parts = append(parts, command.Count(k)+" "+outcome)
		}
	}
	add(n.Busy, "in use")
	add(n.Corrupt, "damaged and kept")
	add(n.CorruptRemoved, "damaged "+removed)
	add(n.TempRemoved, "unfinished "+removed)
	add(n.Temp, "unfinished and young")
	add(n.Foreign, "foreign and left alone")
	add(n.Future, "dated in the future")
	add(n.Vanished, "vanished meanwhile")
	add(n.Failed, "failed")
	return strings.Join(parts, ", ") + "; " + n.Duration.Round(time.Millisecond).String()
}

// printEvent prints a line of --verbose, on standard error: standard output is for
// scripts.
func printEvent(w io.Writer, dir string, dryRun bool, e prune.Event) {
	action := string(e.Action)
	if dryRun && e.Action == prune.Removed {
		action = "would remove"
	}
	if e.Corrupt {
		action += " damaged"
	}
	if e.Err != nil {
		fmt.Fprintf(w, "%s: %s %s: %s\n", dir, action, e.File, command.Plain(e.Err))
		return
	}
	fmt.Fprintf(w, "%s: %s %s, %s old, %s\n", dir, action, e.File, long(e.Age), size(e.Size))
}

// printReport draws the histograms.
func printReport(w io.Writer, c *config, n prune.Report) {
	var names []string
	var counts []int
	for i, b := range n.Ages {
		names, counts = append(names, bucket(i, len(n.Ages), func(i int) string { return "< " + long(n.Ages[i].Under) })), append(counts, b.Sessions)
	}
	draw(w, "idle for", names, counts)
	names, counts = nil, nil
	for i, b := range n.Sizes {
		names, counts = append(names, bucket(i, len(n.Sizes), func(i int) string { return "≤ " + size(n.Sizes[i].UpTo) })), append(counts, b.Sessions)
	}
	draw(w, "file size", names, counts)
	fmt.Fprintf(w, "\n  with --idle-timeout   would go\n")
	for _, g := range wouldGo(n) {
		fmt.Fprintf(w, "  %13s   %s (%s)\n", long(g.idleTimeout), command.Count(g.Sessions), size(g.Bytes))
	}
	fmt.Fprintln(w)
}

func bucket(i, n int, under func(int) string) string {
	if i == n-1 {
		return "more"
	}
	return under(i)
}

// draw draws a histogram.
func draw(w io.Writer, title string, names []string, counts []int) {
	const width = 40
	most := 1
	for _, n := range counts {
		most = max(most, n)
	}
	fmt.Fprintf(w, "\n  %s\n", title)
	for i, n := range counts {
		bar := strings.Repeat("█", n*width/most)
		if bar == "" && n > 0 {
			bar = "▏"
		}
		fmt.Fprintf(w, "  %13s  %s %s\n", names[i], bar, command.Count(n))
	}
}

// A projection is the number of sessions that an idle timeout would remove.
type projection struct {
	idleTimeout time.Duration
	prune.Ages
}

// wouldGo returns a projection for the age at which each bucket begins.
func wouldGo(n prune.Report) []projection {
	var g []projection
	var sum prune.Ages
	for i := len(n.Ages) - 1; i > 0; i-- {
		sum.Sessions += n.Ages[i].Sessions
		sum.Bytes += n.Ages[i].Bytes
		g = append([]projection{{n.Ages[i-1].Under, sum}}, g...)
	}
	return g
}

// size returns a number of bytes as text, 1.5 KiB for example.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), -1
	for f >= 1023.95 && unit < len(units)-1 {
		f /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[unit])
}

// long returns a duration as text: 14d, 6h, 1h5m, 40s.
func long(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%dd", d/day)
	}
	if d < time.Hour {
		return d.Round(time.Second).String()
	}
	d = d.Round(time.Minute)
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return strings.TrimSuffix(d.String(), "0s")
}

// printJSON prints the results of all directories. The names in it will stay; new ones
// may come.
func printJSON(w io.Writer, c *config, results []result) {
	directories := []map[string]any{}
	for _, r := range results {
		directories = append(directories, r.json(c))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(map[string]any{"directories": directories, "exit_code": worst(results)})
}

func (r *result) json(c *config) map[string]any {
	n := r.report
	fields := map[string]any{
		"directory": r.dir, "exit_code": r.code, "dry_run": c.dryRun || c.report, "stopped": string(n.Stopped),
		"entries": n.Entries, "sessions": n.Sessions, "removed": n.Removed, "live": n.Live, "busy": n.Busy,
		"corrupt": n.Corrupt, "corrupt_removed": n.CorruptRemoved, "endless": n.Endless, "future": n.Future,
		"temp": n.Temp, "temp_removed": n.TempRemoved, "foreign": n.Foreign, "unmatched": n.Unmatched, "subdirectories": n.Directories,
		"vanished": n.Vanished, "failed": n.Failed, "removed_bytes": n.RemovedBytes, "live_bytes": n.LiveBytes,
		"oldest_seconds": n.Oldest.Seconds(), "duration_seconds": n.Duration.Seconds(),
	}
	if r.err != nil {
		fields["error"] = command.Plain(r.err)
	}
	if !c.report {
		return fields
	}
	type row map[string]any
	var ages, sizes, at []row
	for _, b := range n.Ages {
		ages = append(ages, row{"under_seconds": b.Under.Seconds(), "sessions": b.Sessions, "bytes": b.Bytes})
	}
	for _, b := range n.Sizes {
		sizes = append(sizes, row{"up_to_bytes": b.UpTo, "sessions": b.Sessions, "bytes": b.Bytes})
	}
	for _, g := range wouldGo(n) {
		at = append(at, row{"idle_timeout_seconds": g.idleTimeout.Seconds(), "sessions": g.Sessions, "bytes": g.Bytes})
	}
	fields["ages"], fields["sizes"], fields["would_go"] = ages, sizes, at
	return fields
}
