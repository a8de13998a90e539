// Command more is the notebook with its sessions in Redis or Valkey, or with numbers
// for Prometheus. It needs further modules, and so it is one of its own.
//
//	cd examples/notebook/more
//	go run . -metrics
//	go run . -store redis://localhost:6379/0
//
// It has the flags of the notebook besides. With Redis any number of instances share
// the sessions: a second one, with -addr localhost:8081, shows the notes of the first.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/examples/notebook/internal/notebook"
	"github.com/sessfs/sessions/metrics"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	where := flag.String("store", "files", "where sessions are kept: files, cookies, or the URL of a Redis or Valkey server, redis://localhost:6379/0")
	dir := flag.String("dir", "notebook-sessions", "directory of the session files")
	count := flag.Bool("metrics", false, "show numbers for Prometheus, to everyone, on /metrics")
	flag.Parse()
	handler, err := newHandler(*where, *dir, *count)
	if err == nil {
		err = notebook.Serve(*addr, handler)
	}
	if err != nil {
		log.Fatal("notebook: ", err)
	}
}

// newHandler puts /metrics beside the notebook, outside of its sessions: a
// request that asks for numbers loads and renews none.
func newHandler(where, dir string, count bool) (http.Handler, error) {
	mux := http.NewServeMux()
	var observe func(context.Context, sessions.Event)
	if count {
		if where == "cookies" {
			return nil, errors.New("-metrics is for -store files or redis://…: sealed cookies have no events to count")
		}
		events := metrics.New("notebook")
		registry := prometheus.NewRegistry()
		registry.MustRegister(events)
		observe = events.Observe
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	}
	store, err := open(where, dir, observe)
	if err != nil {
		return nil, err
	}
	handler, err := notebook.New(store)
	if err != nil {
		return nil, err
	}
	mux.Handle("/", handler)
	return mux, nil
}

func open(where, dir string, observe func(context.Context, sessions.Event)) (notebook.Store, error) {
	if strings.Contains(where, "://") {
		return openRedis(where, observe)
	}
	return notebook.Open(where, dir, observe)
}
