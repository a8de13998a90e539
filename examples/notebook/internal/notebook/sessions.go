package notebook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sessfs/sessions"
)

// A moment is a time, and how far off it is in words.
type moment struct {
	At    time.Time
	Words string
}

// A place is one where the visitor is logged in: a session on the page of these.
type place struct {
	ID     string // the session's public one
	Device string // as it was noted at the login
	Here   bool   // it is the session of this request

	LoggedIn, Used moment
	Idle, End      moment // the zero At for never, and for an Idle after End
}

// A places is the content of the page that lists them.
type places struct {
	List   []place
	More   int  // that are not in List
	Others bool // any but this one
}

// maxPlaces is the number of sessions that a page shows.
const maxPlaces = 50

// showPlaces shows where the visitor is logged in.
func (nb *notebook) showPlaces(w http.ResponseWriter, r *http.Request) {
	begin(r)
	nb.listPlaces(w, r, http.StatusOK, "")
}

func (nb *notebook) listPlaces(w http.ResponseWriter, r *http.Request, status int, problem string) {
	list, err := nb.places(r)
	if err != nil {
		log.Print("notebook: ", err)
		status, problem = http.StatusInternalServerError, "The list may lack sessions: not all of them could be read. Try again in a while."
	}
	p := &places{Others: slices.ContainsFunc(list, func(p place) bool { return !p.Here })}
	p.List = list[:min(maxPlaces, len(list))]
	p.More = len(list) - len(p.List)
	nb.show(w, r, status, view{Places: p, Problem: problem})
}

// places returns the sessions of the visitor's owner, the last used first: that
// of this request. Where none can be found by their owner, it is the only one.
// With an error some may be missing.
func (nb *notebook) places(r *http.Request) (list []place, err error) {
	s := sessions.FromContext(r.Context())
	switch {
	case s.Owner() == "":
		return nil, nil
	case nb.store.Owners == nil:
		return []place{newPlace(s, sessions.SessionInfo{
			PublicID: s.PublicID(), Created: s.Created(), AuthenticatedAt: s.AuthenticatedAt(),
			IdleDeadline: s.IdleDeadline(), Deadline: s.Deadline(), Meta: s.Meta(),
		})}, nil
	}
	var errs []error
	for info, err := range nb.store.Owners.ListOwner(r.Context(), s.Owner()) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, newPlace(s, info))
	}
	slices.SortFunc(list, func(a, b place) int {
		return cmp.Or(b.Used.At.Compare(a.Used.At), cmp.Compare(a.ID, b.ID))
	})
	return list, errors.Join(errs...)
}

func newPlace(s *sessions.Session, info sessions.SessionInfo) place {
	p := place{
		ID: info.PublicID, Device: cmp.Or(info.Meta, "Unknown browser"), Here: info.PublicID == s.PublicID(),
		LoggedIn: moment{info.AuthenticatedAt, ago(info.AuthenticatedAt)},
		Used:     moment{info.Used, ago(info.Used)},
		Idle:     moment{info.IdleDeadline, left(info.IdleDeadline)},
		End:      moment{info.Deadline, left(info.Deadline)},
	}
	if p.Here {
		p.Used = moment{time.Now(), "now"}
	}
	if !p.End.At.IsZero() && p.Idle.At.After(p.End.At) { // it is over before
		p.Idle = moment{}
	}
	return p
}

// ago tells how long ago a time was.
func ago(then time.Time) string {
	d := time.Since(then)
	count := func(n int, unit string) string {
		if n != 1 {
			unit += "s"
		}
		return fmt.Sprintf("%d %s ago", n, unit)
	}
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return count(int(d.Minutes()), "minute")
	case d < 48*time.Hour:
		return count(int(d.Hours()), "hour")
	}
	return count(int(d.Hours())/24, "day")
}

// The sessions that a form can end, beside one by its public ID.
const (
	others     = "others"
	everywhere = "everywhere"
)

// A question is that of the page which asks before sessions are ended.
type question struct {
	Which  string // others, everywhere or a public ID
	Device string // of the one
	Ask    bool   // who the visitor is
}

// ask asks before sessions are ended: their notes are lost, and without a script
// only a page of its own can ask.
func (nb *notebook) ask(w http.ResponseWriter, r *http.Request) {
	nb.askAgain(w, r, http.StatusOK, "")
}

func (nb *notebook) askAgain(w http.ResponseWriter, r *http.Request, status int, problem string) {
	s := sessions.FromContext(r.Context())
	if s.Owner() == "" || nb.store.Owners == nil {
		http.Redirect(w, r, "/sessions", http.StatusSeeOther) // which tells why
		return
	}
	q := &question{Which: r.FormValue("which"), Ask: longAgo(s)}
	if q.Which != others && q.Which != everywhere {
		list, err := nb.places(r)
		if err != nil {
			log.Print("notebook: ", err)
		}
		i := slices.IndexFunc(list, func(p place) bool { return p.ID == q.Which })
		if i < 0 {
			nb.listPlaces(w, r, http.StatusNotFound, "That session is not there any more.")
			return
		}
		q.Device = list[i].Device
	}
	nb.show(w, r, status, view{Question: q, Problem: problem})
}

// trust is how long after a login visitors may end sessions without telling again
// who they are (ASVS 5.0 7.5.2).
const trust = 10 * time.Minute

func longAgo(s *sessions.Session) bool { return time.Since(s.AuthenticatedAt()) > trust }

// endPlaces ends sessions of the visitor's owner.
func (nb *notebook) endPlaces(w http.ResponseWriter, r *http.Request) {
	s := sessions.FromContext(r.Context())
	owner, here, which := s.Owner(), s.PublicID(), r.PostFormValue("which")
	if owner == "" || nb.store.Owners == nil {
		http.Redirect(w, r, "/sessions", http.StatusSeeOther)
		return
	}
	if which == here {
		logout(w, r)
		return
	}
	if longAgo(s) {
		if strings.TrimSpace(r.PostFormValue("name")) != owner {
			nb.askAgain(w, r, http.StatusUnprocessableEntity, "That is not the name that you are logged in by.")
			return
		}
		authenticate(s, r, owner)
		if err := sessions.Save(r.Context()); err != nil { // under its new ID, which stays
			nb.explain(w, r, err)
			return
		}
	}
	// Not cut short by a browser that goes away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
	defer cancel()
	message, err := nb.end(ctx, s, owner, which)
	if err != nil {
		log.Print("notebook: ", err)
		nb.listPlaces(w, r, http.StatusInternalServerError, "Not all of these sessions could be ended. Try again in a while.")
		return
	}
	s.AddFlash(message)
	http.Redirect(w, r, "/sessions", http.StatusSeeOther)
}

// end ends the sessions of an owner that a form names, and returns a message about
// it.
func (nb *notebook) end(ctx context.Context, s *sessions.Session, owner, which string) (message string, err error) {
	switch which {
	case others:
		n, err := nb.store.Owners.DeleteOwner(ctx, owner, s.PublicID())
		return fmt.Sprintf("You are logged out everywhere but here. Sessions that were ended: %d.", n), err
	case everywhere:
		if _, err := nb.store.Owners.DeleteOwner(ctx, owner); err != nil {
			return "", err
		}
		s.Destroy()
		return "You are logged out everywhere, and your notes are gone.", nil
	}
	found, err := nb.store.Owners.DeleteOne(ctx, owner, which)
	if !found {
		return "That session had ended before.", err
	}
	return "The session is ended.", err
}
