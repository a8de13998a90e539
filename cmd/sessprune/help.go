package main

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// The texts of --help and of the manual page.
const (
	about = `Removes ended sessions, and files that dead processes left unfinished. A session
that was just saved is never lost; a file that is no session's is never touched.`

	asRoot = `Run as root, it takes on the rights of each directory's owner.`
)

var examples = []struct{ title, command string }{
	{"every hour, from crontab -e", `17 * * * * /usr/local/bin/sessprune -q --idle-timeout 14d /srv/app/sessions`},
	{"the number of sessions that would go at each age", `sessprune --report /srv/app/sessions`},
	{"a large directory on a busy disk, in portions", `sessprune --idle-timeout 14d --rate 500 --time-budget 10m /srv/app/sessions`},
	{"for Prometheus' node exporter", `sessprune --idle-timeout 14d \
  --metrics-file /var/lib/node_exporter/sessprune.prom /srv/app/sessions`},
}

var exitStatuses = []struct {
	code    int
	meaning string
}{
	{exitDone, "done"},
	{exitFailed, "some files failed, or the output, or the metrics file; the rest was done"},
	{exitRefused, "wrong usage, or a directory that was refused"},
	{exitRunning, "another process is pruning the directory"},
	{exitStopped, "stopped early, by --limit, --time-budget, SIGINT or SIGTERM"},
}

func helpText(c *config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: sessprune [flags] DIRECTORY...\n\n%s\n\nFlags:\n%s\nExamples:\n", about, c.flags.FlagUsagesWrapped(80))
	for _, e := range examples {
		fmt.Fprintf(&b, "  # %s\n  %s\n\n", e.title, strings.ReplaceAll(e.command, "\n", "\n  "))
	}
	b.WriteString("Exit status:\n")
	for _, s := range exitStatuses {
		fmt.Fprintf(&b, "  %d  %s\n", s.code, s.meaning)
	}
	fmt.Fprintf(&b, "\n%s\n", asRoot)
	return b.String()
}

func versionText() string {
	version, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	return "sessprune " + version + revision
}
