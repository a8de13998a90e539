// Command notebook is a small web application with its sessions in files, or
// in cookies: notes, login, logout, flash messages, "remember me", a page that
// shows a visitor's session as it is stored, and one on which users see and end
// their sessions.
//
//	go run ./examples/notebook
//	go run ./examples/notebook -store cookies
//
// Open http://localhost:8080 in two tabs and write in both at once: no note is
// lost, since a save carries only the changes of its own request. With cookies
// that cannot be had: the later response wins.
//
// The application is in internal/notebook. Command more, a module of its own,
// serves it with numbers for Prometheus.
package main

import (
	"flag"
	"log"

	"github.com/sessfs/sessions/examples/notebook/internal/notebook"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to listen on")
	where := flag.String("store", "files", "where sessions are kept: files or cookies")
	dir := flag.String("dir", "notebook-sessions", "directory of the session files")
	flag.Parse()
	if err := run(*addr, *where, *dir); err != nil {
		log.Fatal("notebook: ", err)
	}
}

func run(addr, where, dir string) error {
	store, err := notebook.Open(where, dir, nil)
	if err != nil {
		return err
	}
	handler, err := notebook.New(store)
	if err != nil {
		return err
	}
	return notebook.Serve(addr, handler)
}
