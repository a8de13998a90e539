package redisstore

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/sessfs/sessions"
)

var (
	errSealed    = corrupt("it is sealed, and the store has no Sealer")
	errNotSealed = corrupt("it is not sealed, and the store has a Sealer")
	errSeal      = corrupt("its seal does not open")
)

// dataField is the values of a sealed record, in one text.
const dataField = "data"

// newSealedEdit returns the fields of a change for a server that is to read none of the
// record. Those by which the server ends the session in time stand beside the seal, and are
// not believed.
func (st *Store) newSealedEdit(c *sessions.Change) (*edit, error) {
	rec := c.Record()
	inside := edit{set: []string{standingField, standingText(rec), dataField, rec.Data}}
	inside.attributes(rec, sessions.Attributes{AuthenticatedAt: true, IdleTimeout: true, Lifetime: true, Persistence: true, Owner: true, Meta: true}, true)
	sealed, err := st.opts.Sealer.Seal(pack(inside.set), sealContext(c.NewKey()))
	if err != nil {
		return nil, err
	}
	outside := new(edit)
	outside.attributes(rec, sessions.Attributes{IdleTimeout: true, Lifetime: true}, c.Fresh() && !c.Renewed())
	outside.set = append(outside.set, sealedField, string(sealed))
	return outside, nil
}

// sealContext is the public ID: a record opens under no other one.
func sealContext(key string) string { return "redisstore\n" + publicID(key) }

// open opens the record of a hash, of which rec has the version and the time of use. One
// whose lifetime is over is gone: the server might keep it.
func (st *Store) open(key, sealed string, rec sessions.Record) (sessions.Record, error) {
	text, err := st.opts.Sealer.Open([]byte(sealed), sealContext(key))
	if err != nil {
		return damaged(rec, errSeal)
	}
	inside, ok := unpack(string(text))
	if !ok {
		return damaged(rec, errSeal)
	}
	inside[versionsField] = formatTime(rec.Used) + " " + rec.Version
	opened, err := standing(inside)
	if err == nil {
		err = attributes(&opened, inside)
	}
	if err != nil {
		return opened, err
	}
	opened.Fields, opened.Data = nil, inside[dataField]
	lifetime := opened.Lifetime
	if lifetime == 0 {
		lifetime = st.lifetime
	}
	if lifetime > 0 && time.Since(opened.Created) >= lifetime {
		return sessions.Record{}, sessions.ErrNotStored
	}
	return opened, nil
}

// pack puts texts into one, each after its length.
func pack(list []string) []byte {
	var all []byte
	for _, text := range list {
		all = binary.AppendUvarint(all, uint64(len(text)))
		all = append(all, text...)
	}
	return all
}

// unpack is the inverse of pack: each second text by the one before it.
func unpack(all string) (map[string]string, bool) {
	m, last := make(map[string]string), ""
	n := 0
	for ; all != ""; n++ {
		length, size := binary.Uvarint([]byte(all[:min(len(all), binary.MaxVarintLen64)]))
		if size <= 0 || length > uint64(len(all)-size) {
			return nil, false
		}
		text := all[size:][:length]
		all = all[size:][length:]
		if n%2 == 0 {
			last = text
		} else {
			m[last] = text
		}
	}
	return m, n%2 == 0
}

func formatTime(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// standingText is the field that all sessions have.
func standingText(rec *sessions.Record) string {
	return format + " " + rec.Codec + " " + formatTime(rec.Created)
}
