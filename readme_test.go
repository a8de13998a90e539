package sessions_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The README's program is built as a newcomer would build it: in a module of
// its own, made by the README's command, whose go.sum is then that of every
// importer.
func TestReadmesProgramCountsAndImportsLittle(t *testing.T) {
	dir := t.TempDir()
	address := freeAddress(t)
	program := strings.Replace(readmesBlocks(t, "go", 1)[0], "localhost:8080", address, 1)
	if lines := strings.Count(program, "\n"); lines > 45 {
		t.Errorf("the program has %d lines, want 45 at most", lines)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	buildInNewModule(t, dir)
	checkSums(t, filepath.Join(dir, "go.sum"))

	cmd := exec.Command(filepath.Join(dir, "newcomer"))
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // its error is the kill
	defer cmd.Process.Kill()
	if got, want := visitThrice(t, "http://"+address), "visits: 3\n"; got != want {
		t.Errorf("after three visits got %q, want %q", got, want)
	}
	checkHead(t, dir)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return "localhost:" + port
}

// buildInNewModule runs the README's commands for a module of one's own.
func buildInNewModule(t *testing.T, dir string) {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, text := range readmesBlocks(t, "sh", 2) {
		if !strings.HasPrefix(text, "go mod init ") {
			continue
		}
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			commands = append(commands, strings.Split(line, " && ")...)
		}
	}
	if last := len(commands) - 1; last < 3 || strings.TrimSpace(commands[last]) != "go run ." {
		t.Fatalf("the README's commands are %q, want some, and go run at last", commands)
	} else {
		commands = append(commands[:last], "go vet ./...", "go build -o newcomer .")
	}
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
}

func checkSums(t *testing.T, path string) {
	t.Helper()
	sums, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"github.com/gofrs/flock", "github.com/google/uuid", "golang.org/x/sys",
		"github.com/stretchr/testify", "go.yaml.in/yaml/v3", // of the tests of flock
	}
	for line := range strings.Lines(string(sums)) {
		module, _, _ := strings.Cut(line, " ")
		if !slices.Contains(allowed, module) {
			t.Errorf("an importer's go.sum has %s", module)
		}
	}
}

// visitThrice returns the page of the last visit. The first waits for the server.
func visitThrice(t *testing.T, site string) (page string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	resp, err := client.Get(site)
	for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); resp, err = client.Get(site) {
		time.Sleep(10 * time.Millisecond)
	}
	for n := 1; err == nil; n++ {
		text, readErr := io.ReadAll(resp.Body)
		if err := errors.Join(readErr, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if n == 3 {
			return string(text)
		}
		resp, err = client.Get(site)
	}
	t.Fatal(err)
	return ""
}

// checkHead runs the README's command that shows a session's file. Times and
// checksums are the run's own.
func checkHead(t *testing.T, dir string) {
	t.Helper()
	readme := readText(t, "README.md")
	m := regexp.MustCompile("`(head .*?)` shows\n\n```text\n((?s:.*?))```").FindStringSubmatch(readme)
	if m == nil {
		t.Fatal("the README shows no session's file")
	}
	if _, err := exec.LookPath("head"); err != nil {
		t.Skip("skipped: no head: ", err)
	}
	cmd := exec.Command("/bin/sh", "-c", m[1])
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var changing = regexp.MustCompile(`created=\S+|\b[0-9a-f]{8,}\b`)
	got, want := changing.ReplaceAllString(string(out), "…"), changing.ReplaceAllString(m[2], "…")
	if got != want {
		t.Errorf("%s\ngot  %q\nwant %q", m[1], got, want)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readmesBlocks returns the README's code blocks of a language.
func readmesBlocks(t *testing.T, language string, atLeast int) (blocks []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(readText(t, "README.md"), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) < atLeast {
		t.Fatalf("the README has %d blocks of %s, want %d", len(blocks), language, atLeast)
	}
	return blocks
}

// texts are the Markdown files that a newcomer or an operator reads.
func texts(t *testing.T) (paths []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "cmd/*/README.md", "bench/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: found %d: %v", pattern, len(found), err)
		}
		paths = append(paths, found...)
	}
	return paths
}

// Each command's own tests run it.
func TestReadmesCommandsNameExistingPrograms(t *testing.T) {
	command := regexp.MustCompile(`(?:cd (\w+) && )?(?:sudo )?go (?:run|build -o \S+) (\./\S+?)[\s` + "`" + `]`)
	found := map[string]bool{}
	for _, path := range texts(t) {
		for _, m := range command.FindAllStringSubmatch(readText(t, path), -1) {
			if found[m[0]] {
				continue
			}
			found[m[0]] = true
			cmd := exec.Command("go", "vet", m[2])
			cmd.Dir = m[1]
			if out, err := cmd.CombinedOutput(); err != nil {
				if strings.Contains(string(out), "dial tcp") {
					t.Skipf("needs the network: %s", out)
				}
				t.Errorf("%s: %s: %v\n%s", path, m[0], err, out)
			}
		}
	}
	if len(found) < 4 {
		t.Errorf("found %d commands", len(found))
	}
}

// A link leads to a file, and the name of a test in the texts to a test.
func TestReadmesLinksAndNamesOfTestsExist(t *testing.T) {
	sources, err := exec.Command("grep", "-rhoE", "--include=*_test.go", `^func (Test|Fuzz)\w+`, ".").Output()
	if err != nil {
		t.Skip("skipped: no grep: ", err)
	}
	tests := strings.Fields(strings.ReplaceAll(string(sources), "func ", ""))
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	link, name := regexp.MustCompile(`\]\(([^):#]+)[^):]*\)`), regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`")
	for _, path := range texts(t) {
		text := readText(t, path)
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		for _, m := range name.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(tests, m[1]) {
				t.Errorf("%s: no test is named %s", path, m[1])
			}
		}
	}
}

// A row names its tests, which TestReadmesLinksAndNamesOfTestsExist looks for, or
// is all the application's.
func TestSecurityTablesAreCompleteAndEachRowNamesItsTest(t *testing.T) {
	_, text, _ := strings.Cut(readText(t, "SECURITY.md"), "\n## OWASP ASVS 5.0, chapter 7")
	asvs, nist, found := strings.Cut(text, "\n## NIST SP 800-63B-4\n")
	if !found {
		t.Fatal("SECURITY.md has no two tables")
	}
	tests := regexp.MustCompile("^`(Test|Fuzz)\\w+`(, `(Test|Fuzz)\\w+`)*$")
	for _, table := range []struct{ name, text, want string }{
		{"ASVS", asvs, "7.1.1 7.1.2 7.1.3 7.2.1 7.2.2 7.2.3 7.2.4 7.3.1 7.3.2 7.4.1 7.4.2 7.4.3 7.4.4 7.4.5 7.5.1 7.5.2 7.5.3 7.6.1 7.6.2"},
		{"NIST", nist, "2.1 2.2 2.3 5.1 5.1.1 5.2 5.3"},
	} {
		var rows []string
		for _, line := range regexp.MustCompile(`(?m)^\| \d.*$`).FindAllString(table.text, -1) {
			cells := strings.Split(line, "|")
			if len(cells) != 7 {
				t.Fatalf("%s: the row has %d cells, want 5: %s", table.name, len(cells)-2, line)
			}
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			rows = append(rows, cells[1])
			if !tests.MatchString(cells[4]) && (cells[4] != "" || cells[5] != "all of it") {
				t.Errorf("%s %s: got the tests %q; want some, or a row that is all the application's", table.name, cells[1], cells[4])
			}
		}
		if got := strings.Join(slices.Compact(rows), " "); got != table.want {
			t.Errorf("%s: got the rows %s\nwant %s", table.name, got, table.want)
		}
	}
}

// ARCHITECTURE names files that exist, and in its table the functions of those files.
func TestArchitectureNamesFilesAndFunctionsThatExist(t *testing.T) {
	text := readText(t, "ARCHITECTURE.md")
	file := regexp.MustCompile(`[a-z_/]+\.go`)
	inFile := regexp.MustCompile("([a-z_/]+\\.go), ((?:`\\w+`(?: and )?)+)")
	for _, path := range file.FindAllString(text, -1) {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	_, table, _ := strings.Cut(text, "## Where to change")
	found := 0
	for _, m := range inFile.FindAllStringSubmatch(table, -1) {
		source := readText(t, m[1])
		for _, name := range strings.Fields(strings.NewReplacer("`", "", " and ", " ").Replace(m[2])) {
			found++
			if !regexp.MustCompile(`(?m)^(func|type) (\([^)]*\) )?` + name + `\b`).MatchString(source) {
				t.Errorf("%s has no %s", m[1], name)
			}
		}
	}
	if found < 15 {
		t.Errorf("found %d names", found)
	}
}
