// Package docs has the guides. Its tests build and run their programs.
package docs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	// The peers of the programs, for go.mod.
	_ "github.com/alexedwards/scs/boltstore"
	_ "github.com/alexedwards/scs/v2"
	_ "github.com/gorilla/sessions"
	_ "go.etcd.io/bbolt"

	_ "github.com/sessfs/sessions"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// Each whole program of a guide is the same application: it greets a visitor, and
// until the logout a user by name.
func TestGuidesProgramsGreetWelcomeAndLogOut(t *testing.T) {
	guides, err := filepath.Glob("*.md")
	if err != nil || len(guides) == 0 {
		t.Fatalf("found %d guides: %v", len(guides), err)
	}
	tried := map[string]bool{} // several guides end with the same one
	for _, guide := range guides {
		for i, program := range programsOf(t, guide) {
			if strings.HasPrefix(program, "package main\n") && !tried[program] {
				tried[program] = true
				t.Run(fmt.Sprint(guide, i), func(t *testing.T) { testApplication(t, serve(t, program)) })
			}
		}
	}
	if len(tried) != 4 {
		t.Errorf("found %d programs, want four: files, cookies and two peers", len(tried))
	}
}

// The other programs of the guides are parts of a program.
func TestGuidesPartsOfProgramsBuild(t *testing.T) {
	part := ""
	for _, program := range programsOf(t, "werkzeug.md") {
		if strings.HasPrefix(program, "func handle(") {
			part = program
		}
	}
	if part == "" {
		t.Fatal("werkzeug.md has no handler by hand")
	}
	build(t, "package main\n\nimport (\n\"fmt\"\n\"net/http\"\n\n\"github.com/sessfs/sessions\"\n)\n\n"+
		"var store sessions.SessionStore\n\nfunc main() { http.HandleFunc(\"/\", handle) }\n\n"+part)
}

func programsOf(t *testing.T, guide string) (programs []string) {
	t.Helper()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range goBlock.FindAllSubmatch(text, -1) {
		programs = append(programs, string(m[1]))
	}
	return programs
}

// build builds a program as a package of this module, in a directory elsewhere,
// and returns the path of its executable.
func build(t *testing.T, program string) string {
	t.Helper()
	if _, err := os.Stat("../go.mod"); err != nil {
		t.Skip("skipped: not in a checkout: ", err)
	}
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	mod = bytes.Replace(mod, []byte("=> ../"), []byte("=> "+root), 1)
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o600),
		os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600),
		os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"vet", "."}, {"build", "-o", "application", "."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s\n%s", args[0], err, out, program)
		}
	}
	return filepath.Join(dir, "application")
}

// serve runs a program on a free port, and returns its address.
func serve(t *testing.T, program string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	address := "localhost:" + port
	if !strings.Contains(program, `"localhost:8080"`) {
		t.Fatal("the program does not listen on localhost:8080")
	}
	cmd := exec.Command(build(t, strings.Replace(program, "localhost:8080", address, 1)))
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "SESSION_KEY=a secret of 32 bytes, for cookies", "SESSION_KEYS="+newKey(t))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() // its error is the kill
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	})
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return "http://" + address
		}
		select {
		case <-ended:
			t.Fatalf("the program has ended: %s", log.Bytes())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// newKey makes a key by the command in cookies.md.
func newKey(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "run", "./securecookie/keygen")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func testApplication(t *testing.T, site string) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	read := func(resp *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		return string(text)
	}
	name := url.Values{"name": {"Ann"}}
	for _, step := range []struct {
		got, greeting string
		welcome       bool
	}{
		{read(client.Get(site + "/")), "Please log in.", false},
		{read(client.PostForm(site+"/login", name)), "Hello, Ann", true},
		{read(client.Get(site + "/")), "Hello, Ann", false},
		{read(client.PostForm(site+"/logout", nil)), "Please log in.", false},
		{read(client.Get(site + "/")), "Please log in.", false},
	} {
		if !strings.HasPrefix(step.got, step.greeting) || strings.Contains(step.got, "Welcome") != step.welcome {
			t.Errorf("got %q, want %q, welcome %v", step.got, step.greeting, step.welcome)
		}
	}
}
