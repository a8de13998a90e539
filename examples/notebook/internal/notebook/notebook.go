// Package notebook is the application of the command notebook: notes, login,
// logout, flash messages, "remember me", a page that shows a visitor's session as
// it is stored, and one where a user sees and ends all of theirs.
package notebook

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"errors"
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
)

// Serve serves until it is interrupted.
func Serve(addr string, handler http.Handler) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	log.Printf("notebook: http://%s", PublicAddress(addr, listener))

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

// PublicAddress returns the address for the browser: the host of the -addr flag
// and the listener's port. A cookie of localhost is not sent to 127.0.0.1.
func PublicAddress(addr string, listener net.Listener) string {
	host, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return net.JoinHostPort(host, port)
}

// A notebook is the application.
type notebook struct {
	store Store
	turn  chan struct{} // of a visitor who sends twenty requests
}

// New puts the application together.
func New(store Store) (http.Handler, error) {
	nb := &notebook{store, make(chan struct{}, 1)}
	mw, err := sessions.NewMiddleware(store.Carrier, sessions.MiddlewareOptions{
		Exclude:      []string{"GET /style.css"},
		ErrorHandler: nb.explain,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", nb.showNotes)
	mux.HandleFunc("POST /notes", nb.addNote)
	mux.HandleFunc("POST /login", nb.login)
	mux.HandleFunc("POST /logout", logout)
	mux.HandleFunc("GET /sessions", nb.showPlaces)
	mux.HandleFunc("GET /sessions/end", nb.ask)
	mux.HandleFunc("POST /sessions/end", nb.endPlaces)
	mux.HandleFunc("GET /hood", nb.showHood)
	mux.HandleFunc("POST /hood/count", nb.count)
	mux.HandleFunc("POST /hood/twenty", nb.sendTwenty)
	mux.HandleFunc("POST /hood/change", nb.setChange)
	mux.HandleFunc("GET /style.css", showStyle)
	handler := http.MaxBytesHandler(nb.withForms(mw.Wrap(mux)), maxBody)
	// Other sites cannot make a visitor's browser post anything here.
	return withHeaders(http.NewCrossOriginProtection().Handler(handler)), nil
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
func (nb *notebook) withForms(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		var tooLarge *http.MaxBytesError
		switch err := r.ParseForm(); {
		case errors.As(err, &tooLarge):
			nb.render(w, http.StatusRequestEntityTooLarge, view{Problem: "That is more than this server reads. Go back, and send less."})
		case err != nil:
			nb.render(w, http.StatusBadRequest, view{Problem: "The form could not be read. Go back, and send it again."})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// explain is the middleware's ErrorHandler. It answers in place of the handler
// when the session could not be loaded or saved.
func (nb *notebook) explain(w http.ResponseWriter, r *http.Request, err error) {
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
	nb.render(w, status, v)
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

// showNotes shows the first page.
func (nb *notebook) showNotes(w http.ResponseWriter, r *http.Request) {
	begin(r)
	nb.show(w, r, http.StatusOK, view{})
}

// begin begins the visitor's session with the first page. Without one, two
// tabs that write their first notes at once get a session each, of which the
// browser keeps one. Where most visitors only read, begin it later.
func begin(r *http.Request) *sessions.Session {
	s := sessions.FromContext(r.Context())
	if _, ok := opened.Lookup(s); !ok && r.Method == http.MethodGet {
		opened.Set(s, time.Now())
	}
	return s
}

// show renders the page with the content of the session.
func (nb *notebook) show(w http.ResponseWriter, r *http.Request, status int, v view) {
	s := sessions.FromContext(r.Context())
	v.Open, v.User, v.Opened, v.Notes = true, userName.Get(s), opened.Get(s), notesOf(s)
	if end := s.Deadline(); v.User != "" && !end.IsZero() && time.Until(end) < warning {
		v.Left = left(end)
	}
	if r.Method != http.MethodHead { // HEAD shows no page: the messages wait for one
		v.Flashes = s.Flashes()
	}
	nb.render(w, status, v)
}

const (
	maxNotes = 100
	maxNote  = 500 // characters
	maxName  = 50  // the same

	slowness = 5 * time.Second
	warning  = time.Hour // is how long before its end a page tells that a session ends
)

func (nb *notebook) addNote(w http.ResponseWriter, r *http.Request) {
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
		nb.show(w, r, http.StatusUnprocessableEntity, view{Problem: problem, Text: text})
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
func (nb *notebook) login(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	name := strings.TrimSpace(r.PostFormValue("name"))
	if name == "" || length(name) > maxName {
		problem := fmt.Sprintf("Give a name of up to %d characters.", maxName)
		nb.show(w, r, http.StatusUnprocessableEntity, view{Problem: problem, Name: name})
		return
	}
	authenticate(s, r, name)
	s.SetIdleTimeout(0)
	if r.PostFormValue("remember") != "" {
		s.SetIdleTimeout(Lifetime)
	}
	s.AddFlash("Welcome, " + name + ".")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// authenticate makes the session that of a user who has just told their name.
func authenticate(s *sessions.Session, r *http.Request, name string) {
	s.Login(name) // a new ID, and the end of another user's session
	s.SetMeta(device(r))
	userName.Set(s, name)
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

// A view is the content of a page.
type view struct {
	Store   Store
	Problem string // why nothing was done
	Text    string // of the note that was refused
	Name    string // the same, of a login

	Open    bool // the session is at hand, and the rest is from it
	User    string
	Left    string // until the session ends, if that is soon
	Opened  time.Time
	Flashes []any
	Notes   []note

	// One of these at the most, of the page of its own.
	Hood     *hood
	Places   *places
	Question *question

	Page, Title      string
	MaxNote, MaxName int
}

// page names the page of a view, and its template.
func (v view) page() (name, title string) {
	switch {
	case v.Hood != nil:
		return "hood", "Under the hood"
	case v.Places != nil:
		return "sessions", "Where you are logged in"
	case v.Question != nil:
		return "sessions", "Log out?"
	}
	return "notes", ""
}

// render writes the page whole or not at all.
func (nb *notebook) render(w http.ResponseWriter, status int, v view) {
	v.Store, v.MaxNote, v.MaxName = nb.store, maxNote, maxName
	v.Page, v.Title = v.page()
	var html bytes.Buffer
	if err := pages[v.Page].Execute(&html, v); err != nil {
		log.Print("notebook: ", err)
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	html.WriteTo(w)
}

var (
	//go:embed *.html
	templates embed.FS

	//go:embed style.css
	style string

	pages = map[string]*template.Template{
		"notes":    template.Must(template.ParseFS(templates, "layout.html", "notes.html")),
		"hood":     template.Must(template.ParseFS(templates, "layout.html", "hood.html")),
		"sessions": template.Must(template.ParseFS(templates, "layout.html", "sessions.html")),
	}
)
