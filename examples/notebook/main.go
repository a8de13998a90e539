// Command notebook is a small web application with its sessions in files, or
// in cookies: notes, login, logout, flash messages and "remember me".
//
//	go run ./examples/notebook
//	go run ./examples/notebook -store cookies
//
// Open http://localhost:8080 in two tabs and write in both at once: no note is
// lost, since a save carries only what its own request changed. With cookies
// that cannot be had: the later response wins.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/securecookie"
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

// run serves until it is interrupted.
func run(addr, where, dir string) error {
	handler, err := newHandler(where, dir)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	log.Printf("notebook: http://%s, sessions in %s", listener.Addr(), where)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(ctx)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newHandler puts the application together. Where the sessions are kept is
// all the same to its handlers.
func newHandler(where, dir string) (http.Handler, error) {
	var carrier sessions.Carrier
	var err error
	switch where {
	case "files":
		carrier, err = inFiles(dir)
	case "cookies":
		carrier, err = inCookies()
	default:
		err = errors.New("-store is files or cookies")
	}
	if err != nil {
		return nil, err
	}
	mw, err := sessions.NewMiddleware(carrier, sessions.MiddlewareOptions{
		Exclude: []string{"GET /style.css"},
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", showNotes)
	mux.HandleFunc("POST /notes", addNote)
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /style.css", showStyle)
	// Other sites cannot make a visitor's browser post anything here.
	return withHeaders(http.NewCrossOriginProtection().Handler(mw.Wrap(mux))), nil
}

const (
	maxAge   = 12 * time.Hour
	lifetime = 30 * 24 * time.Hour
)

var cookieOptions = sessions.CookieOptions{
	InsecureAllowHTTP: true, // localhost has no TLS
	RenewOnAccess:     time.Minute,
}

func inFiles(dir string) (sessions.Carrier, error) {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, MaxAge: maxAge, Lifetime: lifetime})
	if err != nil {
		return nil, err
	}
	return sessions.NewCookies(store, cookieOptions)
}

// inCookies takes the keys from the environment, so that sessions outlive the
// process.
func inCookies() (sessions.Carrier, error) {
	text := os.Getenv("NOTEBOOK_KEYS")
	if text == "" {
		log.Print("notebook: without NOTEBOOK_KEYS the key is new, and sessions end with this process; go run ./securecookie/keygen makes one")
		text = securecookie.GenerateKey().Reveal()
	}
	keys, err := securecookie.ParseKeys(text)
	if err != nil {
		return nil, err
	}
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: keys, Audience: "notebook"})
	if err != nil {
		return nil, err
	}
	return securecookie.NewCarrier(ring, securecookie.CarrierOptions{CookieOptions: cookieOptions, MaxAge: maxAge, Lifetime: lifetime})
}

func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// userName is who is logged in.
const userName sessions.Key[string] = "user"

// A note is one value of the session. Each has a key of its own, so that notes
// written at the same time do not meet.
type note struct {
	Text string
	At   time.Time
}

const notePrefix = "note."

func notesOf(s *sessions.Session) (notes []note) {
	for key := range s.All() {
		if strings.HasPrefix(key, notePrefix) {
			if n, ok := sessions.Key[note](key).Lookup(s); ok {
				notes = append(notes, n)
			}
		}
	}
	slices.SortFunc(notes, func(a, b note) int { return cmp.Compare(b.At.UnixNano(), a.At.UnixNano()) })
	return notes
}

func showNotes(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	data := struct {
		User    string
		Flashes []any
		Notes   []note
	}{userName.Get(s), s.Flashes(), notesOf(s)}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, data); err != nil {
		log.Print("notebook: ", err)
	}
}

const maxNotes, maxNote = 100, 500

func addNote(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	text := strings.TrimSpace(r.FormValue("text"))
	switch {
	case text == "":
		s.AddFlash("Write something first.")
	case len(text) > maxNote:
		s.AddFlash(fmt.Sprintf("A note has %d bytes at most.", maxNote))
	case len(notesOf(s)) >= maxNotes:
		s.AddFlash(fmt.Sprintf("A notebook has %d notes at most.", maxNotes))
	default:
		if r.FormValue("slowly") != "" {
			time.Sleep(5 * time.Second) // time to write in another tab
		}
		now := time.Now()
		sessions.Key[note](fmt.Sprintf("%s%d", notePrefix, now.UnixNano())).Set(s, note{text, now})
		s.AddFlash("Noted.")
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// login takes everybody's word for who they are. Look a password up here.
func login(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	name := strings.TrimSpace(r.FormValue("name"))
	if name == "" || len(name) > 50 {
		s.AddFlash("Give a name of up to 50 bytes.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.Renew() // whoever knew the visitor's old session ID does not know the user's
	userName.Set(s, name)
	s.SetOwner(name)
	if r.FormValue("remember") != "" {
		s.SetMaxAge(30 * 24 * time.Hour)
	}
	s.AddFlash("Welcome, " + name + ".")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	s.Destroy()
	s.AddFlash("You are logged out, and your notes are gone.") // into a new session
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func showStyle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	fmt.Fprint(w, style)
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Notebook</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<header>
<h1>Notebook</h1>
{{if .User}}
<form method="post" action="/logout">
<p>You are <strong>{{.User}}</strong>.</p>
<button>Log out</button>
</form>
{{end}}
</header>
<main>
{{range .Flashes}}<p class="flash" role="status">{{.}}</p>{{end}}
<section aria-labelledby="write">
<h2 id="write">Write a note</h2>
<form method="post" action="/notes">
<label for="text">Your note</label>
<textarea id="text" name="text" rows="3" maxlength="500" required></textarea>
<label class="check"><input type="checkbox" name="slowly"> Take five seconds to save it, and write in another tab meanwhile</label>
<button>Keep it</button>
</form>
</section>
<section aria-labelledby="notes">
<h2 id="notes">Your notes</h2>
{{if .Notes}}
<ul>
{{range .Notes}}<li><p>{{.Text}}</p><time datetime="{{.At.Format "2006-01-02T15:04:05Z07:00"}}">{{.At.Format "15:04:05"}}</time></li>
{{end}}
</ul>
{{else}}
<p>None yet.</p>
{{end}}
</section>
{{if not .User}}
<section aria-labelledby="login">
<h2 id="login">Log in</h2>
<form method="post" action="/login">
<label for="name">Your name</label>
<input id="name" name="name" autocomplete="username" maxlength="50" required>
<label class="check"><input type="checkbox" name="remember"> Remember me for 30 days</label>
<button>Log in</button>
</form>
</section>
{{end}}
</main>
</body>
</html>
`))

const style = `:root { color-scheme: light dark; --ink: #1d2733; --paper: #fbfaf7; --card: #fff; --line: #d9d4c7; --accent: #1f5f8b; --on-accent: #fff; --soft: #5d6673; --flash: #fff4d1; }
@media (prefers-color-scheme: dark) {
	:root { --ink: #e6e8ea; --paper: #14181d; --card: #1d232a; --line: #38414b; --accent: #8cc4ec; --on-accent: #10202c; --soft: #a3adb8; --flash: #3b3420; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 42rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink); font: 1.05rem/1.55 system-ui, sans-serif; }
header, header form { display: flex; align-items: center; justify-content: space-between; gap: 1rem; flex-wrap: wrap; }
h1 { font-size: 1.9rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 0 0 .75rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem 1.25rem; margin: 1.1rem 0; }
label { display: block; font-weight: 600; margin-bottom: .3rem; }
.check { font-weight: 400; margin: .6rem 0; }
textarea, input:not([type=checkbox]) { width: 100%; font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--soft); border-radius: .4rem; padding: .5rem .6rem; margin-bottom: .3rem; }
button { font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 0; border-radius: .4rem; padding: .5rem 1rem; cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.flash { background: var(--flash); border-left: .3rem solid var(--accent); padding: .6rem .9rem; border-radius: .3rem; }
ul { list-style: none; margin: 0; padding: 0; }
li { display: flex; justify-content: space-between; gap: 1rem; border-top: 1px solid var(--line); padding: .6rem 0; }
li:first-child { border-top: 0; padding-top: 0; }
li p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
time { color: var(--soft); font-variant-numeric: tabular-nums; }
`
