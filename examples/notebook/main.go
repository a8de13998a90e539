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
	"bytes"
	"context"
	"crypto/rand"
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
	"unicode/utf16"

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
	log.Printf("notebook: http://%s, sessions in %s", publicAddress(addr, listener), where)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the program at once
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped // Serve returns when Shutdown begins, Shutdown when all requests are answered
}

// shutdownTimeout is longer than the slowest request: a slow note and its save.
const shutdownTimeout = 4 * slowness

// publicAddress returns the address for the browser: the host of the -addr flag
// and the listener's port. A cookie of localhost is not sent to 127.0.0.1.
func publicAddress(addr string, listener net.Listener) string {
	host, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return net.JoinHostPort(host, port)
}

// A notebook is the application. Its handlers are the same wherever sessions
// are kept; only the page says where.
type notebook struct{ where string }

// newHandler puts the application together.
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
	app := notebook{where}
	mw, err := sessions.NewMiddleware(carrier, sessions.MiddlewareOptions{
		Exclude:      []string{"GET /style.css"},
		ErrorHandler: app.explain,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", app.showNotes)
	mux.HandleFunc("POST /notes", app.addNote)
	mux.HandleFunc("POST /login", app.login)
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /style.css", showStyle)
	handler := http.MaxBytesHandler(app.withForms(mw.Wrap(mux)), maxBody)
	// Other sites cannot make a visitor's browser post anything here.
	return withHeaders(http.NewCrossOriginProtection().Handler(handler)), nil
}

const (
	idleTimeout = 12 * time.Hour
	lifetime    = 30 * 24 * time.Hour
)

var cookieOptions = sessions.CookieOptions{
	InsecureAllowHTTP: true, // localhost has no TLS
	RenewOnAccess:     time.Minute,
}

// inFiles leaves the files of expired sessions to sessprune, which cron runs.
func inFiles(dir string) (sessions.Carrier, error) {
	store, err := sessions.NewFilesystemSessionStore(sessions.FilesystemOptions{Path: dir, IdleTimeout: idleTimeout, Lifetime: lifetime})
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
	return securecookie.NewCarrier(ring, securecookie.CarrierOptions{CookieOptions: cookieOptions, IdleTimeout: idleTimeout, Lifetime: lifetime})
}

func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src data:; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// maxBody is the limit for the body of a request, in bytes. It is far above the
// longest note, so that a note that is too long can be shown again.
const maxBody = 64 << 10

// withForms parses the form before the session is loaded. A body that is too
// large is refused here, and explain finds the text of the note in r.
func (app notebook) withForms(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		var tooLarge *http.MaxBytesError
		switch err := r.ParseForm(); {
		case errors.As(err, &tooLarge):
			app.render(w, http.StatusRequestEntityTooLarge, view{Problem: "That is more than this server reads. Go back, and send less."})
		case err != nil:
			app.render(w, http.StatusBadRequest, view{Problem: "The form could not be read. Go back, and send it again."})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// explain is the middleware's ErrorHandler. It answers in place of the handler
// when the session could not be loaded or saved.
func (app notebook) explain(w http.ResponseWriter, r *http.Request, err error) {
	v := view{Problem: "Your notebook could not be opened or saved. Nothing was changed; try again in a while.", Text: r.PostFormValue("text")}
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, sessions.ErrTooLarge):
		v.Problem = "Your notebook is full: its cookies hold 11 KB, and this did not fit any more. Nothing was changed. Make it shorter, or make room: log out, or throw your notes away."
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, sessions.ErrDeleted):
		v.Problem = "Your session was ended by another request at the same time. Nothing was changed; try again."
		status = http.StatusConflict
	}
	app.render(w, status, v)
}

const (
	userName sessions.Key[string]    = "user"   // who is logged in
	opened   sessions.Key[time.Time] = "opened" // when the notebook was
)

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
	slices.SortFunc(notes, func(a, b note) int { return b.At.Compare(a.At) })
	return notes
}

// showNotes begins the visitor's session on the first page. Without one, two
// tabs that write their first notes at once get a session each, of which the
// browser keeps one. Where most visitors only read, begin it later.
func (app notebook) showNotes(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	if _, ok := opened.Lookup(s); !ok && r.Method == http.MethodGet {
		opened.Set(s, time.Now())
	}
	app.show(w, r, http.StatusOK, view{})
}

// show renders the page with what is in the session.
func (app notebook) show(w http.ResponseWriter, r *http.Request, status int, v view) {
	s := sessions.FromContext(r.Context())
	v.Open, v.User, v.Opened, v.Notes = true, userName.Get(s), opened.Get(s), notesOf(s)
	if r.Method != http.MethodHead { // HEAD shows no page: the messages wait for one
		v.Flashes = s.Flashes()
	}
	app.render(w, status, v)
}

const (
	maxNotes = 100
	maxNote  = 500 // characters
	maxName  = 50  // the same

	slowness = 5 * time.Second
)

func (app notebook) addNote(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	// Browsers send CRLF, and count a line's end as one character.
	text := strings.TrimSpace(strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n"))
	var problem string
	switch {
	case text == "":
		problem = "Write something first."
	case length(text) > maxNote:
		problem = fmt.Sprintf("A note has %d characters at most, and this one has %d.", maxNote, length(text))
	case len(notesOf(s)) >= maxNotes:
		problem = fmt.Sprintf("A notebook has %d notes at most.", maxNotes)
	}
	if problem != "" {
		app.show(w, r, http.StatusUnprocessableEntity, view{Problem: problem, Text: text})
		return
	}
	if r.PostFormValue("slowly") != "" {
		time.Sleep(slowness) // time to write in another tab
	}
	sessions.Key[note](notePrefix+rand.Text()).Set(s, note{text, time.Now()})
	s.AddFlash("Noted.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// length counts as the maxlength of HTML does: UTF-16 code units.
func length(s string) int { return len(utf16.Encode([]rune(s))) }

// login takes everybody's word for who they are. Look a password up here.
func (app notebook) login(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	name := strings.TrimSpace(r.PostFormValue("name"))
	if name == "" || length(name) > maxName {
		problem := fmt.Sprintf("Give a name of up to %d characters.", maxName)
		app.show(w, r, http.StatusUnprocessableEntity, view{Problem: problem, Name: name})
		return
	}
	if owner := s.Owner(); owner != "" && owner != name {
		s.Destroy() // another user's session, with notes and timeout
	}
	s.Renew() // whoever knew the visitor's old session ID does not know the user's
	s.SetOwner(name)
	userName.Set(s, name)
	s.SetIdleTimeout(0)
	if r.PostFormValue("remember") != "" {
		s.SetIdleTimeout(lifetime)
	}
	s.AddFlash("Welcome, " + name + ".")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	farewell := "Your notes are gone."
	if userName.Get(s) != "" {
		farewell = "You are logged out, and your notes are gone."
	}
	s.Destroy()
	s.AddFlash(farewell) // into a new session
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func showStyle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	fmt.Fprint(w, style)
}

// A view is what the page shows.
type view struct {
	Where   string // files or cookies
	Problem string // why nothing was done
	Text    string // of the note that was refused
	Name    string // the same, of a login

	Open    bool // the session is at hand, and the rest is from it
	User    string
	Opened  time.Time
	Flashes []any
	Notes   []note

	MaxNote, MaxName int
}

// render writes the page whole or not at all.
func (app notebook) render(w http.ResponseWriter, status int, v view) {
	v.Where, v.MaxNote, v.MaxName = app.where, maxNote, maxName
	var html bytes.Buffer
	if err := page.Execute(&html, v); err != nil {
		log.Print("notebook: ", err)
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	html.WriteTo(w)
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{if .Problem}}Refused: {{end}}Notebook</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<header>
<h1><a href="/">Notebook</a></h1>
{{if .User}}
<form method="post" action="/logout">
<p>You are <strong>{{.User}}</strong>.</p>
<button>Log out</button>
</form>
{{end}}
</header>
<main>
{{with .Problem}}<p class="problem" role="alert">{{.}}</p>{{end}}
{{range .Flashes}}<p class="flash" role="status">{{.}}</p>{{end}}
{{if or .Open .Text}}
<section aria-labelledby="write">
<h2 id="write">Write a note</h2>
<form method="post" action="/notes">
<label for="text">Your note, of up to {{.MaxNote}} characters</label>
<textarea id="text" name="text" rows="3" maxlength="{{.MaxNote}}" required>{{.Text}}</textarea>
<label class="check"><input type="checkbox" name="slowly"> Take five seconds to save it, and write in another tab meanwhile</label>
<button>Keep it</button>
</form>
</section>
{{end}}
{{if .Open}}
<section aria-labelledby="notes">
<h2 id="notes">Your notes</h2>
{{if .Notes}}
<ul>
{{range .Notes}}<li><p>{{.Text}}</p><time datetime="{{.At.Format "2006-01-02T15:04:05Z07:00"}}">{{.At.Format "15:04:05"}}</time></li>
{{end}}
</ul>
{{if not .User}}
<form method="post" action="/logout">
<button class="quiet">Throw them all away</button>
</form>
{{end}}
{{else}}
<p>None yet.</p>
{{end}}
</section>
{{if not .User}}
<section aria-labelledby="login">
<h2 id="login">Log in</h2>
<form method="post" action="/login">
<label for="name">Your name</label>
<input id="name" name="name" autocomplete="username" maxlength="{{.MaxName}}" value="{{.Name}}" required>
<label class="check"><input type="checkbox" name="remember"> Remember me for 30 days</label>
<button>Log in</button>
</form>
</section>
{{end}}
{{else}}
<p><a href="/">Your notes</a></p>
{{end}}
</main>
<footer>
<p>{{if .Open}}{{if not .Opened.IsZero}}This notebook was opened at {{.Opened.Format "15:04:05"}}. {{end}}{{end -}}
{{if eq .Where "cookies"}}Your session is kept in cookies: if you write in two tabs at once, the later note stays.
{{- else}}Your session is kept in {{.Where}}: if you write in two tabs at once, both notes stay.{{end}}</p>
</footer>
</body>
</html>
`))

const style = `:root { color-scheme: light dark; --ink: #1d2733; --paper: #fbfaf7; --card: #fff; --line: #d9d4c7; --accent: #1f5f8b; --on-accent: #fff; --soft: #5d6673; --flash: #fff4d1; --problem: #b3261e; }
@media (prefers-color-scheme: dark) {
	:root { --ink: #e6e8ea; --paper: #14181d; --card: #1d232a; --line: #38414b; --accent: #8cc4ec; --on-accent: #10202c; --soft: #a3adb8; --flash: #3b3420; --problem: #ff9a8f; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 42rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink); font: 1.05rem/1.55 system-ui, sans-serif; }
header, header form { min-width: 0; overflow-wrap: anywhere; display: flex; align-items: center; justify-content: space-between; gap: 1rem; flex-wrap: wrap; }
h1 { font-size: 1.9rem; margin: 0; }
h1 a { color: inherit; text-decoration: none; }
a { color: var(--accent); }
h2 { font-size: 1.15rem; margin: 0 0 .75rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem 1.25rem; margin: 1.1rem 0; }
label { display: block; font-weight: 600; margin-bottom: .3rem; }
.check { display: flex; align-items: baseline; gap: .5rem; font-weight: 400; margin: .6rem 0; }
textarea, input:not([type=checkbox]) { width: 100%; font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--soft); border-radius: .4rem; padding: .5rem .6rem; margin-bottom: .3rem; }
button { font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 0; border-radius: .4rem; padding: .5rem 1rem; cursor: pointer; }
.quiet { color: var(--accent); background: none; border: 1px solid currentColor; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.flash, .problem { background: var(--flash); border-left: .3rem solid var(--accent); padding: .6rem .9rem; border-radius: .3rem; overflow-wrap: anywhere; }
.problem { border-color: var(--problem); }
ul { list-style: none; margin: 0; padding: 0; }
li { display: flex; justify-content: space-between; gap: 1rem; border-top: 1px solid var(--line); padding: .6rem 0; }
li:first-child { border-top: 0; padding-top: 0; }
li p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
time { color: var(--soft); font-variant-numeric: tabular-nums; }
footer { color: var(--soft); font-size: .95rem; }
`
