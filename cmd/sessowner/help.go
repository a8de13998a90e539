package main

import "github.com/sessfs/sessions/internal/command"

// The texts of --help and of the manual page.
const (
	about = `Lists the sessions of an owner, or ends them, while the application runs. It
prints public IDs, with which no session can be taken over. A session that is
saved, renewed or begun at the moment of an --end is ended, or begins after it.`

	asRoot = `Run as root, it takes on the rights of each directory's owner.`
)

var examples = []command.Example{
	{Title: "where ann is logged in", Command: `sessowner --owner ann /srv/app/sessions`},
	{Title: "end all of them", Command: `sessowner --owner ann --end /srv/app/sessions`},
	{Title: "the same without her name in the list of processes", Command: `echo ann | sessowner --owner-file - --end /srv/app/sessions`},
	{Title: "for a script", Command: `sessowner --owner ann --json /srv/app/sessions | jq '.directories[0].sessions'`},
}

var exitStatuses = []command.Status{
	{Code: command.Done, Meaning: "done, also where the owner has no session"},
	{Code: command.Failed, Meaning: "some sessions, or the output, failed; the rest was done"},
	{Code: command.Refused, Meaning: "wrong usage, or a directory that was refused; nothing was done in it"},
	{Code: command.Stopped, Meaning: "stopped early, by SIGINT or SIGTERM"},
}
