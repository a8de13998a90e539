package sessions

import (
	"context"
	"fmt"
	"time"

	"github.com/sessfs/sessions/internal/fields"
)

// A Mover is a store whose sessions can be moved to another one as they are, and come
// from one. Package handover moves those of an application that is running.
type Mover interface {
	// Key returns the key under which the store keeps the session of a valid ID.
	Key(id string) string

	// Import stores a session of another store under a key, as it is: its times
	// and timeouts go on. The error is [ErrExists] when the key is taken,
	// [ErrDeleted] when the session has expired, or one of Save's.
	Import(ctx context.Context, key string, rec Record) error

	// Export calls f with the record of a session, and ends the session when f
	// returns nil. Until then it cannot be changed, renewed or ended, nor can
	// another Export have it. f must not call the store. Export returns f's
	// error as it is, and the session stays.
	//
	// The error is [ErrNotStored] when there is no session or it has expired, and
	// [ErrCorrupt] when it cannot be read; f was not called then. It is
	// [ErrDeleted] when the session was changed or ended in spite of it, in a store that
	// cannot prevent that: f's work is to be undone.
	Export(ctx context.Context, key string, f func(rec Record) error) error
}

// Key returns the key of the record of an ID; see [BaseOptions].
func (b *Base) Key(id string) string { return b.opts.Key(id) }

// Import stores a session of another store; see [Mover]. The Change that the Backend
// gets is one of a new session, and its Record has the time of last use in Used.
func (b *Base) Import(ctx context.Context, key string, rec Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	codec := codecNamed(rec.Codec, b.opts.Codec)
	switch {
	case rec.Damaged:
		return ErrCorrupt
	case codec == nil:
		return fmt.Errorf("sessions: save: the session is encoded by codec %q, which is not this store's %q", rec.Codec, b.opts.Codec.Name())
	}
	list, err := parseValues(codec, &rec)
	if err != nil {
		return err
	}
	if rec.Used.IsZero() { // of a store that does not know
		rec.Used = time.Now()
	}
	rec.Version = ""
	s := &Session{state: state{home: b, id: key, key: key, values: values{codec: codec, parsed: true}}}
	return b.carryOut(ctx, &Change{s: s, imported: &imported{rec, list}}, b.backend.Commit)
}

// imported is the content of a Change that is an import.
type imported struct {
	record Record
	fields []Field
}

// plan finds out the work of an import.
func (i *imported) plan(p *plan, b *Base, stored *Record) error {
	rec := &i.record
	switch {
	case stored != nil:
		return ErrExists
	case b.timeouts.With(rec.timeouts()).Ended(time.Now(), rec.Created, rec.Used):
		return ErrDeleted
	}
	p.id, p.fresh, p.record, p.fields, p.encoded = p.key, true, *rec, i.fields, rec.Fields == nil
	p.changes = make([]fields.Change[changed], len(i.fields))
	for n, f := range i.fields {
		p.changes[n].Field = f
	}
	return nil
}
