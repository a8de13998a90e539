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
// of their own, made by the README's command, whose go.sum is then what every
// importer gets.
func TestReadmesProgramsBuildAndImportLittle(t *testing.T) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeReadmesPrograms(t, dir)
	commands := []string{"go mod init example.com/newcomer"}
	for _, text := range readmeBlocks(t, "sh") {
		if strings.HasPrefix(text, "go mod edit ") {
			commands = append(commands, strings.Split(text, " && ")...)
		}
	}
	commands = append(commands, "go vet ./...", "go build -o "+os.DevNull+" ./...")
	for _, command := range commands {
		args := strings.Fields(command)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "/path/to/checkout", root)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			if strings.Contains(string(out), "dial tcp") {
				t.Skipf("needs the network: %s", out)
			}
			t.Fatalf("%s: %v\n%s", command, err, out)
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

// writeReadmesPrograms writes the README's programs. The first is whole; the
// others are parts of one.
func writeReadmesPrograms(t *testing.T, dir string) {
	t.Helper()
	programs := readmeBlocks(t, "go")
	if len(programs) == 0 || !strings.HasPrefix(programs[0], "package main\n") {
		t.Fatal("the README has no whole program")
	}
	for i, text := range programs {
		switch {
		case strings.HasPrefix(text, "package main\n"):
		case strings.HasPrefix(text, "func "):
			text = readmeImports + "var store sessions.SessionStore\n\nfunc main() { http.HandleFunc(\"/\", handle) }\n\n" + text
		default:
			text = strings.ReplaceAll(text, "…", "if err != nil { panic(err) }")
			text = readmeImports + "func main() {\n" + text + "\n_ = mw\n}\n"
		}
		path := filepath.Join(dir, fmt.Sprint("program", i), "main.go")
		if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
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
