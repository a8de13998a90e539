package main

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startRedis starts a server on a socket of its own, and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("skipped: there is no redis-server")
	}
	dir, err := os.MkdirTemp("", "notebook") // the name of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer client.Close()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err = client.Ping(t.Context()).Err(); err == nil {
			return "unix://" + socket + "?db=0"
		} else if time.Now().After(end) {
			t.Fatal("the server does not answer: ", err)
		}
	}
}

// visitInstances returns one browser at two instances of the notebook. It sends the
// cookies of one host to all ports.
func visitInstances(t *testing.T, store string, count bool) (a, b visitor) {
	t.Helper()
	client := &http.Client{Jar: newJar(t)}
	var both []visitor
	for range 2 {
		handler, err := newHandler(store, "", count)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		both = append(both, visitor{t, server.URL, client})
	}
	return both[0], both[1]
}

func (v visitor) post(path string, form url.Values) string {
	v.t.Helper()
	resp, err := v.client.PostForm(v.base+path, form)
	if err != nil {
		v.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		v.t.Fatalf("POST %s: %s", path, resp.Status)
	}
	return resp.Request.URL.Path
}

func (v visitor) shows(path string, want bool, texts ...string) {
	v.t.Helper()
	_, page := v.do(http.MethodGet, path)
	for _, text := range texts {
		if strings.Contains(page, text) != want {
			v.t.Errorf("%s shows %q: %v, want %v\n%s", path, text, !want, want, page)
		}
	}
}

func TestInstancesShareSessionsInRedis(t *testing.T) {
	a, b := visitInstances(t, startRedis(t), false)
	a.do(http.MethodGet, "/")
	a.post("/notes", url.Values{"text": {"written at A"}})
	b.post("/notes", url.Values{"text": {"written at B"}})
	a.post("/login", url.Values{"name": {"Ann"}})
	b.post("/notes", url.Values{"text": {"written by Ann"}})
	for _, v := range []visitor{a, b} {
		v.shows("/", true, "written at A", "written at B", "written by Ann", "<strong>Ann</strong>", "kept in Redis")
	}
	b.post("/logout", nil)
	a.shows("/", true, "None yet.")
	a.shows("/", false, "Ann", "written")
}

// Two browsers of one user, each at an instance of its own.
func TestSessionsPageEndsThoseOfAnotherInstance(t *testing.T) {
	here, there := visitInstances(t, startRedis(t), false)
	there.client = &http.Client{Jar: newJar(t)}
	for range 2 {
		for _, v := range []visitor{here, there} {
			v.post("/login", url.Values{"name": {"Ann"}})
		}
		here.shows("/sessions", true, "this browser", "Ends unused in", "Log out everywhere but here")
		here.post("/sessions/end", url.Values{"which": {"others"}})
		here.shows("/sessions", true, "this browser")
		here.shows("/sessions", false, "Log out everywhere but here")
		there.shows("/", false, "Ann")
	}
	here.post("/sessions/end", url.Values{"which": {"everywhere"}})
	here.shows("/sessions", true, "Nowhere, as far as this browser knows")
}

func newJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

func TestHoodShowsTheHashInRedis(t *testing.T) {
	a, b := visitInstances(t, startRedis(t), true)
	a.do(http.MethodGet, "/")
	_, page := b.do(http.MethodPost, "/hood/twenty")
	for _, want := range []string{"20 of 20", "redis-cli -s /", "HGETALL &#39;notebook:{", "=counter 20", "=change.01", "s        1 json 1"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
	if _, text := b.do(http.MethodGet, "/metrics"); !strings.Contains(text, `kind="saved",reason="",store="notebook"} 20`) {
		t.Errorf("no 20 saves in %s", text)
	}
}

func TestRedisIsRefusedAtTheStart(t *testing.T) {
	for store, want := range map[string]string{
		"redis://localhost:port/0":                  "-store: ",
		"ftp://localhost/":                          "-store: ",
		"unix://" + t.TempDir() + "/none?db=0":      "no such file",
		"redis://user:secret@127.0.0.1:1/0?bad=yes": "-store: ",
	} {
		_, err := newHandler(store, "", false)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
