package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var generate = flag.Bool("generate", false, "write the files that are made from the flags")

// manDate is the date of the last change to the text of the manual page.
const manDate = "November 21, 2026"

// "go generate" writes the files by this test.
func TestGeneratedFilesAreThoseOfTheFlags(t *testing.T) {
	c, err := parseArgs([]string{"--help"})
	if err != nil {
		t.Fatal(err)
	}
	texts := c.texts()
	for name, want := range map[string]string{
		"sessowner.8":                texts.Manual(manDate),
		"completions/sessowner.bash": texts.Bash(),
		"completions/_sessowner":     texts.Zsh(),
		"completions/sessowner.fish": texts.Fish(),
	} {
		name = filepath.FromSlash(name)
		if *generate {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(string(got), "\r\n", "\n") != want { // as Git may have it on Windows
			t.Errorf("%s is not made from the flags as they are: run go generate", name)
		}
	}
}
