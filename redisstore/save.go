package redisstore

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sessfs/sessions"
)

// A save is a change as it is sent.
type save struct {
	keys           []string
	makes, on      string // versions
	flags          string
	made           string // see madeText
	idle, lifetime string // the store's
	edit           *edit
	fresh, sealed  bool      // nothing is stored yet; the edit is sealed
	now            time.Time // of the server, when it was carried out
}

func (st *Store) newSave(c *sessions.Change) (*save, error) {
	rec, _ := c.Attributes()
	s := &save{
		keys: []string{c.NewKey()}, makes: newVersion(), idle: st.idle, lifetime: st.lifeText,
		fresh: c.Fresh() && !c.Renewed(), sealed: st.opts.Sealer != nil,
	}
	var exact bool
	s.on, exact = c.BuildsOn()
	var err error
	if s.sealed {
		exact = true
		s.edit, err = st.newSealedEdit(c)
	} else {
		s.edit = newEdit(c)
	}
	if err != nil {
		return nil, err
	}
	size := c.Size()
	if s.sealed {
		size = len(s.edit.set[len(s.edit.set)-1])
	}
	if size > st.opts.MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", sessions.ErrTooLarge, size, st.opts.MaxSize)
	}
	if c.Renewed() {
		s.keys = []string{c.Key(), c.NewKey()}
	}
	s.made = madeText(c, &rec, s.sealed)
	s.flag('f', s.fresh)
	s.flag('x', exact)
	s.flag('c', c.Cleared() && !s.sealed)
	s.flag('t', rec.IdleTimeout != 0 || rec.Lifetime != 0)
	return s, nil
}

// madeText returns the codec and, unless that is now by the server's clock, when the session was
// made; "" for one that goes on under its key.
func madeText(c *sessions.Change, rec *sessions.Record, sealed bool) string {
	switch {
	case !c.Fresh():
		return ""
	case isImport(rec):
		return rec.Codec + " " + formatTime(rec.Created) + " " + formatTime(rec.Used)
	case sealed:
		return rec.Codec + " " + formatTime(rec.Created)
	}
	return rec.Codec
}

func (s *save) flag(f byte, is bool) {
	if is {
		s.flags += string(f)
	}
}

// args returns the arguments of the save script.
func (s *save) args(repeated bool) []string {
	flags := s.flags
	if repeated {
		flags += "r"
	}
	if s.edit.timeouts {
		flags += "t"
	}
	if len(s.edit.deleted) > 0 {
		flags += "d"
	}
	args := make([]string, 0, 7+len(s.edit.deleted)+len(s.edit.set))
	args = append(args, s.makes, s.on, flags, s.idle, s.lifetime)
	if s.made != "" {
		args = append(args, s.made)
	}
	if len(s.edit.deleted) > 0 {
		args = append(append(args, strconv.Itoa(len(s.edit.deleted))), s.edit.deleted...)
	}
	return append(args, s.edit.set...)
}

// newVersion makes the version of a save: 64 random bits.
func newVersion() string {
	var b [8]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// errUnknown is the error of a save whose answer was lost, in the crowd of others.
var errUnknown = errors.New("the connection broke during the save, others have saved since, and it cannot be told whether it was carried out")

// outcome takes the reply of the save script.
func (st backend) outcome(c *sessions.Change, s *save, reply any) (stored *sessions.Record, done bool, err error) {
	switch reply := reply.(type) {
	case int64:
		switch reply {
		case 0:
			if s.fresh { // over by the server's clock already: one of another store, or sealed
				return nil, true, sessions.ErrDeleted
			}
			return nil, false, nil
		case -1:
			return nil, true, sessions.ErrExists
		case -2:
			return &sessions.Record{Damaged: true}, false, nil
		case -3:
			return nil, true, errUnknown
		}
		if reply < 0 {
			return nil, true, errReply
		}
		s.now = time.UnixMilli(reply).UTC()
		if c.Fresh() && !strings.Contains(s.made, " ") {
			c.SetCreated(s.now)
		}
		c.SetVersion(s.makes)
		return nil, true, nil
	case []any:
		carriedOut, hash, err := st.everything(reply)
		if err != nil {
			return nil, true, err
		}
		key := s.keys[0]
		if carriedOut {
			key = c.NewKey()
		}
		rec, err := st.record(key, hash)
		s.now = rec.Used
		switch {
		case carriedOut && err == nil:
			return nil, true, c.SetStored(rec)
		case carriedOut:
			return nil, true, err
		}
		stored, err = found(rec, err)
		return stored, err != nil, err
	}
	return nil, true, errReply
}

var errReply = errors.New("the server's answer is not that of the script")

// everything reads a reply that has all fields of a session.
func (st *Store) everything(reply []any) (carriedOut bool, hash map[string]string, err error) {
	if len(reply) != 2 {
		return false, nil, errReply
	}
	code, ok := reply[0].(int64)
	list, ok2 := reply[1].([]any)
	if !ok || !ok2 || len(list)%2 != 0 {
		return false, nil, errReply
	}
	hash = make(map[string]string, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		field, ok := list[i].(string)
		value, ok2 := list[i+1].(string)
		if !ok || !ok2 {
			return false, nil, errReply
		}
		hash[field] = value
	}
	return code == 1, hash, nil
}
