package main

import (
	"bufio"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sessfs/sessions/examples/notebook/internal/notebook"
	"github.com/sessfs/sessions/securecookie"
)

// TestMain is the program itself when the environment asks for it.
func TestMain(m *testing.M) {
	if os.Getenv("NOTEBOOK_TEST_MAIN") != "" {
		main()
		return
	}
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// A visitor is a browser with its cookies.
type visitor struct {
	t      *testing.T
	base   string
	client *http.Client
}

func newVisitor(t *testing.T, base string) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return visitor{t, base, &http.Client{Jar: jar}}
}

// visit makes a visitor of a server with sessions of its own.
func visit(t *testing.T, where string) visitor {
	t.Helper()
	store, err := notebook.Open(where, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := notebook.New(store)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newVisitor(t, server.URL)
}

// do makes a request, follows redirects and returns the page, unescaped.
func (v visitor) do(method, path string, form url.Values) (status int, page string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, html.UnescapeString(string(body))
}

func (v visitor) get() string {
	v.t.Helper()
	status, page := v.do(http.MethodGet, "/", nil)
	if status != http.StatusOK {
		v.t.Fatalf("got %d: %s", status, page)
	}
	return page
}

// post sends a form: post("/login", "name", "Ann").
func (v visitor) post(path string, fields ...string) (status int, page string) {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return v.do(http.MethodPost, path, form)
}

// cookie is the Cookie header of the browser, "" when it has none.
func (v visitor) cookie() string {
	v.t.Helper()
	u, err := url.Parse(v.base)
	if err != nil {
		v.t.Fatal(err)
	}
	var all []string
	for _, c := range v.client.Jar.Cookies(u) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

// inBothStores runs a test with sessions in files and in cookies.
func inBothStores(t *testing.T, test func(*testing.T, visitor)) {
	for _, where := range []string{"files", "cookies"} {
		t.Run(where, func(t *testing.T) { test(t, visit(t, where)) })
	}
}

func wantIn(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("no %q in %s", text, page)
		}
	}
}

func wantNotIn(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(page, text) {
			t.Errorf("%q in %s", text, page)
		}
	}
}

func TestLoginKeepsAVisitorsNotes(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		v.post("/notes", "text", "anonymous note")
		_, page := v.post("/login", "name", "Ann")
		wantIn(t, page, "Welcome, Ann.", "anonymous note")
		_, page = v.post("/login", "name", "Ann") // in a tab that still shows the form
		wantIn(t, page, "Welcome, Ann.", "anonymous note")
		_, page = v.post("/logout")
		wantIn(t, page, "You are logged out")
		wantNotIn(t, v.get(), "anonymous note", "Ann")
	})
}

func TestLoginAsSomebodyElseStartsFromNothing(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		v.post("/login", "name", "Ann", "remember", "on")
		v.post("/notes", "text", "of Ann")
		anns := v.cookie()

		// The cookie of the answer to Bob's login.
		v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		resp, err := v.client.PostForm(v.base+"/login", url.Values{"name": {"Bob"}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		v.client.CheckRedirect = nil
		for _, c := range resp.Cookies() {
			if c.MaxAge > 0 {
				t.Errorf("Bob is remembered, for %d s, since Ann wanted to be", c.MaxAge)
			}
		}
		page := v.get()
		wantIn(t, page, "Welcome, Bob.", "None yet.")
		wantNotIn(t, page, "of Ann", "Noted.", "Ann")
		if v.cookie() == anns {
			t.Error("Bob has Ann's cookie")
		}
	})
}

func TestLoginEndsTheSessionBefore(t *testing.T) {
	for _, before := range []string{"", "Ann", "Bob"} {
		v := visit(t, "files")
		v.post("/notes", "text", "written before")
		if before != "" {
			v.post("/login", "name", before)
		}
		copied := v.cookie()
		v.post("/login", "name", "Bob")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.base, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", copied)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		wantNotIn(t, string(page), "written before", "You are")
	}
}

func TestLoginWithoutRememberForgetsTheFormerChoice(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		for _, remember := range []string{"on", ""} {
			resp, err := v.client.PostForm(v.base+"/login", url.Values{"name": {"Ann"}, "remember": {remember}})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			cookies := resp.Cookies()
			if len(cookies) != 1 || (cookies[0].MaxAge > 0) != (remember != "") {
				t.Errorf("remember=%q: got %v", remember, cookies)
			}
		}
	})
}

func TestBodyThatIsTooLargeIsRefusedReadably(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		v.post("/notes", "text", "kept")
		for _, path := range []string{"/notes", "/login", "/logout"} {
			status, page := v.post(path, "text", strings.Repeat("x", 200<<10))
			if status != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: got %d, want 413", path, status)
			}
			wantIn(t, page, "<h1>", "more than this server reads")
		}
		wantIn(t, v.get(), "kept")
	})
}

func TestFormThatIsNoneIsRefusedReadably(t *testing.T) {
	v := visit(t, "files")
	resp, err := v.client.Post(v.base+"/notes", "application/x-www-form-urlencoded", strings.NewReader("text=%zz"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %d, want 400", resp.StatusCode)
	}
}

func TestQueryThatIsNoFormIsNoMatter(t *testing.T) {
	v := visit(t, "files")
	if status, _ := v.do(http.MethodGet, "/?a;b=%zz", nil); status != http.StatusOK {
		t.Errorf("got %d, want 200", status)
	}
}

// Two clicks on a button, or two tabs: the requests carry the same cookie. A
// login that finds the session ended begins one of its own.
func TestLoginsAtOnceBothWork(t *testing.T) {
	server := visit(t, "files")
	for range 50 {
		v := newVisitor(t, server.base)
		v.get()
		v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		answers := make(chan error)
		for range 2 {
			go func() {
				resp, err := v.client.PostForm(v.base+"/login", url.Values{"name": {"Ann"}})
				if err == nil {
					resp.Body.Close()
					if resp.StatusCode != http.StatusSeeOther {
						err = errors.New(resp.Status)
					}
				}
				answers <- err
			}()
		}
		for range 2 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		v.client.CheckRedirect = nil
		wantIn(t, v.get(), "You are <strong>Ann")
	}
}

func TestHEADLeavesTheMessages(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		v.post("/notes", "text", "a note") // leaves "Noted." for the next page
		if status, _ := v.do(http.MethodHead, "/", nil); status != http.StatusOK {
			t.Errorf("got %d", status)
		}
		wantIn(t, v.get(), "Noted.")
		wantNotIn(t, v.get(), "Noted.")
	})
}

func TestFirstPageGivesASession(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		if v.do(http.MethodHead, "/", nil); v.cookie() != "" {
			t.Errorf("HEAD: got a session: %s", v.cookie())
		}
		wantIn(t, v.get(), "opened at ")
		if v.cookie() == "" {
			t.Error("GET: got no session")
		}
	})
}

func TestPageSaysWhereTheSessionIsKept(t *testing.T) {
	for where, sentence := range map[string]string{"files": "kept in files, in <code>" + os.TempDir(), "cookies": "kept in sealed cookies:"} {
		v := visit(t, where)
		wantIn(t, v.get(), sentence)
		_, page := v.post("/notes", "text", "")
		wantIn(t, page, sentence)
	}
}

func TestNoteThatDoesNotFitIntoCookiesIsShownAgain(t *testing.T) {
	v := visit(t, "cookies")
	long := func(i int) string { return fmt.Sprintf("note %02d ", i) + strings.Repeat("x", 490) }
	for i := range 100 {
		status, page := v.post("/notes", "text", long(i))
		if status == http.StatusOK {
			continue
		}
		if i < 15 || status != http.StatusRequestEntityTooLarge {
			t.Errorf("note %d: got %d, want 413", i, status)
		}
		wantIn(t, page, "Your notebook is full", ">"+long(i)+"</textarea>", "kept in sealed cookies", `href="/"`)
		page = v.get()
		wantIn(t, page, long(i-1))
		wantNotIn(t, page, long(i))
		_, page = v.post("/notes", "text", "short")
		wantIn(t, page, "Noted.", "short", long(i-1))
		_, page = v.post("/logout") // the way out
		wantIn(t, page, "Your notes are gone.", "None yet.")
		return
	}
	t.Error("nothing was refused")
}

func TestLengthsAreCountedAsBrowsersDo(t *testing.T) {
	for _, test := range []struct {
		text string
		ok   bool
	}{
		{strings.Repeat("x", 500), true},
		{strings.Repeat("x", 501), false},
		{strings.Repeat("é", 500), true},
		{strings.Repeat("é", 501), false},
		{strings.Repeat("好", 500), true},
		{strings.Repeat("😀", 250), true}, // two UTF-16 code units each
		{strings.Repeat("😀", 250) + "x", false},
		{strings.Repeat("x\r\n", 249) + "xx", true}, // a browser counts a line's end once, and sends two bytes
		{"\n\n" + strings.Repeat("x", 500) + " ", true},
		{strings.Repeat("x", 10000), false},
	} {
		v := visit(t, "files")
		status, page := v.post("/notes", "text", test.text)
		name := fmt.Sprintf("%.9q of %d bytes", test.text, len(test.text))
		want := strings.ReplaceAll(strings.TrimSpace(test.text), "\r\n", "\n")
		if test.ok {
			if status != http.StatusOK || !strings.Contains(page, "<li><p>"+want+"</p>") {
				t.Errorf("%s: got %d, want the note", name, status)
			}
			continue
		}
		if status != http.StatusUnprocessableEntity || !strings.Contains(page, ">"+want+"</textarea>") {
			t.Errorf("%s: got %d, want 422 and the text again", name, status)
		}
		wantIn(t, page, "500 characters at most")
	}
}

func TestNameThatIsRefusedIsShownAgain(t *testing.T) {
	v := visit(t, "files")
	v.post("/notes", "text", "kept")
	name := strings.Repeat("é", 51)
	status, page := v.post("/login", "name", name)
	if status != http.StatusUnprocessableEntity {
		t.Errorf("got %d, want 422", status)
	}
	wantIn(t, page, `value="`+name+`"`, "50 characters", "kept")
	_, page = v.post("/login", "name", name[2:])
	wantIn(t, page, "Welcome, "+name[2:])
}

// A program is the notebook in a process of its own.
type program struct {
	*exec.Cmd
	url string // as it prints it
}

var printedURL = regexp.MustCompile(`http://\S+:[0-9]+`)

func start(t *testing.T, args ...string) program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, append(args, "-addr", "localhost:0")...)
	cmd.Env = append(os.Environ(), "NOTEBOOK_TEST_MAIN=1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if url := printedURL.FindString(lines.Text()); url != "" {
			go io.Copy(io.Discard, stderr)
			return program{cmd, url}
		}
	}
	t.Fatal("it ended without printing its address: ", cmd.Wait())
	return program{}
}

// postSlowly keeps a note slowly, and closes begun when the server reads the
// request.
func (v visitor) postSlowly(text string, begun chan struct{}) error {
	ctx := httptrace.WithClientTrace(v.t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(begun) }})
	form := url.Values{"text": {text}, "slowly": {"on"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base+"/notes", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Expect", "100-continue")
	resp, err := v.client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		return errors.New(resp.Status)
	}
	return nil
}

// The headline experiment, in a browser that was never here, and a deployment
// in the middle of it.
func TestNotesOfTwoTabsSurviveSIGTERM(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: Windows has no SIGTERM")
	}
	dir := t.TempDir()
	first := start(t, "-dir", dir)
	if !strings.HasPrefix(first.url, "http://localhost:") {
		t.Fatalf("got %q, want the host of the flag", first.url)
	}
	v := newVisitor(t, first.url)
	v.get()
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	begun, slow := make(chan struct{}), make(chan error)
	go func() { slow <- v.postSlowly("slow note", begun) }()
	<-begun
	time.Sleep(100 * time.Millisecond) // so that it most likely has loaded its session
	if status, _ := v.post("/notes", "text", "quick note"); status != http.StatusSeeOther {
		t.Errorf("quick note: got %d", status)
	}
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-slow; err != nil {
		t.Error("slow note: ", err)
	}
	if err := first.Wait(); err != nil {
		t.Error(err)
	}

	v.base = start(t, "-dir", dir).url // a cookie knows no port
	wantIn(t, v.get(), "slow note", "quick note")
}

func TestSessionsInCookiesSurviveARestart(t *testing.T) {
	t.Setenv("NOTEBOOK_KEYS", securecookie.GenerateKey().Reveal())
	v := newVisitor(t, start(t, "-store", "cookies").url)
	v.post("/notes", "text", "kept")
	v.base = start(t, "-store", "cookies").url
	wantIn(t, v.get(), "kept", "in sealed cookies")
}

func TestAddressIsTheOneThatVisitorsOpen(t *testing.T) {
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for addr, host := range map[string]string{
		"localhost:8080": "localhost",
		"localhost:0":    "localhost",
		"127.0.0.1:0":    "127.0.0.1",
		":0":             "localhost",
		"0.0.0.0:0":      "localhost",
		"[::]:0":         "localhost",
		"[::1]:0":        "[::1]",
	} {
		if got, want := notebook.PublicAddress(addr, listener), host+":"+port; got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
