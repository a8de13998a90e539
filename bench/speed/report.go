//go:build unix

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// A report is all that was measured.
type report struct {
	Date    string  `json:"date"`
	Machine string  `json:"machine"`
	Scenes  []scene `json:"scenes"`
}

// result returns the figures of a contender, nil for none.
func (s *scene) result(name string) *result {
	for i := range s.Results {
		if s.Results[i].Name == name {
			return &s.Results[i]
		}
	}
	return nil
}

// find returns the scene of one goroutine and one process.
func (rep *report) find(operation, system, size string) *scene {
	for i := range rep.Scenes {
		s := &rep.Scenes[i]
		if s.Operation == operation && s.System == system && s.Size == size && s.Goroutines == 1 && s.Processes == 1 {
			return s
		}
	}
	return nil
}

// systems returns the file systems, in order.
func (rep *report) systems() (names []string) {
	for _, s := range rep.Scenes {
		if s.System != "" && !slices.Contains(names, s.System) {
			names = append(names, s.System)
		}
	}
	return names
}

// print writes the report as Markdown.
func (rep *report) print(w io.Writer) error {
	out := &printer{w: w}
	out.line("Measured on %s: %s.\n", rep.Date, rep.Machine)
	for _, s := range specs {
		if len(s.modules) > 0 {
			out.line("- %s: %s", s.name, versions(s.modules))
		}
	}
	rep.printClaims(out)
	for _, system := range append(rep.systems(), "") {
		rep.printSystem(out, system)
	}
	return out.err
}

// A printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) row(cells ...string) { p.line("| %s |", strings.Join(cells, " | ")) }

func (p *printer) header(cells ...string) {
	p.row(cells...)
	p.line("|%s", strings.Repeat(" --- |", len(cells)))
}

// printSystem writes one table for the scenes that have this project's files, with
// a column for each other contender, and one for each of the rest.
func (rep *report) printSystem(out *printer, system string) {
	var rows, rest []*scene
	var columns []string
	for i := range rep.Scenes {
		s := &rep.Scenes[i]
		switch {
		case s.System != system:
		case s.result(nameFiles) == nil || s.Operation == "load":
			rest = append(rest, s)
		default:
			rows = append(rows, s)
			for _, r := range s.Results {
				if r.Name != nameFiles && !slices.Contains(columns, r.Name) {
					columns = append(columns, r.Name)
				}
			}
		}
	}
	if len(rows) > 0 {
		out.line("\n## %s: µs, and in brackets the time of files as a part of it\n", system)
		out.header(append([]string{"operation", nameFiles + " (quartiles; allocations)"}, columns...)...)
		for _, s := range rows {
			ours := s.result(nameFiles)
			cells := []string{s.title(), fmt.Sprintf("**%s** (%s–%s; %.0f)", micros(ours.Nanos), micros(ours.Low), micros(ours.High), ours.Allocs)}
			for _, name := range columns {
				cell := "–"
				if r := s.result(name); r != nil && r.Failure != "" {
					cell = "fails"
				} else if r != nil {
					cell = fmt.Sprintf("%s (%.2f)", micros(r.Nanos), ours.beside(r))
				}
				cells = append(cells, cell)
			}
			out.row(cells...)
		}
	}
	for _, s := range rest {
		out.line("\n### %s\n", strings.TrimPrefix(system+": "+s.title(), ": "))
		out.header("", "µs (quartiles)", "beside the first", "allocations", "bytes allocated")
		for i := range s.Results {
			r := &s.Results[i]
			allocs, bytes := fmt.Sprintf("%.0f", r.Allocs), fmt.Sprintf("%.0f", r.Bytes)
			if r.Bytes == 0 { // a program's
				allocs, bytes = "–", "–"
			}
			out.row(r.Name, fmt.Sprintf("%s (%s–%s)", micros(r.Nanos), micros(r.Low), micros(r.High)),
				fmt.Sprintf("%.2f", r.beside(&s.Results[0])), allocs, bytes)
		}
	}
}

// title names a scene's conditions as far as they are not the usual ones.
func (s *scene) title() string {
	title := s.Operation + ", " + s.Size
	if s.Sessions > full.sessions {
		title += fmt.Sprintf(", %d sessions", s.Sessions)
	}
	if s.Goroutines > 1 {
		title += fmt.Sprintf(", %d goroutines", s.Goroutines)
	}
	if s.Processes > 1 {
		title += fmt.Sprintf(", %d processes", s.Processes)
	}
	return title
}

func micros(nanos float64) string {
	if nanos < 9950 {
		return fmt.Sprintf("%.2f", nanos/1000)
	}
	return fmt.Sprintf("%.1f", nanos/1000)
}
