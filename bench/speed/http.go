//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"time"
)

// recorded returns a worker that serves a request to a recorder.
func recorded(l library, changes bool) worker { return recorder(l.handler(changes), l.cookie) }

func recorder(h http.Handler, cookie func(i int) string) worker {
	return worker{do: func(_, i int) error {
		// gorilla/sessions, for one, keeps in the request's context that it has loaded.
		r := request(cookie(i)).WithContext(context.Background())
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			return fmt.Errorf("status %d: %s", w.Code, w.Body)
		}
		return nil
	}}
}

// connected returns a worker that sends requests over a connection to a server,
// which runs until stop is called.
func connected(l library, changes bool) (w worker, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return worker{}, nil, err
	}
	server := &http.Server{Handler: l.handler(changes), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	url := "http://" + listener.Addr().String() + "/"
	w.do = func(_, i int) error {
		r, err := http.NewRequest("GET", url, nil)
		if err != nil {
			return err
		}
		if cookie := l.cookie(i); cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d: %s", answer.StatusCode, body)
		}
		return err
	}
	return w, func() { client.CloseIdleConnections(); server.Close() }, nil
}
