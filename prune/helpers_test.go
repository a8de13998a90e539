package prune_test

import (
	"context"
	"os"
	"testing"

	"github.com/sessfs/sessions/internal/filetest"
	"github.com/sessfs/sessions/prune"
)

var background = context.Background()

var (
	save        = filetest.Save
	get         = filetest.Get
	names       = filetest.Names
	exists      = filetest.Exists
	age         = filetest.Age
	runInBubble = filetest.RunInBubble
)

// openRoot opens a directory until the test ends.
func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// run prunes a directory without a store.
func run(t *testing.T, dir string, o prune.Options) prune.Report {
	t.Helper()
	report, err := prune.Run(background, openRoot(t, dir), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}
