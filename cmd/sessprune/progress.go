package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sessfs/sessions/internal/command"
	"github.com/sessfs/sessions/prune"
)

// showsProgress reports whether to draw a progress bar.
func showsProgress(c *config, w io.Writer) bool {
	switch c.progress {
	case "always":
		return true
	case "never":
		return false
	}
	return !c.quiet && !c.verbose && command.IsTerminal(w)
}

// progressBar returns functions that draw a bar, always in the same line, and wipe it
// at the end.
func progressBar(w io.Writer) (draw func(prune.Progress), end func()) {
	const width = 30
	draw = func(p prune.Progress) {
		done := min(1, float64(p.Entries)/float64(max(p.Total, 1)))
		if p.Total == 0 {
			done = 1
		}
		full := int(done * width)
		fmt.Fprintf(w, "\r[%s%s] %3.0f%%  %s of %s, %s removed, %s ",
			strings.Repeat("#", full), strings.Repeat(" ", width-full), 100*done,
			count(p.Entries), count(p.Total), count(p.Removed), p.Elapsed.Round(time.Second))
	}
	return draw, func() { fmt.Fprintf(w, "\r%s\r", strings.Repeat(" ", width+60)) }
}
