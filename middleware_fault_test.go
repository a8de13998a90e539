//go:build linux

package sessions_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

// mountTmpfs mounts a small file system, which only root can.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill takes all the room there is.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(dir + "/filler")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(chunk)
	}
	if !strings.Contains(err.Error(), "no space left") {
		t.Fatal(err)
	}
}

func faultSite(t *testing.T, dir string) *site {
	return newSite(t, sessions.FilesystemOptions{Path: dir}, sessions.MiddlewareOptions{}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		if r.URL.Path == "/get" {
			fmt.Fprint(w, s.Get("a"))
			return
		}
		s.Set("a", strings.TrimPrefix(r.URL.Path, "/"))
		w.Header().Set("ETag", `"handler"`)
		w.Header().Set("Content-Length", "14")
		fmt.Fprint(w, "handler's body")
	})
}

func wantServerError(t *testing.T, res *http.Response, body string) {
	t.Helper()
	if res.StatusCode != 500 || sessionCookie(res) != nil || strings.Contains(body, "handler") || res.Header.Get("Etag") != "" {
		t.Errorf("got status %d, cookie %v, body %q, ETag %q; want 500 and nothing of the handler's",
			res.StatusCode, sessionCookie(res) != nil, body, res.Header.Get("Etag"))
	}
}

func TestMiddlewareOnAFullDiskRefusesNewSessionsAndSavesOldOnes(t *testing.T) {
	dir := mountTmpfs(t, "size=256k,mode=0700")
	st := faultSite(t, dir)
	st.get(t, "/before")
	fill(t, dir)
	if _, body := st.get(t, "/after"); body != "handler's body" {
		t.Errorf("saving a session that exists: got body %q", body)
	}
	if _, body := st.get(t, "/get"); body != "after" {
		t.Errorf("the session that exists: got %q, want its new value", body)
	}
	files := st.files(t)
	st.newBrowser(t)
	res, body := st.get(t, "/new")
	wantServerError(t, res, body)
	if got := st.files(t); got != files {
		t.Errorf("the failed save left %d files behind", got-files)
	}
	if !strings.Contains(st.log.String(), "no space left") {
		t.Errorf("the log does not say why: %s", st.log)
	}
}

func TestMiddlewareOnAReadOnlyFileSystemRefusesEverySave(t *testing.T) {
	dir := mountTmpfs(t, "size=256k,mode=0700")
	st := faultSite(t, dir)
	st.get(t, "/before")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	res, body := st.get(t, "/after")
	wantServerError(t, res, body)
	if _, body := st.get(t, "/get"); body != "before" {
		t.Errorf("reading: got %q, want what was saved before", body)
	}
	st.newBrowser(t)
	res, body = st.get(t, "/new")
	wantServerError(t, res, body)
}

func TestErrorHandlerAnswersAFailedLoad(t *testing.T) {
	dir := mountTmpfs(t, "size=256k,mode=0700")
	sticky := make(chan error, 2)
	st := newSite(t, sessions.FilesystemOptions{Path: dir}, sessions.MiddlewareOptions{
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "try again")
		},
	}, func(w http.ResponseWriter, r *http.Request) {
		s := sessions.FromContext(r.Context())
		sticky <- s.Err()
		s.Set("a", 1)
		fmt.Fprint(w, "handler's body")
	})
	st.get(t, "/")
	<-sticky
	st.store.Close() // from now on nothing can be read
	res, body := st.get(t, "/")
	if err := <-sticky; err == nil || res.StatusCode != 503 || body != "try again" || sessionCookie(res) != nil {
		t.Errorf("got Err %v, status %d, body %q", err, res.StatusCode, body)
	}
}
