package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
)

// A step is a request that a page's script makes, and the names of the cookies
// that the browser has afterwards.
type step struct {
	path string // the step: a size of the session's value, or "destroy"
	want string
}

const scriptPage = `<!DOCTYPE html><title>steps</title><pre id="seen">waiting</pre><script>
(async () => {
	const seen = [];
	for (const path of %s) {
		await fetch(path, {cache: "no-store"});
		seen.push(await (await fetch("/cookies", {cache: "no-store"})).text());
	}
	document.getElementById("seen").textContent = JSON.stringify(seen);
})().catch(err => { document.getElementById("seen").textContent = "failed: " + err; });
</script>`

// A browser counts the bytes of a cookie, its number and its attributes in its
// own way, and drops without a word one that it does not keep.
func TestCookiesInChromiumLeaveNoStaleChunk(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("skipped: no chromium: ", err)
	}
	for name, options := range map[string]securecookie.CarrierOptions{
		"session":        {CookieOptions: sessions.CookieOptions{InsecureAllowHTTP: true}, MaxCookies: securecookie.MaxChunks},
		"__Host-session": {MaxCookies: securecookie.MaxChunks}, // browsers take localhost for secure
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := chunkSteps(name)
			server := newStepServer(t, name, options, steps)
			seen := dumpPage(t, chromium, strings.Replace(server.URL, "127.0.0.1", "localhost", 1))
			if len(seen) != len(steps) {
				t.Fatalf("got %q", seen)
			}
			for i, step := range steps {
				if seen[i] != step.want {
					t.Errorf("step %d, %s:\ngot  %s\nwant %s", i, step.path, seen[i], step.want)
				}
			}
		})
	}
}

// chunkSteps grow a session, shrink and destroy it, with the largest size that
// fits in so many cookies, and one byte more.
func chunkSteps(name string) (steps []step) {
	names := func(cookies, size int) string {
		list := []string{name}
		if cookies > 1 {
			list = nil
			for i := range cookies {
				list = append(list, name+"-"+strconv.Itoa(i))
			}
		}
		slices.Sort(list)
		return fmt.Sprint(size, list)
	}
	add := func(size, cookies int) {
		steps = append(steps, step{"/set?size=" + strconv.Itoa(size), names(cookies, size)})
	}
	// Beside the value: 81 bytes of the seal, 44 of the session.
	full := func(cookies int) int {
		if cookies == 1 {
			return (4093-len(name))*3/4 - 81 - 44
		}
		return cookies*(4093-len(name)-15)*3/4 - 81 - 44
	}
	destroy := step{"/destroy", "0 []"}
	add(0, 1)
	for n := 1; n <= 3; n++ {
		add(full(n), n)
		add(full(n)+1, n+1)
	}
	add(full(20), 20)
	for _, n := range []int{20, 3, 2, 1} {
		add(full(n), n)
	}
	steps = append(steps, destroy)
	add(full(5), 5)
	steps = append(steps, destroy, destroy)
	add(full(12), 12)
	add(1, 1)
	return append(steps, destroy)
}

// newStepServer serves the page and the requests of its script.
func newStepServer(t *testing.T, name string, o securecookie.CarrierOptions, steps []step) *httptest.Server {
	t.Helper()
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{
		Keys:     []securecookie.Key{securecookie.GenerateKey()},
		Audience: "browser",
	})
	if err != nil {
		t.Fatal(err)
	}
	carrier, err := securecookie.NewCarrier(ring, o)
	if err != nil {
		t.Fatal(err)
	}
	mw, err := sessions.NewMiddleware(carrier, sessions.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, s := range steps {
		paths = append(paths, s.path)
	}
	list, err := json.Marshal(paths)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, scriptPage, list)
	})
	mux.HandleFunc("GET /set", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.Atoi(r.FormValue("size"))
		if err != nil {
			http.Error(w, "size", http.StatusBadRequest)
			return
		}
		sessions.FromContext(r.Context()).Set("a", strings.Repeat("x", size))
	})
	mux.HandleFunc("GET /destroy", func(w http.ResponseWriter, r *http.Request) {
		sessions.FromContext(r.Context()).Destroy()
	})
	mux.HandleFunc("GET /cookies", func(w http.ResponseWriter, r *http.Request) {
		value, _ := sessions.FromContext(r.Context()).Get("a").(string)
		var names []string
		for _, c := range r.Cookies() {
			names = append(names, c.Name)
		}
		slices.Sort(names)
		fmt.Fprint(w, len(value), names)
	})
	server := httptest.NewServer(mw.Wrap(mux))
	t.Cleanup(server.Close)
	return server
}

var seenElement = regexp.MustCompile(`(?s)<pre id="seen">(.*?)</pre>`)

// dumpPage opens a page in a browser of its own and returns the text that its script
// has written at the end.
func dumpPage(t *testing.T, chromium, url string) (seen []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget=30000", "--dump-dom", url+"/")
	cmd.WaitDelay = 5 * time.Second
	var messages strings.Builder
	cmd.Stderr = &messages
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, &messages)
	}
	match := seenElement.FindSubmatch(dom)
	if match == nil {
		t.Fatalf("chromium gave another page: %s\n%s", dom, &messages)
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(string(match[1]))), &seen); err != nil {
		t.Fatalf("the script says: %s", match[1])
	}
	return seen
}
