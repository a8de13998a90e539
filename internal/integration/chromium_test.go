package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// A tab of a browser of its own, by the Chrome DevTools Protocol.
type tab struct {
	t    *testing.T
	conn *websocket.Conn
	last int // ID of a call
}

// chromium returns the browser's path, and skips the test where there is none.
func chromium(t *testing.T) string {
	t.Helper()
	if raceDetector {
		t.Skip("skipped: the race detector does not see into other processes")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("skipped: no chromium: ", err)
	}
	return path
}

// openTab starts a browser. It ends before the servers that were started before
// it: a server waits for connections on which a browser has sent nothing yet.
func openTab(t *testing.T, path string) *tab {
	t.Helper()
	profile := t.TempDir()
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--hide-scrollbars", "--user-data-dir="+profile, "--remote-debugging-port=0", "about:blank")
	var messages strings.Builder
	cmd.Stderr = &messages
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var port string
	for port == "" {
		select {
		case err := <-ended:
			t.Fatalf("chromium: %v\n%s", err, &messages)
		case <-time.After(20 * time.Millisecond):
		}
		data, _ := os.ReadFile(filepath.Join(profile, "DevToolsActivePort"))
		if line, _, whole := strings.Cut(string(data), "\n"); whole {
			port = line
		}
	}
	tab := &tab{t: t, conn: dial(t, port)}
	t.Cleanup(func() {
		tab.conn.Write(background, websocket.MessageText, []byte(`{"id":0,"method":"Browser.close"}`))
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		tab.conn.CloseNow()
	})
	return tab
}

// dial connects to the browser's first tab.
func dial(t *testing.T, port string) *websocket.Conn {
	t.Helper()
	resp, err := http.Get("http://127.0.0.1:" + port + "/json/list")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var targets []struct{ Type, WebSocketDebuggerURL string }
	if err := json.NewDecoder(resp.Body).Decode(&targets); err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		if target.Type == "page" {
			conn, _, err := websocket.Dial(t.Context(), target.WebSocketDebuggerURL, nil)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetReadLimit(-1)
			return conn
		}
	}
	t.Fatalf("chromium has no tab: %v", targets)
	return nil
}

// call calls a method of the protocol and decodes its result, unless that is
// nil.
func (b *tab) call(method string, params map[string]any, result any) {
	b.t.Helper()
	if err := b.try(method, params, result); err != nil {
		b.t.Fatal(method, ": ", err)
	}
}

func (b *tab) try(method string, params map[string]any, result any) error {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	b.last++
	if err := wsjson.Write(ctx, b.conn, map[string]any{"id": b.last, "method": method, "params": params}); err != nil {
		return err
	}
	for {
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := wsjson.Read(ctx, b.conn, &answer); err != nil {
			return err
		}
		switch {
		case answer.ID != b.last: // an event
		case answer.Error != nil:
			return errors.New(answer.Error.Message)
		case result != nil:
			return json.Unmarshal(answer.Result, result)
		default:
			return nil
		}
	}
}

// run evaluates an expression, waits for its promise, and decodes its value,
// unless that is nil.
func (b *tab) run(expression string, value any) {
	b.t.Helper()
	if err := b.evaluate(expression, value); err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
}

func (b *tab) evaluate(expression string, value any) error {
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	err := b.try("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &answer)
	if err == nil && answer.ExceptionDetails != nil {
		err = errors.New(string(answer.ExceptionDetails))
	}
	if err != nil || value == nil {
		return err
	}
	return json.Unmarshal(answer.Result.Value, value)
}

// open opens an address.
func (b *tab) open(url string) {
	b.t.Helper()
	b.leave(func() { b.call("Page.navigate", map[string]any{"url": url}, nil) })
}

// submit presses the first button of the form with an action.
func (b *tab) submit(action string) {
	b.t.Helper()
	b.leave(func() { b.run(fmt.Sprintf("document.querySelector('form[action=%q] button').click()", action), nil) })
}

// press moves the focus by Tab, from the page's beginning, to the link or button
// of a name, and presses Enter. The focus is visible on its way.
func (b *tab) press(name string) {
	b.t.Helper()
	b.run("document.activeElement.blur()", nil)
	var passed []string
	for range 60 {
		b.key("Tab", 9, "")
		var focus struct {
			Name, Outline string
			Width         float64
		}
		b.run(`(() => {
			const e = document.activeElement, style = getComputedStyle(e);
			const labels = (e.getAttribute("aria-labelledby") || "").split(" ").map(id => document.getElementById(id)?.innerText);
			return {name: labels[0] ? labels.join(" ") : e.innerText || e.name || "", outline: style.outlineStyle, width: parseFloat(style.outlineWidth)};
		})()`, &focus)
		if focus.Outline == "none" || focus.Width < 2 {
			b.t.Errorf("the focus is not visible on %q: %+v", focus.Name, focus)
		}
		if strings.TrimSpace(focus.Name) == name {
			b.leave(func() { b.key("Enter", 13, "\r") })
			return
		}
		passed = append(passed, focus.Name)
	}
	b.t.Fatalf("Tab does not come to %q, but to %q", name, passed)
}

// key presses a key.
func (b *tab) key(name string, code int, text string) {
	b.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code, "text": text}, nil)
		text = ""
	}
}

// wants fails unless the page has all of these texts.
func (b *tab) wants(texts ...string) {
	b.t.Helper()
	var page string
	b.run("document.body.innerText", &page)
	for _, text := range texts {
		if !strings.Contains(page, text) {
			b.t.Errorf("no %q in %s", text, page)
		}
	}
}

// fill writes into the field of an ID.
func (b *tab) fill(id, text string) {
	b.t.Helper()
	b.run(fmt.Sprintf("document.getElementById(%q).value = %q", id, text), nil)
}

// leave waits until another page is there.
func (b *tab) leave(how func()) {
	b.t.Helper()
	b.run("window.old = true", nil)
	how()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var there bool
		err := b.evaluate(`!window.old && document.readyState == "complete"`, &there) // fails in the moment between two pages
		if err == nil && there {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatal("no other page came: ", err)
		}
	}
}
