package redisstore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sessfs/sessions"
)

// The fields of a session's hash. The scripts know those of the first group; the
// package comment describes them.
const (
	versionsField    = "v"
	standingField    = "s"
	idleTimeoutField = "i"
	lifetimeField    = "l"

	authenticatedField = "a"
	persistenceField   = "p"
	ownerField         = "o"
	metaField          = "m"
	sealedField        = "d"

	tagField     = "h" // of an owner that is sealed; see owner_tag.go
	horizonField = "e" // until when the owner's index has the session (ms)

	valuePrefix = "=" // before the key of a value
)

// format is the first word of standingField.
const format = "1"

func corrupt(why string) error { return fmt.Errorf("%w: %s", sessions.ErrCorrupt, why) }

// record makes a record of a session's hash.
func (st *Store) record(key string, hash map[string]string) (rec sessions.Record, err error) {
	if rec, err = standing(hash); err != nil {
		return rec, err
	}
	sealed, isSealed := hash[sealedField]
	switch {
	case isSealed && st.opts.Sealer == nil:
		return damaged(rec, errSealed)
	case !isSealed && st.opts.Sealer != nil:
		return damaged(rec, errNotSealed)
	case isSealed:
		return st.open(key, sealed, rec)
	}
	return rec, attributes(&rec, hash)
}

// damaged returns the record of a session that is there and cannot be read.
func damaged(rec sessions.Record, err error) (sessions.Record, error) {
	return sessions.Record{Created: rec.Created, Used: rec.Used, IdleTimeout: rec.IdleTimeout, Lifetime: rec.Lifetime, Damaged: true}, err
}

// standing reads the fields that all sessions have.
func standing(hash map[string]string) (rec sessions.Record, err error) {
	of, rest, _ := strings.Cut(hash[standingField], " ")
	if of != "" && of != format {
		return rec, fmt.Errorf("a session has format %q, of another release", of)
	}
	codec, created, ok := strings.Cut(rest, " ")
	used, versions, _ := strings.Cut(hash[versionsField], " ")
	if rec.Version, _, _ = strings.Cut(versions, " "); !ok || rec.Version == "" {
		return damaged(rec, corrupt("the hash is no session's"))
	}
	rec.Codec = codec
	var createdErr, usedErr error
	rec.Created, createdErr = parseTime(created)
	rec.Used, usedErr = parseTime(used)
	if createdErr != nil || usedErr != nil {
		return damaged(rec, corrupt("a time is none"))
	}
	return rec, nil
}

// attributes reads the further fields and the values.
func attributes(rec *sessions.Record, hash map[string]string) (err error) {
	number := func(field string) int64 {
		text, ok := hash[field]
		if !ok {
			return 0
		}
		n, parseErr := strconv.ParseInt(text, 10, 64)
		if parseErr != nil || n <= 0 {
			err = corrupt("a number is none")
		}
		return n
	}
	rec.IdleTimeout = time.Duration(number(idleTimeoutField)) * time.Millisecond
	rec.Lifetime = time.Duration(number(lifetimeField)) * time.Millisecond
	rec.Persistence = sessions.Persistence(number(persistenceField))
	if n := number(authenticatedField); n > 0 {
		rec.AuthenticatedAt = time.UnixMicro(n).UTC()
	}
	rec.Owner, rec.Meta = hash[ownerField], hash[metaField]
	rec.Fields = make([]sessions.Field, 0, len(hash))
	for field, value := range hash {
		if key, ok := strings.CutPrefix(field, valuePrefix); ok {
			rec.Fields = append(rec.Fields, sessions.Field{Key: key, Value: value})
		}
	}
	slices.SortFunc(rec.Fields, func(a, b sessions.Field) int { return strings.Compare(a.Key, b.Key) })
	if err != nil {
		*rec, err = damaged(*rec, err)
	}
	return err
}

func parseTime(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return time.UnixMilli(n).UTC(), err
}

// An edit is the fields of a hash that a save deletes and sets.
type edit struct {
	deleted  []string
	set      []string // a field, its value, and so on
	timeouts bool     // are among them, or the horizon
}

// put sets a field, or deletes it when the text is empty.
func (e *edit) put(field, text string, fresh bool) {
	switch {
	case text != "":
		e.set = append(e.set, field, text)
	case !fresh:
		e.deleted = append(e.deleted, field)
	}
}

// newEdit returns the fields that a change changes.
func newEdit(c *sessions.Change) *edit {
	e := new(edit)
	rec, set := c.Attributes()
	e.attributes(&rec, set, c.Fresh() && !c.Renewed())
	for f := range c.Set() {
		e.set = append(e.set, valuePrefix+f.Key, f.Value)
	}
	for key := range c.Deleted() {
		e.deleted = append(e.deleted, valuePrefix+key)
	}
	return e
}

// attributes adds the attributes of a record that are set. Nothing is stored yet when it is
// fresh.
func (e *edit) attributes(rec *sessions.Record, set sessions.Attributes, fresh bool) {
	e.timeouts = set.IdleTimeout || set.Lifetime
	if set.IdleTimeout {
		e.put(idleTimeoutField, positive(rec.IdleTimeout.Milliseconds()), fresh)
	}
	if set.Lifetime {
		e.put(lifetimeField, positive(rec.Lifetime.Milliseconds()), fresh)
	}
	if set.AuthenticatedAt && rec.AuthenticatedAt.IsZero() {
		e.put(authenticatedField, "", fresh)
	} else if set.AuthenticatedAt {
		e.put(authenticatedField, strconv.FormatInt(rec.AuthenticatedAt.UnixMicro(), 10), fresh)
	}
	if set.Persistence {
		e.put(persistenceField, positive(int64(rec.Persistence)), fresh)
	}
	if set.Owner {
		e.put(ownerField, rec.Owner, fresh)
	}
	if set.Meta {
		e.put(metaField, rec.Meta, fresh)
	}
}

// positive returns a number's text, "" for zero.
func positive(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
