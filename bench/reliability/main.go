// Command reliability tests this project and two peers with requests that overlap and
// processes that are killed, and prints trials and losses as a Markdown table. It
// takes about a minute.
//
// Every library is used by its own documented API, through HTTP handlers, and
// does the same work; the figures are as seen.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"
	"strings"
)

// amounts are the numbers of trials.
type amounts struct {
	goroutines, increments int // of one counter: so many each
	rounds                 int // of requests that overlap
	logouts                int
	kills, sessions        int // killed processes, and the sessions that they save
	ids                    int
}

var full = amounts{goroutines: 8, increments: 100, rounds: 100, logouts: 100, kills: 100, sessions: 20, ids: 100}

// A row is one kind of trial.
type row struct {
	tried string
	try   func(l library, dir string, n amounts) (outcome, error)
}

// An outcome is how many of how many were lost, or why the row does not apply to
// the library.
type outcome struct {
	lost, of int
	refused  int // requests that were answered with an error, and so not counted
	not      string
}

func (o outcome) String() string {
	if o.not != "" {
		return "does not apply: " + o.not
	}
	text := fmt.Sprintf("%d of %d", o.lost, o.of)
	if o.refused > 0 {
		text += fmt.Sprintf(" (%d refused)", o.refused)
	}
	return text
}

func rows(n amounts) []row {
	return []row{
		{fmt.Sprintf("increments lost: %d goroutines × %d requests get a number, work for a millisecond, set it to one more and save", n.goroutines, n.increments), tryIncrements},
		{"the same through the library's own way of reading, changing and saving in one step", tryUpdates},
		{fmt.Sprintf("values lost: %d rounds of %d requests that overlap, each of which sets another key", n.rounds, n.goroutines), tryKeys},
		{fmt.Sprintf("sessions revived: %d logouts during a slower request that saves after them", n.logouts), tryLogouts},
		{fmt.Sprintf("sessions unreadable: %d processes killed (SIGKILL) while they save %d sessions", n.kills, n.sessions), tryKills},
		{fmt.Sprintf("unknown IDs adopted: %d well-formed ones, issued by another installation", n.ids), tryIDs},
	}
}

func main() {
	log.SetFlags(0)
	if library := os.Getenv(childVariable); library != "" {
		log.Fatal(saveUntilKilled(library))
	}
	dir := flag.String("dir", os.TempDir(), "where the sessions are kept")
	flag.Parse()
	if err := run(os.Stdout, *dir, libraries, full); err != nil {
		log.Fatal(err)
	}
}

// run fills in and prints the table.
func run(w io.Writer, dir string, columns []library, n amounts) error {
	fmt.Fprint(w, "| tried |")
	for _, l := range columns {
		fmt.Fprintf(w, " %s |", l.title())
	}
	fmt.Fprintln(w, "\n| --- |"+strings.Repeat(" --- |", len(columns)))
	for _, r := range rows(n) {
		fmt.Fprintf(w, "| %s |", r.tried)
		for _, l := range columns {
			o, err := inDir(dir, func(dir string) (outcome, error) { return r.try(l, dir, n) })
			if err != nil {
				return fmt.Errorf("%s, %s: %w", l.name, r.tried, err)
			}
			fmt.Fprintf(w, " %v |", o)
		}
		fmt.Fprintln(w)
	}
	return nil
}

// inDir calls try with a directory of its own.
func inDir(parent string, try func(dir string) (outcome, error)) (outcome, error) {
	dir, err := os.MkdirTemp(parent, "reliability")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(dir)
	return try(dir)
}

// title is the library's name with the versions that this program was built with.
func (l library) title() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return l.name
	}
	title := l.name
	for _, module := range l.modules {
		for _, dep := range info.Deps {
			if dep.Path == module {
				title += ", " + strings.TrimPrefix(module, "github.com/") + " " + dep.Version
			}
		}
	}
	return title
}

// A client is a browser: it keeps the cookies that it is given.
type client struct {
	Cookies map[string]string
}

func (c client) clone() client {
	var copied client
	text, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(text, &copied)
	}
	if err != nil {
		panic(err) // a map of strings
	}
	return copied
}
