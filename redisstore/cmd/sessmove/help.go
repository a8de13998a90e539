package main

import "github.com/sessfs/sessions/internal/command"

const about = `Moves the sessions of a directory to Redis or Valkey, or back. After it the same
cookies work. Times and timeouts go on, no session is overwritten, and one that was
ended does not come back.

The application may run, with the new store and the old one in a store of package
handover, which moves the sessions of the visitors who come. An application that
knows the old store alone is stopped first: it does not find the sessions any more.

The command may be stopped and run again; it goes on. It leaves expired sessions, for
sessprune or the server to remove. It needs the application's timeouts.

FROM and TO are a directory and a URL: redis://user:password@host:6379/0,
rediss:// with TLS, or unix:///path?db=0.`

const hashed = `Files that are named by the hashes of IDs (HashNames) cannot be moved to a server,
whose keys need a part of the ID: package handover moves each when its visitor comes
with the ID. On the way back the files are named by hashes: the application needs
HashNames then.`

var examples = []command.Example{
	{Title: "from a directory to a server", Command: `sessmove --idle-timeout 14d --lifetime 30d /srv/app/sessions redis://localhost:6379/0`},
	{Title: "and back", Command: `sessmove redis://localhost:6379/0 /srv/app/sessions`},
	{Title: "sealed there and here, under keys that the environment has", Command: `sessmove --from-keys FILE_KEYS --to-keys REDIS_KEYS /srv/app/sessions redis://localhost:6379/0`},
	{Title: "the number of sessions", Command: `sessmove --dry-run /srv/app/sessions redis://localhost:6379/0`},
}

var exitStatuses = []command.Status{
	{Code: command.Done, Meaning: "done"},
	{Code: command.Failed, Meaning: "some sessions could not be moved, or are damaged, or the output was lost"},
	{Code: command.Refused, Meaning: "wrong usage, or a place that was refused"},
	{Code: command.Stopped, Meaning: "stopped early, by SIGINT or SIGTERM"},
}

// texts returns the texts of the command.
func (c *config) texts() *command.Command {
	return &command.Command{Name: name, Args: "FROM TO", About: about, Note: hashed, Examples: examples, Statuses: exitStatuses, Flags: c.flags}
}
