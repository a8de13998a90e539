package main

import (
	"testing"

	"github.com/sessfs/sessions/internal/command/commandtest"
)

// manDate is the date of the last change to the text of the manual page.
const manDate = "November 21, 2026"

// "go generate" writes the files by this test.
func TestGeneratedFilesAreThoseOfTheFlags(t *testing.T) {
	c, err := parseArgs([]string{"--help"})
	if err != nil {
		t.Fatal(err)
	}
	commandtest.Generated(t, c.texts(), manDate)
}
