//go:build unix

package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"

	gorilla "github.com/gorilla/sessions"
)

// peerKeys are a key for HMAC-SHA-256, and one for AES-256 where values leave the
// server. Two processes have the same.
var peerKeys = [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}

const peerCookie = "session"

// gorillaStore is gorilla/sessions as its README has it: Get, Values, Save. A
// negative MaxAge ends a session.
type gorillaStore struct {
	store   gorilla.Store
	values  values
	cookies []string
}

// openGorillaFiles keeps the values in the clear, since they stay on the server.
func openGorillaFiles(e environment) (library, error) {
	path := filepath.Join(e.dir, "gorilla")
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	store := gorilla.NewFilesystemStore(path, peerKeys[0])
	store.MaxLength(0) // otherwise 4096
	return &gorillaStore{store: store, values: e.values}, nil
}

func openGorillaCookies(e environment) (library, error) {
	return &gorillaStore{store: gorilla.NewCookieStore(peerKeys...), values: e.values}, nil
}

func (l *gorillaStore) fill(n int) ([]string, error) {
	for len(l.cookies) < n {
		r, w := request(""), response{}
		s, err := l.store.New(r, peerCookie)
		if err != nil {
			return nil, err
		}
		l.values.each(func(key string, value any) { s.Values[key] = value })
		if err := s.Save(r, w); err != nil {
			return nil, err
		}
		cookie, err := w.cookie()
		if err != nil {
			return nil, err
		}
		l.cookies = append(l.cookies, cookie)
	}
	return l.cookies, nil
}

func (l *gorillaStore) adopt(handles []string) { l.cookies = handles }
func (l *gorillaStore) hold() holder           { return &gorillaHolder{gorillaStore: l} }
func (l *gorillaStore) cookie(i int) string    { return l.cookies[i] }
func (l *gorillaStore) close() error           { return nil }

func (l *gorillaStore) handler(changes bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := l.store.Get(r, peerCookie)
		if err == nil && (s.Values["key1"] == nil || s.Values["key2"] == nil) {
			err = errMissing
		}
		if err == nil && changes {
			n, _ := s.Values["n"].(int)
			s.Values["n"] = n + 1
			err = s.Save(r, w)
		}
		answer(w, err)
	})
}

type gorillaHolder struct {
	*gorillaStore
	held     [longTurn]*gorilla.Session
	requests [longTurn]*http.Request
}

func (h *gorillaHolder) load(slot, i int) (err error) {
	h.requests[slot] = request(h.cookies[i])
	h.held[slot], err = h.store.New(h.requests[slot], peerCookie)
	return err
}

func (h *gorillaHolder) read(slot int) error {
	if v := h.held[slot].Values; v["key1"] == nil || v["key2"] == nil {
		return errMissing
	}
	return nil
}

func (h *gorillaHolder) change(slot, n int) error {
	h.held[slot].Values["n"] = n
	return nil
}

func (h *gorillaHolder) save(slot int) error {
	return h.held[slot].Save(h.requests[slot], response{})
}

func (h *gorillaHolder) begin(slot int) (err error) {
	h.requests[slot] = request("")
	h.held[slot], err = h.store.New(h.requests[slot], peerCookie)
	if err == nil {
		h.values.each(func(key string, value any) { h.held[slot].Values[key] = value })
	}
	return err
}

func (h *gorillaHolder) end(slot int) error {
	h.held[slot].Options.MaxAge = -1
	return h.save(slot)
}
