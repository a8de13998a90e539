package sessions

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sessfs/sessions/internal/fields"
	"github.com/sessfs/sessions/internal/sessionfile"
)

// A Record is a session as a store keeps it.
type Record struct {
	// Version tells two states of a record apart: any text, compared by ==, and
	// never used twice under one key. It is the store's own; "" in stores that
	// need none, since they hold a lock.
	Version string

	Codec       string        // the name of the codec that encoded the values
	Created     time.Time     // when the session was made or renewed
	Used        time.Time     // when its idle timeout began; zero where nothing asks for it
	IdleTimeout time.Duration // its own idle timeout; zero means the store's
	Owner       string        // "" for none

	AuthenticatedAt time.Time     // when its owner logged in; zero for never
	Lifetime        time.Duration // its own absolute timeout; zero means the store's
	Persistence     Persistence   // of its cookie
	Meta            string        // a text of the application; at most MaxMeta bytes

	// Data is all values in one text, of arbitrary bytes. Fields, when it is not
	// nil, takes its place: each value by itself, in any order, and never changed. In the
	// order of the keys it is not copied.
	Data   string
	Fields []Field

	// Damaged marks a record that is there and cannot be read. It can be ended,
	// and neither loaded nor saved. Its times are given if they are known.
	Damaged bool

	parsed *parsedData // of Data, shared by the sessions that are loaded from it; nil for none
}

// parsedData is a record's Data, taken apart by the first session that asks for a value.
type parsedData struct {
	data string
	once sync.Once // fills in the rest
	list []Field
	err  error
}

// timeouts returns the session's own.
func (rec *Record) timeouts() sessionfile.Timeouts {
	return sessionfile.Timeouts{Idle: rec.IdleTimeout, Lifetime: rec.Lifetime}
}

// A Field is one value as it is stored: its Key and its encoding, Value.
type Field = fields.Field

// parseValues returns the values of a record in the order of their keys. The
// error is ErrCorrupt.
func parseValues(c Codec, rec *Record) ([]Field, error) {
	switch {
	case rec.Fields != nil && fields.Sorted(rec.Fields):
		return rec.Fields, nil
	case rec.Fields != nil:
		list, err := fields.Sort(slices.Clone(rec.Fields))
		return list, corrupted(err)
	}
	if p := rec.parsed; p != nil && p.data == rec.Data {
		return p.values(c)
	}
	return parseData(c, rec.Data)
}

// newParsedData returns the data that list was encoded as, taken apart. The values of
// a JSON codec of the application's own may not have the text that a load would find.
func newParsedData(c Codec, data string, list []Field) *parsedData {
	p := &parsedData{data: data}
	if _, own := c.(jsonCodec); own || formatOf(c) == fields.Pairs {
		p.once.Do(func() { p.list = slices.Clip(list) })
	}
	return p
}

func parseData(c Codec, data string) ([]Field, error) {
	list, err := formatOf(c).Parse(data)
	return list, corrupted(err)
}

// values returns the values of the data.
func (p *parsedData) values(c Codec) ([]Field, error) {
	p.once.Do(func() {
		p.list, p.err = parseData(c, p.data)
		p.list = slices.Clip(p.list)
	})
	return p.list, p.err
}

// ErrCorrupt is the error for stored bytes that are no session. Get does not return
// it: it answers with a new session.
var ErrCorrupt = errors.New("sessions: stored session is damaged")

func corrupted(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// Persistence is how long a browser keeps the cookie of a session.
type Persistence uint8

const (
	// PersistDefault is as the carrier's options and the session's own idle
	// timeout say.
	PersistDefault Persistence = iota

	// PersistUntilClosed is until the browser is closed, whatever the options
	// say.
	PersistUntilClosed

	// PersistIdle is as long as the session's idle timeout, its own or the
	// store's, and never longer than the rest of its lifetime.
	PersistIdle
)
