package main

import (
	"fmt"
	"runtime/debug"
	"strings"
)

const about = `Moves the sessions of a directory to Redis or Valkey, or back. After it the same
cookies work. Times and timeouts go on, no session is overwritten, and one that was
ended does not come back.

The application may run, with the new store and the old one in a store of package
handover, which moves the sessions of the visitors who come. An application that
knows the old store alone is stopped first: it does not find the sessions any more.

The command may be stopped and run again; it goes on. It leaves expired sessions, for
sessprune or the server to remove. It needs the application's timeouts.`

const hashed = `Files that are named by the hashes of IDs (HashNames) cannot be moved to a server,
whose keys need a part of the ID: package handover moves each when its visitor comes
with the ID. On the way back the files are named by hashes: the application needs
HashNames then.`

var examples = []struct{ title, command string }{
	{"from a directory to a server", `sessmove --idle-timeout 14d --lifetime 30d /srv/app/sessions redis://localhost:6379/0`},
	{"and back", `sessmove redis://localhost:6379/0 /srv/app/sessions`},
	{"sealed there and here, under keys that the environment has", `sessmove --from-keys FILE_KEYS --to-keys REDIS_KEYS /srv/app/sessions redis://localhost:6379/0`},
	{"the number of sessions", `sessmove --dry-run /srv/app/sessions redis://localhost:6379/0`},
}

func helpText(c *config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: sessmove [flags] FROM TO\n\n%s\n\nFROM and TO are a directory and a URL: redis://user:password@host:6379/0,\nrediss:// with TLS, or unix:///path?db=0.\n\nFlags:\n%s\nExamples:\n", about, c.flags.FlagUsagesWrapped(80))
	for _, e := range examples {
		fmt.Fprintf(&b, "  # %s\n  %s\n\n", e.title, e.command)
	}
	fmt.Fprintf(&b, `Exit status:
  0  done
  1  some sessions could not be moved, or are damaged, or the output was lost
  2  wrong usage, or a place that was refused
  4  stopped by SIGINT or SIGTERM

%s
`, hashed)
	return b.String()
}

func versionText() string {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return "sessmove " + version + "\n"
}
