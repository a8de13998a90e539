package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/command"
)

// print prints the result for one directory as text: the list on standard output,
// errors on standard error.
func (r *result) print(c *config, stdout, stderr io.Writer) {
	// After an error alone, none would be taken for the answer.
	if !c.quiet && !c.json && (r.err == nil || len(r.sessions)+r.ended > 0) {
		switch {
		case c.dryRun:
			fmt.Fprintf(stdout, "%s: %s would be ended\n", r.dir, count(len(r.sessions)))
		case c.end:
			fmt.Fprintf(stdout, "%s: %s ended\n", r.dir, count(r.ended))
		default:
			fmt.Fprintf(stdout, "%s: %s\n", r.dir, count(len(r.sessions)))
		}
		printSessions(stdout, r.sessions)
	}
	if r.err != nil {
		fmt.Fprintf(stderr, "%s: %s: %s\n", name, r.dir, command.Plain(r.err))
	}
}

func count(sessions int) string { return command.Plural(sessions, "session", "sessions") }

// printSessions prints a line for each session.
func printSessions(w io.Writer, all []sessions.SessionInfo) {
	if len(all) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PUBLIC ID\tCREATED\tAUTHENTICATED\tLAST USED\tENDS\tNOTE")
	for _, info := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", info.PublicID, text(info.Created, "-"), text(info.AuthenticatedAt, "never"),
			text(info.Used, "-"), text(ends(info), "never"), harmless(info.Meta))
	}
	table.Flush()
}

// ends returns when a session ends unless it is used, zero for never.
func ends(info sessions.SessionInfo) time.Time {
	if info.IdleDeadline.IsZero() || !info.Deadline.IsZero() && info.Deadline.Before(info.IdleDeadline) {
		return info.Deadline
	}
	return info.IdleDeadline
}

func text(t time.Time, zero string) string {
	if t.IsZero() {
		return zero
	}
	return t.Format(time.RFC3339)
}

// harmless returns a text of a visitor's, a User-Agent perhaps, without characters that
// direct a terminal or turn the line around.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// printJSON prints the results of all directories. The names in it will stay; new ones
// may come.
func printJSON(w io.Writer, c *config, results []result, code int) {
	directories := []map[string]any{}
	for _, r := range results {
		directories = append(directories, r.json(c))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(map[string]any{"directories": directories, "exit_code": code})
}

func (r *result) json(c *config) map[string]any {
	fields := map[string]any{"directory": r.dir, "exit_code": r.code, "dry_run": c.dryRun}
	if r.err != nil {
		fields["error"] = command.Plain(r.err)
	}
	if c.end && !c.dryRun {
		fields["ended"] = r.ended
		return fields
	}
	listed := []map[string]any{}
	for _, info := range r.sessions {
		listed = append(listed, map[string]any{
			"public_id": info.PublicID, "created": timeOrNull(info.Created), "authenticated_at": timeOrNull(info.AuthenticatedAt),
			"last_used": timeOrNull(info.Used), "idle_deadline": timeOrNull(info.IdleDeadline), "deadline": timeOrNull(info.Deadline),
			"meta": info.Meta,
		})
	}
	fields["sessions"] = listed
	return fields
}

// timeOrNull returns nil for no time.
func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}
