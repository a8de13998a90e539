package integration

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// screenshotsVariable names a directory for pictures of all pages.
const screenshotsVariable = "SESSIONS_SCREENSHOTS"

// A look is a window of a size and a colour scheme.
type look struct {
	width  int
	scheme string
}

var looks = []look{{390, "light"}, {390, "dark"}, {1280, "light"}, {1280, "dark"}}

// Axe is a program that checks pages for barriers: poor contrast, controls
// without a name, headings out of order.
func TestNotebookIsForAllVisitors(t *testing.T) {
	browser, axe, exe := chromium(t), axeScript(t), buildNotebook(t)
	url, inCookies := startNotebook(t, exe, "files"), startNotebook(t, exe, "cookies")
	b := openTab(t, browser)
	check := func(page string) {
		t.Helper()
		for _, look := range looks {
			b.check(axe, page, look)
		}
	}
	b.open(url)
	check("notes-none")
	b.open(url + "/hood")
	check("hood-new")
	b.open(url)
	for _, text := range []string{"Milk, bread, and the thing for the sink.", strings.Repeat("long", 60), "A third note\nof two lines."} {
		b.fill("text", text)
		b.submit("/notes")
	}
	check("notes")
	b.fill("name", "Ann")
	b.submit("/login")
	b.open(url + "/hood")
	b.submit("/hood/count")
	b.submit("/hood/twenty")
	check("hood-files")
	b.open(url)
	b.run("document.querySelector('textarea').required = false", nil)
	b.submit("/notes")
	check("refused")

	openTab(t, browser).login(url)
	b.press("Where you are logged in")
	check("sessions")
	b.press("End Chrome on Linux, 127.0.0.1")
	check("sessions-question")
	b.press("Yes, end it")
	b.submit("/logout")
	b.press("Where you are logged in")
	check("sessions-none")

	b.open(inCookies + "/hood")
	b.submit("/hood/twenty")
	check("hood-cookies")
	b.login(inCookies)
	b.press("Where you are logged in")
	check("sessions-cookies")
}

// Two browsers of one user: each sees the other, and ends it by the keyboard
// alone, without a script of the page.
func TestNotebookEndsTheSessionsOfAnotherBrowser(t *testing.T) {
	browser := chromium(t)
	url := startNotebook(t, buildNotebook(t), "files")
	here, there := openTab(t, browser), openTab(t, browser)
	here.login(url)
	there.login(url)
	here.press("Where you are logged in")
	here.wants("Chrome on Linux, 127.0.0.1\n", "this browser", "Ends unused in")
	here.press("End Chrome on Linux, 127.0.0.1")
	here.wants("End this session?")
	there.press("Notes")
	there.wants("You are Ann")
	here.press("Yes, end it")
	here.wants("The session is ended.")
	there.press("Notes") // its next click
	there.wants("Log in")
	here.press("Notes")
	here.wants("You are Ann")

	there.login(url)
	here.press("Where you are logged in")
	here.press("Log out everywhere but here")
	here.press("Yes, log out everywhere else")
	here.wants("Sessions that were ended: 1.")
	there.fill("text", "written too late")
	there.submit("/notes")
	there.wants("Log in", "written too late") // in a notebook without an owner
	here.press("Notes")
	here.wants("You are Ann", "None yet.")

	there.login(url)
	here.press("Where you are logged in")
	here.press("Log out everywhere")
	here.press("Yes, log out everywhere")
	here.wants("You are logged out everywhere", "Nowhere, as far as this browser knows")
	there.press("Where you are logged in")
	there.wants("Nowhere, as far as this browser knows")
}

// login logs in as Ann.
func (b *tab) login(url string) {
	b.t.Helper()
	b.open(url)
	b.fill("name", "Ann")
	b.submit("/login")
	b.wants("You are Ann")
}

// The button in a browser, which keeps the cookies by its own rules.
func TestNotebookKeepsTwentyChangesOrTheLast(t *testing.T) {
	browser, exe := chromium(t), buildNotebook(t)
	servers := map[string]string{"20 of 20": startNotebook(t, exe, "files"), "1 of 20": startNotebook(t, exe, "cookies")}
	b := openTab(t, browser)
	for want, url := range servers {
		b.open(url + "/hood")
		for run := 1; run <= 2; run++ {
			b.submit("/hood/twenty")
			var text string
			b.run("document.querySelector('#twenty').parentElement.innerText", &text)
			if !strings.Contains(text, want+" changes are there") {
				t.Errorf("run %d: got %s\nwant %s", run, text, want)
			}
		}
	}
}

// check runs axe on the page as it is, and takes a picture of it.
func (b *tab) check(axe, page string, l look) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": l.width, "height": 900, "deviceScaleFactor": 1, "mobile": l.width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": l.scheme}}}, nil)
	name := fmt.Sprintf("%s-%d-%s", page, l.width, l.scheme)
	var seen struct {
		Width, Passes int
		Dark          bool
		Violations    []struct {
			ID, Help string
			Nodes    []struct{ HTML, FailureSummary string }
		}
	}
	b.run(axe+`;axe.run().then(r => ({violations: r.violations, passes: r.passes.length,
		width: document.documentElement.scrollWidth, dark: matchMedia("(prefers-color-scheme: dark)").matches}))`, &seen)
	for _, v := range seen.Violations {
		b.t.Errorf("%s: %s: %s: %+v", name, v.ID, v.Help, v.Nodes)
	}
	if seen.Passes < 10 || seen.Dark != (l.scheme == "dark") {
		b.t.Errorf("%s: axe passed %d rules, dark %v", name, seen.Passes, seen.Dark)
	}
	if seen.Width > l.width {
		b.t.Errorf("%s: the page is %d pixels wide", name, seen.Width)
	}
	if dir := os.Getenv(screenshotsVariable); dir != "" {
		var picture struct{ Data string }
		b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &picture)
		data, err := base64.StdEncoding.DecodeString(picture.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
}

// axeScript gets axe-core, which is not kept here, by npm.
func axeScript(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("skipped: no npm: ", err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--fetch-retries=0", "--cache", filepath.Join(dir, "cache"), "axe-core@4.11.0")
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("skipped: npm has no axe-core: %v: %s", err, out)
	}
	file, err := os.Open(filepath.Join(dir, "axe-core-4.11.0.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(unzipped); ; {
		entry, err := archive.Next()
		if err != nil {
			t.Fatal(err)
		}
		if entry.Name == "package/axe.min.js" {
			script, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			return string(script)
		}
	}
}

var notebookURL = regexp.MustCompile(`http://localhost:[0-9]+`)

// buildNotebook builds the example.
func buildNotebook(t *testing.T) (exe string) {
	t.Helper()
	exe = filepath.Join(t.TempDir(), "notebook")
	build := exec.Command("go", "build", "-o", exe, "./examples/notebook")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exe
}

// startNotebook starts the example with a store of its own, and returns its
// address.
func startNotebook(t *testing.T, exe, store string) string {
	t.Helper()
	cmd := exec.Command(exe, "-addr", "localhost:0", "-store", store)
	cmd.Dir = t.TempDir()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("notebook: %v", err)
		}
	})
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if url := notebookURL.FindString(lines.Text()); url != "" {
			go io.Copy(io.Discard, stderr)
			return url
		}
	}
	t.Fatal("the notebook ended without printing its address")
	return ""
}
