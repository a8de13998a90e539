package main

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/examples/notebook/internal/notebook"
	"github.com/sessfs/sessions/sessiontest"
)

// hood opens the page under the hood.
func (v visitor) hood() string {
	v.t.Helper()
	status, page := v.do(http.MethodGet, "/hood", nil)
	if status != http.StatusOK {
		v.t.Fatalf("got %d: %s", status, page)
	}
	return page
}

var shownFile = regexp.MustCompile(`head -n 8 (\S+\.sess)`)

// file is the visitor's session file, as the page names it.
func (v visitor) file() string {
	v.t.Helper()
	page := v.hood()
	match := shownFile.FindStringSubmatch(page)
	if match == nil {
		v.t.Fatal("no file in ", page)
	}
	return match[1]
}

// shown is the text of the session as the page has it.
func shown(t *testing.T, page string) string {
	t.Helper()
	_, rest, _ := strings.Cut(page, "<pre>")
	text, _, ok := strings.Cut(rest, "</pre>")
	if !ok {
		t.Fatal("no text in ", page)
	}
	return text
}

func TestHoodShowsTheVisitorsOwnFile(t *testing.T) {
	ann := visit(t, "files")
	bob := newVisitor(t, ann.base)
	ann.post("/notes", "text", "of Ann")
	bob.post("/notes", "text", "of Bob")
	page, file := ann.hood(), ann.file()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(string(data), "\n")
	text := shown(t, page)
	if !strings.HasPrefix(text, header+"\n\nslot 0000") || strings.Count(text, " live ") != 2 {
		t.Errorf("got %s\nwant the header, %s, and two slots", text, header)
	}
	wantIn(t, page, `"Text":"of Ann"`, "<dd>"+strconv.Itoa(len(data))+" bytes</dd>")
	wantNotIn(t, page, "of Bob")
	wantNotIn(t, bob.hood(), "of Ann")
	if bob.file() == file {
		t.Error("two visitors have one file")
	}
}

// A page is saved, printed and shown to others; a cookie is as good as a
// password.
func TestHoodDoesNotShowTheCookie(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		v.post("/notes", "text", "a note")
		_, value, _ := strings.Cut(v.cookie(), "=")
		if len(value) < 64 {
			t.Fatalf("the cookie has %d characters", len(value))
		}
		wantNotIn(t, v.hood(), value)
	})
}

func TestHoodShowsTheSequenceNumberAndTheNewestValues(t *testing.T) {
	v := visit(t, "files")
	last := 0
	for i := range 5 {
		v.post("/notes", "text", "note "+strconv.Itoa(i))
		page := v.hood() // takes the flash message away, afterwards
		wantIn(t, shown(t, page), "note "+strconv.Itoa(i))
		match := regexp.MustCompile(`Sequence number</dt><dd>([0-9]+)<`).FindStringSubmatch(page)
		if match == nil {
			t.Fatal("no sequence number in ", page)
		}
		sequence, err := strconv.Atoi(match[1])
		if err != nil || sequence <= last {
			t.Errorf("got %d after %d, %v", sequence, last, err)
		}
		last = sequence
	}
}

func TestHoodShowsCookiesBySize(t *testing.T) {
	v := visit(t, "cookies")
	first := v.hood() // the browser has none yet: the response brings it
	wantIn(t, first, "Your session in sealed cookies")
	_, value, _ := strings.Cut(v.cookie(), "=")
	wantIn(t, shown(t, first), "session="+value[:24]+"… "+strconv.Itoa(len(value))+" characters")
	wantIn(t, first, "<dd>"+strconv.Itoa(len(value))+" bytes</dd>")
	for range 7 {
		v.post("/notes", "text", strings.Repeat("x", 500))
	}
	page := v.hood()
	wantIn(t, shown(t, page), "session-0=", "session-1=")
}

func TestHoodMakesTextHarmless(t *testing.T) {
	v := visit(t, "files")
	v.post("/notes", "text", "a\x1b[2J\u202eb\u200bc\u0085d<b>")
	resp, err := v.client.Get(v.base + "/hood")
	if err != nil {
		t.Fatal(err)
	}
	page := readAll(t, resp)
	for _, r := range page {
		if r != '\n' && r < ' ' || r == '\u202e' || r == '\u200b' || r == '\u0085' {
			t.Errorf("the page has %U", r)
		}
	}
	wantIn(t, page, `\u202eb\u200bc\u0085d`)
	wantNotIn(t, page, "<b>")

	// Bytes that no save of the notebook writes, in the slot that does not count.
	file := v.file()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	older := data[512:2048]
	if newer := data[2048:]; string(older[:21]) > string(newer[:21]) { // by their sequence numbers
		older = newer
	}
	copy(older[bytes.IndexByte(older, '\n'):], "\nraw:\x1b\xff\x00\r")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if resp, err = v.client.Get(v.base + "/hood"); err != nil {
		t.Fatal(err)
	}
	page = readAll(t, resp)
	wantIn(t, page, `raw:\x1b\ufffd\x00\r`)
	wantNotIn(t, page, "\x1b", "\xff", "\x00", "\r")
}

func TestHoodShowsTheBeginningOfALargeSession(t *testing.T) {
	v := visit(t, "files")
	for range 40 {
		v.post("/notes", "text", strings.Repeat("<", 500))
	}
	page := v.hood()
	wantIn(t, page, "bytes more")
	if n := len(shown(t, page)); n > 4000 {
		t.Errorf("the page shows %d bytes", n)
	}
}

func TestHoodShowsTheTimeThatIsLeft(t *testing.T) {
	v := visit(t, "files")
	page := v.hood()
	wantIn(t, page, "<dd>11 h 59 min", "<dd>29 days 23 h</dd>")
	then := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(v.file(), then, then); err != nil {
		t.Fatal(err)
	}
	wantIn(t, v.hood(), "<dd>9 h 59 min")  // as it was before this page
	wantIn(t, v.hood(), "<dd>11 h 59 min") // that page was a use
	v.post("/login", "name", "Ann", "remember", "on")
	if n := strings.Count(v.hood(), "<dd>29 days 23 h</dd>"); n != 2 {
		t.Errorf("%d times 29 days want both timeouts of a session that is remembered", n)
	}

	wantIn(t, visit(t, "cookies").hood(), "<dd>at least 11 h 58 min", "<dd>29 days 23 h</dd>")
}

func TestHoodCounts(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		wantIn(t, v.hood(), "stands at <strong>0<")
		for range 2 {
			v.post("/hood/count")
		}
		_, page := v.post("/hood/count")
		wantIn(t, page, "stands at <strong>3<")
	})
}

func TestTwentyRequestsKeepAllInFilesAndTheLastInCookies(t *testing.T) {
	for where, want := range map[string]struct{ kept, why string }{
		"files":   {"20 of 20", "is merged with the session as it is stored"},
		"cookies": {"1 of 20", "The browser keeps the cookie that comes last."},
	} {
		t.Run(where, func(t *testing.T) {
			v := visit(t, where)
			v.post("/notes", "text", "written before")
			v.post("/login", "name", "Ann", "remember", "on")
			each, err := strconv.Atoi(strings.Fields(want.kept)[0])
			if err != nil {
				t.Fatal(err)
			}
			for run := 1; run <= 2; run++ {
				_, page := v.post("/hood/twenty")
				wantIn(t, page, "<strong>"+want.kept+"</strong> changes are there", want.why,
					"stands at <strong>"+strconv.Itoa(run*each)+"<")
				if n := strings.Count(page, `<li class="kept">kept</li>`); n != each {
					t.Errorf("run %d: %d are marked", run, n)
				}
				wantIn(t, v.get(), "written before", "Ann")
			}
		})
	}
}

func TestTwentyRequestsBeginNoSession(t *testing.T) {
	v := visit(t, "files")
	file := v.file()
	stranger := newVisitor(t, v.base)
	status, page := stranger.post("/hood/twenty")
	if status != http.StatusConflict {
		t.Errorf("got %d, want 409", status)
	}
	wantIn(t, page, "your session has ended", `href="/hood"`)
	if stranger.cookie() != "" {
		t.Error("got a cookie: ", stranger.cookie())
	}
	if files, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*.sess")); err != nil || len(files) != 1 {
		t.Errorf("got %v, %v; want the file of the other visitor", files, err)
	}
}

// visitStore makes a visitor of a notebook over another store.
func visitStore(t *testing.T, store notebook.Store) visitor {
	t.Helper()
	handler, err := notebook.New(store)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newVisitor(t, server.URL)
}

func newCarrier(t *testing.T) *sessions.Cookies {
	t.Helper()
	cookies, err := sessions.NewCookies(sessiontest.NewStore(), sessions.CookieOptions{InsecureAllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	return cookies
}

func TestHoodIsThatOfAnyStore(t *testing.T) {
	v := visitStore(t, notebook.Store{
		Name: "a test", Form: "The form of a test.", Carrier: newCarrier(t), Merges: true,
		Show: func(_ http.ResponseWriter, _ *http.Request, s *sessions.Session) (notebook.Stored, error) {
			return notebook.Stored{Text: "values: " + strings.Join(s.Keys(), " "), Size: 7}, nil
		},
	})
	wantIn(t, v.hood(), "Your session in a test", "values: opened", "The form of a test.", "7 bytes")
	_, page := v.post("/hood/twenty")
	wantIn(t, page, "20 of 20", "stands at <strong>20<")
}

// The session that is to be shown can end between two looks at it.
func TestHoodOfASessionThatIsGone(t *testing.T) {
	v := visitStore(t, notebook.Store{
		Name: "a test", Carrier: newCarrier(t),
		Show: func(http.ResponseWriter, *http.Request, *sessions.Session) (notebook.Stored, error) {
			return notebook.Stored{}, &fs.PathError{Op: "open", Path: "a secret place", Err: fs.ErrNotExist}
		},
	})
	status, page := v.do(http.MethodGet, "/hood", nil)
	if status != http.StatusConflict {
		t.Errorf("got %d, want 409", status)
	}
	wantIn(t, page, "Your session cannot be shown", `href="/hood"`)
	wantNotIn(t, page, "a secret place")
}

// A full carrier keeps a session as it began.
type full struct{ *sessions.Cookies }

func (full) Update(http.ResponseWriter, *http.Request, *sessions.Session, func(*sessions.Session) error) error {
	return sessions.ErrTooLarge
}

func TestTwentyRequestsTellWhyNoneWasCarriedOut(t *testing.T) {
	v := visitStore(t, notebook.Store{
		Name: "a test", Carrier: full{newCarrier(t)},
		Show: func(http.ResponseWriter, *http.Request, *sessions.Session) (notebook.Stored, error) {
			return notebook.Stored{}, nil
		},
	})
	v.hood()
	status, page := v.post("/hood/twenty")
	if status != http.StatusConflict {
		t.Errorf("got %d, want 409", status)
	}
	wantIn(t, page, "None of the twenty requests changed anything: the server answered 413", `href="/hood"`)
	if status, _ := v.post("/hood/count"); status != http.StatusRequestEntityTooLarge {
		t.Errorf("the counter: got %d, want 413", status)
	}
}

func TestTwentyRequestsGoToThisServer(t *testing.T) {
	var calls atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	defer other.Close()
	t.Setenv("HTTP_PROXY", other.URL)
	v := visit(t, "files")
	v.hood()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.base+"/hood/twenty", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = strings.TrimPrefix(other.URL, "http://")
	req.Header.Set("X-Forwarded-Host", req.Host)
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := v.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusSeeOther || to.Host != "" {
		t.Fatalf("got %s to %v, %v", resp.Status, to, err)
	}
	_, page := v.do(http.MethodGet, to.String(), nil)
	wantIn(t, page, "20 of 20")
	if n := calls.Load(); n != 0 {
		t.Errorf("the server of the Host header was called %d times", n)
	}
}

func TestTwentyRequestsAreNotForOtherSites(t *testing.T) {
	v := visit(t, "files")
	v.hood()
	for _, path := range []string{"/hood/twenty", "/hood/change", "/hood/count"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.base+path, strings.NewReader("run=ABCDEF&number=1"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		resp, err := v.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %s, want 403", path, resp.Status)
		}
	}
	_, page := v.do(http.MethodGet, "/hood?run=ABCDEF", nil)
	wantIn(t, page, "0 of 20", "stands at <strong>0<")
}

func TestTwentyRequestsHaveFewKeys(t *testing.T) {
	v := visit(t, "files")
	v.hood()
	for _, form := range [][]string{
		{"number", "20", "run", "ABCDEF"},
		{"number", "-1", "run", "ABCDEF"},
		{"number", "x", "run", "ABCDEF"},
		{"number", "1", "run", strings.Repeat("x", 1000)},
		{"number", "1"},
	} {
		if status, _ := v.post("/hood/change", form...); status != http.StatusBadRequest {
			t.Errorf("%.40q: got %d, want 400", form, status)
		}
	}
}

// HEAD begins no session, on this page neither.
func TestHoodAnswersHEAD(t *testing.T) {
	inBothStores(t, func(t *testing.T, v visitor) {
		if status, _ := v.do(http.MethodHead, "/hood", nil); status != http.StatusOK {
			t.Errorf("got %d", status)
		}
		if v.cookie() != "" {
			t.Error("HEAD began a session")
		}
	})
}
