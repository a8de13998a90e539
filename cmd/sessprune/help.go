package main

import "github.com/sessfs/sessions/internal/command"

// The texts of --help and of the manual page.
const (
	about = `Removes ended sessions, and files that dead processes left unfinished. A session
that was just saved is never lost; a file that is no session's is never touched.`

	asRoot = `Run as root, it takes on the rights of each directory's owner.`
)

var examples = []command.Example{
	{Title: "every hour, from crontab -e", Command: `17 * * * * /usr/local/bin/sessprune -q --idle-timeout 14d /srv/app/sessions`},
	{Title: "the number of sessions that would go at each age", Command: `sessprune --report /srv/app/sessions`},
	{Title: "a large directory on a busy disk, in portions", Command: `sessprune --idle-timeout 14d --rate 500 --time-budget 10m /srv/app/sessions`},
	{Title: "for Prometheus' node exporter", Command: `sessprune --idle-timeout 14d \
  --metrics-file /var/lib/node_exporter/sessprune.prom /srv/app/sessions`},
}

var exitStatuses = []command.Status{
	{Code: exitDone, Meaning: "done"},
	{Code: exitFailed, Meaning: "some files failed, or the output, or the metrics file; the rest was done"},
	{Code: exitRefused, Meaning: "wrong usage, or a directory that was refused"},
	{Code: exitRunning, Meaning: "another process is pruning the directory"},
	{Code: exitStopped, Meaning: "stopped early, by --limit, --time-budget, SIGINT or SIGTERM"},
}

// texts returns the texts of the command.
func (c *config) texts() *command.Command {
	return &command.Command{
		Name: "sessprune", Brief: "remove the files of ended sessions", About: about, Note: asRoot, Examples: examples,
		Statuses: exitStatuses, SeeAlso: []string{"find 1", "crontab 5", "systemd.timer 5", "sessowner 8"}, Flags: c.flags,
	}
}
