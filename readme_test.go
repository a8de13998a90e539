package sessions_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The README's programs are built as a newcomer would build them: in a module
// of their own, whose go.sum is then what every importer gets. The first is
// whole; the others are parts of one.
func TestReadmesProgramsBuildAndImportLittle(t *testing.T) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{
		"go.mod": "module example.com/newcomer\n\ngo 1.26.0\n\nrequire github.com/sessfs/sessions v0.0.0\n\n" +
			"replace github.com/sessfs/sessions => " + root + "\n",
	}
	programs := readmeBlocks(t, "go")
	for i, text := range programs {
		switch {
		case strings.HasPrefix(text, "package main\n"):
		case strings.HasPrefix(text, "func "):
			text = readmeImports + "var store sessions.SessionStore\n\nfunc main() { http.HandleFunc(\"/\", handle) }\n\n" + text
		default:
			text = strings.ReplaceAll(text, "…", "if err != nil { panic(err) }")
			text = readmeImports + "func main() {\n" + text + "\n_ = mw\n}\n"
		}
		files[fmt.Sprintf("program%d/main.go", i)] = text
	}
	if len(programs) == 0 || !strings.HasPrefix(programs[0], "package main\n") {
		t.Fatal("the README has no whole program")
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"vet", "./..."}, {"build", "-o", os.DevNull, "./..."}} {
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

// readmeImports begin a program that a part of the README is put into.
const readmeImports = `package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

var _, _, _, _, _ = fmt.Sprint, http.NotFound, os.Getenv, time.Now, securecookie.ParseKeys

`

// readmeBlocks returns the README's code blocks of a language.
func readmeBlocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(readme, -1) {
		blocks = append(blocks, string(m[1]))
	}
	return blocks
}

// Each command's own tests run it.
func TestReadmesCommandsNameWhatIsThere(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile(`(?:cd (\w+) && )?go (?:run|build -o \S+) (\./\S+?)[\s`+"`"+`]`).FindAllStringSubmatch(string(readme), -1) {
		found++
		cmd := exec.Command("go", "vet", m[2])
		cmd.Dir = m[1]
		if out, err := cmd.CombinedOutput(); err != nil {
			if strings.Contains(string(out), "dial tcp") {
				t.Skipf("needs the network: %s", out)
			}
			t.Errorf("%s: %v\n%s", m[0], err, out)
		}
	}
	if found < 5 {
		t.Errorf("found %d commands", found)
	}
}
