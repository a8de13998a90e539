package sessions_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The README's program is built as a newcomer would build it: in a module of
// its own, whose go.sum is then what every importer gets.
func TestProgramOfTheReadmeBuildsAndImportsLittle(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\npackage main")
	program, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the README has no program")
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.go": "package main" + program,
		"go.mod": "module example.com/newcomer\n\ngo 1.26.0\n\nrequire github.com/sessfs/sessions v0.0.0\n\n" +
			"replace github.com/sessfs/sessions => " + root + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"vet", "."}, {"build", "-o", os.DevNull, "."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			if args[0] == "mod" && strings.Contains(string(out), "dial tcp") {
				t.Skipf("needs the network: %s", out)
			}
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"github.com/google/uuid", "golang.org/x/sys"}
	for line := range strings.Lines(string(sums)) {
		module, _, _ := strings.Cut(line, " ")
		if !slices.Contains(allowed, module) {
			t.Errorf("an importer's go.sum has %s", module)
		}
	}
}
