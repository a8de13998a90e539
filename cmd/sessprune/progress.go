package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

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
	return !c.quiet && !c.verbose && isTerminal(w)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	if err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, but no terminal
	return err != nil || !os.SameFile(fi, null)
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
