package sessions

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/ownerindex"
	"github.com/sessfs/sessions/internal/sessionfile"
)

// clickTime is the age up to which a session is not ended for a login beyond
// MaxSessions: it may be that of the first of two clicks.
const clickTime = 5 * time.Second

// A naming has a session's file get its name while the file's owner is locked in the
// index, where the name is entered before. So DeleteOwner, which takes the same lock,
// comes before or after, and finds the file.
type naming struct {
	*FilesystemSessionStore
	ctx   context.Context
	after context.Context // takes the place of ctx once the file has its name; nil for none

	name   sessionfile.Name
	before sessionfile.Name // that the session had
	owner  ownerTag         // of the session
	was    ownerTag         // of the session as it is stored
	login  time.Time        // see Change.Login
}

// An ownerTag is an owner, and the tag in the header of a session's file.
type ownerTag struct{ owner, tag string }

// run is the Namer. When the index was begun anew meanwhile, in which the name may not
// be entered, it is entered again.
func (n *naming) run(dir *dirfs.Dir, rename func() error) error {
	x := n.index(dir)
	renamed := false
	for {
		since, owner, was, err := n.tags(x)
		if err != nil {
			return err
		}
		again, err := n.locked(x, owner, was, func(own *ownerindex.Lock) (again bool, err error) {
			if own != nil {
				if locked, err := n.enter(x, own, renamed); err != nil || !locked {
					return true, err
				}
			}
			if !renamed {
				if err := rename(); err != nil {
					return false, err
				}
				if renamed = true; n.after != nil {
					n.ctx = n.after
				}
			}
			is, err := x.StillIs(n.ctx, since)
			return !is, err
		})
		if renamed && errors.Is(err, ErrDeleted) {
			err = errors.Join(err, dir.Remove(n.name.File))
		}
		if err != nil || !again {
			return err
		}
	}
}

// tags returns the tags under which the index knows both owners, and the State that
// has them. They are those of the headers, unless the secret was lost since.
func (n *naming) tags(x *ownerIndex) (since ownerindex.State, owner, was string, err error) {
	since, ok, err := x.Current(n.ctx)
	if err != nil {
		return since, "", "", err
	}
	tags := [2]string{}
	for i, o := range []ownerTag{n.owner, n.was} {
		ok = ok && (o.owner == "" || isTag(since.Key, o.tag))
		tags[i] = o.tag
	}
	if ok && (n.login.IsZero() || n.opts.MaxSessions == 0 || since.Complete) {
		return since, tags[0], tags[1], nil
	}
	key, err := n.indexKey(n.ctx, x)
	if err != nil {
		return since, "", "", err
	}
	if since, err = n.begin(n.ctx, x, key, !n.login.IsZero()); err != nil {
		return since, "", "", err
	}
	for i, o := range []ownerTag{n.owner, n.was} {
		if tags[i] = ""; o.owner != "" {
			tags[i] = key.tag(o.owner)
		}
	}
	return since, tags[0], tags[1], nil
}

// locked calls f with the locks of both tags, and passes that of the owner, nil for
// none. They are taken in the order of the tags.
func (n *naming) locked(x *ownerIndex, owner, was string, f func(own *ownerindex.Lock) (bool, error)) (bool, error) {
	tags := slices.DeleteFunc([]string{owner, was}, func(tag string) bool { return tag == "" })
	slices.Sort(tags)
	var own *ownerindex.Lock
	for _, tag := range slices.Compact(tags) {
		l := new(ownerindex.Lock)
		if err := x.Lock(n.ctx, tag, l); err != nil {
			return false, err
		}
		defer l.Unlock()
		if tag == owner {
			own = l
		}
	}
	return f(own)
}

// enter enters the name. It refuses a login from before an end. It reports false when
// the lock has to be taken again.
func (n *naming) enter(x *ownerIndex, own *ownerindex.Lock, renamed bool) (locked bool, err error) {
	if !n.login.IsZero() {
		if own.Ended(n.login, publicID(n.before, n.hashed), publicID(n.name, n.hashed)) {
			return true, ErrDeleted
		}
		if n.opts.MaxSessions > 0 && !renamed {
			if err := n.makeRoom(x, own); err != nil {
				return true, err
			}
		}
	}
	if slices.Contains(own.Files, n.name.File) {
		return true, nil
	}
	own.Files = append(own.Files, n.name.File)
	return own.Write(n.ctx)
}

// makeRoom ends the oldest sessions of an owner who would have too many, or refuses the
// login.
func (n *naming) makeRoom(x *ownerIndex, own *ownerindex.Lock) error {
	type living struct {
		name  sessionfile.Name
		since time.Time
	}
	var all []living
	o, err := n.ownerSearch(n.ctx, n.owner.owner)
	if err != nil {
		return err
	}
	for _, file := range own.Files {
		name, ok := n.parse(file)
		if !ok || file == n.name.File {
			continue
		}
		found, err := o.owns(x.dir, name)
		if err != nil {
			return err
		}
		if found.is && !found.ended {
			all = append(all, living{name, found.created})
		}
	}
	slices.SortFunc(all, func(a, b living) int { return a.since.Compare(b.since) })
	for len(all) >= n.opts.MaxSessions {
		age := time.Since(all[0].since) // negative when the clock was set back
		if n.opts.RefuseLogin || 0 <= age && age < clickTime {
			return ErrTooManySessions
		}
		started := n.base.now()
		ended, err := n.logLeftover(n.files.RemoveNow(x.dir, all[0].name.File))
		if err != nil {
			return err
		}
		if ended {
			n.base.observe(n.ctx, started, nil, EventEnded, EndedByLimit)
		}
		all = all[1:]
	}
	return nil
}
