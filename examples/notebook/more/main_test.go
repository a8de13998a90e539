package main

import (
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// A visitor is a browser with its cookies, of a server of its own.
type visitor struct {
	t      *testing.T
	base   string
	client *http.Client
}

func visit(t *testing.T, dir string, count bool) visitor {
	t.Helper()
	handler, err := newHandler("files", dir, count)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return visitor{t, server.URL, &http.Client{Jar: jar}}
}

// do makes a request and returns the page.
func (v visitor) do(method, path string) (*http.Response, string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, nil)
	if err != nil {
		v.t.Fatal(err)
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
	return resp, string(body)
}

var number = regexp.MustCompile(`(?m)^sessions_events_total\{kind="loaded",[^}]*\} ([0-9]+)$`)

// loaded is the number of sessions that were loaded, by /metrics.
func (v visitor) loaded() string {
	v.t.Helper()
	resp, text := v.do(http.MethodGet, "/metrics")
	match := number.FindStringSubmatch(text)
	if resp.StatusCode != http.StatusOK || match == nil {
		v.t.Fatalf("got %s: %s", resp.Status, text)
	}
	if len(resp.Cookies()) > 0 {
		v.t.Error("got cookies: ", resp.Cookies())
	}
	return match[1]
}

func TestMetricsLoadAndRenewNoSession(t *testing.T) {
	dir := t.TempDir()
	v := visit(t, dir, true)
	v.do(http.MethodGet, "/") // begins a session
	v.do(http.MethodGet, "/") // and loads it
	files, err := filepath.Glob(filepath.Join(dir, "*.sess"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %v, %v", files, err)
	}
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(files[0], then, then); err != nil {
		t.Fatal(err)
	}
	lastUse := func() time.Time {
		t.Helper()
		info, err := os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	for range 3 {
		if got := v.loaded(); got != "1" {
			t.Errorf("%s sessions were loaded, want 1", got)
		}
	}
	if got := lastUse(); !got.Equal(then) {
		t.Errorf("the last use of the session is %v, want %v", got, then)
	}
	v.do(http.MethodGet, "/")
	if got := v.loaded(); got != "2" {
		t.Errorf("%s sessions were loaded, want 2", got)
	}
	if got := lastUse(); got.Equal(then) {
		t.Error("a page did not renew the session")
	}
}

func TestMetricsCountTwentyRequests(t *testing.T) {
	v := visit(t, t.TempDir(), true)
	v.do(http.MethodGet, "/hood")
	_, page := v.do(http.MethodPost, "/hood/twenty")
	if !strings.Contains(page, "20 of 20") {
		t.Errorf("got %s", page)
	}
	if got := v.loaded(); got != "21" {
		t.Errorf("%s sessions were loaded, want those of the twenty requests and of the page", got)
	}
	_, text := v.do(http.MethodGet, "/metrics")
	for _, want := range []string{
		`sessions_events_total{kind="created",reason="",store="notebook"} 1`,
		`sessions_events_total{kind="saved",reason="",store="notebook"} 20`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestMetricsAreBehindAFlag(t *testing.T) {
	if resp, text := visit(t, t.TempDir(), false).do(http.MethodGet, "/metrics"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("got %s: %s", resp.Status, text)
	}
}

func TestMetricsOfCookiesAreRefused(t *testing.T) {
	if _, err := newHandler("cookies", "", true); err == nil || !strings.Contains(err.Error(), "-store files") {
		t.Errorf("got %v", err)
	}
	if _, err := newHandler("cookies", "", false); err != nil {
		t.Error(err)
	}
}
