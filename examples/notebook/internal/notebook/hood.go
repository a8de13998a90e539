package notebook

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sessfs/sessions"
)

// A Stored is a session as its store has it: the visitor's own, since a page
// shows it.
type Stored struct {
	Command  string    // shows it as Text does, "" if none can
	Text     string    // printable, apart from line feeds
	Size     int       // bytes
	Sequence uint64    // counts the saves, 0 where the store does not
	Used     time.Time // when the idle timeout began
	Vague    bool      // it began then or later
}

// readFile shows a session file: its header, and both slots in the order in
// which they stand, the older one shorter. ARCHITECTURE.md has the format.
func readFile(path string) (Stored, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Stored{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Stored{}, err
	}
	header, _, _ := strings.Cut(string(data), "\n")
	size := 0
	if match := slotSize.FindStringSubmatch(header + " "); match != nil {
		size, _ = strconv.Atoi(match[1])
	}
	middle := min(headerSize+size, len(data))
	slots := []slot{parseSlot(data[min(headerSize, len(data)):middle]), parseSlot(data[middle:])}
	sequence := max(slots[0].sequence, slots[1].sequence)
	lines := []string{printable(header, maxShown)}
	for _, slot := range slots {
		switch slot.sequence {
		case 0: // none, in a session that was saved once
		case sequence:
			lines = append(lines, "", printable(slot.head, maxShown), printable(slot.values, maxShown))
		default:
			lines = append(lines, "", printable(slot.head, maxShown), printable(slot.values, maxShown/5))
		}
	}
	return Stored{
		Command:  "head -n 8 " + path + " | tr -s ' '",
		Text:     strings.Join(lines, "\n"),
		Size:     len(data),
		Sequence: sequence,
		Used:     info.ModTime(),
	}, nil
}

const (
	headerSize = 512  // bytes
	maxShown   = 1000 // bytes of a text
)

var (
	slotSize = regexp.MustCompile(` slot=([0-9]{1,9}) `)
	slotHead = regexp.MustCompile(`^slot ([0-9a-f]{16}) ([0-9a-f]{8}) `)
)

// A slot is one of the two states of a session in its file.
type slot struct {
	sequence     uint64
	head, values string
}

func parseSlot(data []byte) slot {
	head, values, _ := strings.Cut(string(data), "\n")
	match := slotHead.FindStringSubmatch(head)
	if match == nil {
		return slot{}
	}
	sequence, _ := strconv.ParseUint(match[1], 16, 64)
	length, _ := strconv.ParseUint(match[2], 16, 32)
	return slot{sequence, head, values[:min(length, uint64(len(values)))]}
}

// showCookies shows the names and sizes of the cookies that the browser has, or
// is about to get, and the beginning of each: all of one is as good as a
// password. A cookie was sealed one RenewOnAccess ago at most.
func showCookies(w http.ResponseWriter, r *http.Request, _ *sessions.Session) (Stored, error) {
	stored := Stored{Used: time.Now().Add(-cookieOptions.RenewOnAccess), Vague: true}
	cookies := (&http.Response{Header: w.Header()}).Cookies()
	if len(cookies) == 0 {
		cookies = r.Cookies()
	}
	var lines []string
	for _, c := range cookies {
		if name, _, _ := strings.Cut(c.Name, "-"); name != "session" || c.MaxAge < 0 {
			continue
		}
		stored.Size += len(c.Value)
		lines = append(lines, printable(fmt.Sprintf("%s=%.24s… %d characters", c.Name, c.Value, len(c.Value)), maxShown))
	}
	stored.Text = strings.Join(lines, "\n")
	return stored, nil
}

// printable escapes all that could move a terminal's cursor or turn the
// direction of a text, apart from line feeds, and cuts it at a number of bytes.
func printable(text string, limit int) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case b.Len() >= limit:
			return fmt.Sprintf("%s… and %d bytes more", &b, len(text)-i)
		case r == '\n' || unicode.IsPrint(r) && r != unicode.ReplacementChar:
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// Printable is a line of a session for [Stored], escaped and cut at the length that the
// page shows.
func Printable(line string) string { return printable(line, maxShown) }

// A hood is the content of the page under the hood.
type hood struct {
	Stored
	Values     int
	Idle, Life string // the rest of its time
	Count      int

	Run     bool   // twenty requests were sent
	Changes []bool // which of theirs are there
	Kept    int    // how many
}

const counter sessions.Key[int] = "counter"

// change is the value that the request of a number sets.
func change(i int) sessions.Key[string] {
	return sessions.Key[string](fmt.Sprintf("change.%02d", i+1))
}

// showHood shows the session as it was before this request. One that is new is
// saved first, so that there is something to see.
func (nb *notebook) showHood(w http.ResponseWriter, r *http.Request) {
	s := begin(r)
	if s.New() {
		if err := sessions.Save(r.Context()); err != nil {
			nb.explain(w, r, err)
			return
		}
	}
	var stored Stored
	if !s.New() { // as for HEAD
		var err error
		if stored, err = nb.store.Show(w, r, s); err != nil {
			log.Print("notebook: ", err)
			nb.render(w, http.StatusConflict, view{Problem: "Your session cannot be shown: another request has just ended it, or moved it. Try again."})
			return
		}
	}
	h := &hood{
		Stored: stored,
		Values: s.Len(),
		Count:  counter.Get(s),
		Idle:   left(stored.Used.Add(or(s.IdleTimeout(), IdleTimeout))),
		Life:   left(s.Created().Add(or(s.Lifetime(), Lifetime))),
	}
	if run := r.FormValue("run"); run != "" {
		h.Run = true
		for i := range twenty {
			kept := change(i).Get(s) == run
			h.Changes = append(h.Changes, kept)
			if kept {
				h.Kept++
			}
		}
	}
	nb.show(w, r, http.StatusOK, view{Hood: h})
}

func (nb *notebook) count(w http.ResponseWriter, r *http.Request) {
	if err := countOne(r); err != nil {
		nb.explain(w, r, err)
		return
	}
	http.Redirect(w, r, "/hood#counter", http.StatusSeeOther)
}

// countOne builds on the stored value: however many requests count at once, none
// is lost where the store can lock.
func countOne(r *http.Request) error {
	return sessions.Update(r.Context(), func(s *sessions.Session) error {
		counter.Set(s, counter.Get(s)+1)
		return nil
	})
}

// or returns a session's own timeout, or the store's if it has none.
func or(own, stores time.Duration) time.Duration {
	if own != 0 {
		return own
	}
	return stores
}

// left tells how long it is until then.
func left(then time.Time) string {
	d := max(0, time.Until(then))
	hours, minutes := int(d.Hours()), int(d.Minutes())%60
	switch {
	case hours >= 48:
		return fmt.Sprintf("%d days %d h", hours/24, hours%24)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	}
	return fmt.Sprintf("%d min %d s", minutes, int(d.Seconds())%60)
}

const (
	twenty   = 20
	overlap  = 100 * time.Millisecond // all twenty load their session before the first saves it
	patience = 10 * time.Second
)

// setChange is one of the twenty requests. It changes a session and begins none:
// without the visitor's, each of the twenty would begin its own.
func (nb *notebook) setChange(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	i, err := strconv.Atoi(r.PostFormValue("number"))
	run := r.PostFormValue("run")
	switch {
	case err != nil || i < 0 || i >= twenty || len(run) != runLength:
		w.WriteHeader(http.StatusBadRequest)
		return
	case s.New():
		w.WriteHeader(http.StatusConflict)
		return
	}
	time.Sleep(overlap)
	change(i).Set(s, run)
	if err := countOne(r); err != nil { // and save
		s.Discard()
		nb.explain(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

const runLength = 6

// sendTwenty makes the twenty requests with the visitor's cookies, as a script of
// the page would. It does not ask for the session itself: its response has the
// cookies of the last answer, which are those that the browser would keep.
func (nb *notebook) sendTwenty(w http.ResponseWriter, r *http.Request) {
	select {
	case nb.turn <- struct{}{}: // one visitor at a time
		defer func() { <-nb.turn }()
	case <-time.After(patience):
		nb.render(w, http.StatusServiceUnavailable, view{Problem: "Others are sending twenty requests. Try again in a while."})
		return
	}
	run := rand.Text()[:runLength]
	answers := make(chan answer)
	for i := range twenty {
		go func() { answers <- send(r, url.Values{"run": {run}, "number": {strconv.Itoa(i)}}) }()
	}
	var last, failed answer
	for range twenty {
		if a := <-answers; a.err == nil {
			last = a
		} else {
			failed = a
		}
	}
	if last.header == nil {
		nb.render(w, http.StatusConflict, view{Problem: "None of the twenty requests changed anything: " + failed.err.Error() + "."})
		return
	}
	for _, cookie := range last.header.Values("Set-Cookie") {
		w.Header().Add("Set-Cookie", cookie)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/hood?run="+run+"#twenty", http.StatusSeeOther)
}

// An answer is that to one of the twenty requests.
type answer struct {
	header http.Header
	err    error
}

// client connects to this server alone. Its connections end with their requests.
var client = &http.Client{
	Timeout:       patience,
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// send posts a change to the address at which this server has accepted the
// visitor's connection. The Host header names one too, and is the visitor's to
// choose.
func send(r *http.Request, form url.Values) answer {
	own, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return answer{err: errors.New("this server does not know its address")}
	}
	target := url.URL{Scheme: "http", Host: own.String(), Path: "/hood/change"}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, target.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header["Cookie"] = r.Header["Cookie"]
	resp, err := client.Do(req)
	if err != nil {
		log.Print("notebook: ", err)
		return answer{err: errors.New("this server did not answer")}
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return answer{header: resp.Header}
	case http.StatusConflict:
		return answer{err: errors.New("your session has ended")}
	}
	return answer{err: errors.New("the server answered " + resp.Status)}
}
