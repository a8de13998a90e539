//go:build unix

package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// A library is a contender, opened, with a number of stored sessions.
type library interface {
	// fill stores sessions until there are n, and returns their handles, by which
	// another process finds them.
	fill(n int) ([]string, error)
	adopt(handles []string)

	// hold makes a holder for one goroutine.
	hold() holder

	// handler loads the session of a request and reads two values. If it changes
	// the session, it changes one value and saves.
	handler(changes bool) http.Handler

	// cookie is the header of a request with the i-th session.
	cookie(i int) string

	close() error
}

// A holder holds sessions in slots.
type holder interface {
	load(slot, i int) error
	read(slot int) error // two values
	change(slot, n int) error
	save(slot int) error

	begin(slot int) error // a new session, of all values, not saved yet
	end(slot int) error
}

// A spec is a library that can be opened.
type spec struct {
	name    string
	modules []string // whose versions the report names
	open    func(environment) (library, error)

	cookies bool // keeps sessions in cookies: none of more than 4 KB, and no end
	shared  bool // two processes may have it open
	redis   bool // needs a server
	waits   bool // for the disk, where there is one
	tears   bool // decodes values that another save may be overwriting: it fails now and then
}

// An environment is a library's surroundings.
type environment struct {
	dir    string
	socket string // of a Redis server, "" for none
	values values
}

// The names of contenders that the tables look for.
const (
	nameFiles    = "files"
	nameNoIdle   = "files, no idle timeout"
	nameSealed   = "files, sealed"
	nameSyncFull = "files, SyncFull"
	nameCookies  = "sealed cookies"
	nameFloor    = "bare calls"
	nameNoStat   = "bare calls, no fstat"
	nameRename   = "bare calls: temporary file, fsync, rename, fsync"
	nameMemstore = "scs memstore"
	nameBolt     = "scs boltstore"
	nameRedis    = "redisstore"
	namePipeline = "redisstore, AutoPipeline"
	nameGoRedis  = "scs goredisstore"
	nameByHand   = "files, without a request"
	nameSave     = "files, a save alone"

	nameSessprune = "sessprune"
	nameFind      = "find -delete"
)

var specs = []spec{
	{name: nameFloor, open: openFloor, shared: true},
	{name: nameFiles, open: openFiles, shared: true},
	{name: nameSealed, open: openSealed, shared: true},
	{name: nameCookies, open: openCookies, cookies: true},
	{name: "gorilla FilesystemStore", modules: []string{"github.com/gorilla/sessions"}, open: openGorillaFiles, shared: true, tears: true},
	{name: "gorilla CookieStore", modules: []string{"github.com/gorilla/securecookie"}, open: openGorillaCookies, cookies: true},
	{name: nameMemstore, modules: []string{"github.com/alexedwards/scs/v2"}, open: openMemstore},
	{name: "scs boltstore, NoSync", modules: []string{"github.com/alexedwards/scs/boltstore", "go.etcd.io/bbolt"}, open: openBoltNoSync, tears: true},
	{name: nameBolt, open: openBolt, waits: true, tears: true},
	{name: "scs sqlite3store", modules: []string{"github.com/alexedwards/scs/sqlite3store", "modernc.org/sqlite"}, open: openSQLite, shared: true},
	{name: nameRedis, modules: []string{"github.com/redis/go-redis/v9"}, open: openRedis, shared: true, redis: true},
	{name: namePipeline, modules: []string{"github.com/redis/go-redis/v9"}, open: openPipelinedRedis, shared: true, redis: true},
	{name: nameGoRedis, modules: []string{"github.com/alexedwards/scs/goredisstore"}, open: openGoRedis, shared: true, redis: true},
}

// Those of one operation alone.
var (
	noIdleSpec   = spec{name: nameNoIdle, open: openNoIdle}
	noStatSpec   = spec{name: nameNoStat, open: openFloorNoStat}
	syncFullSpec = spec{name: nameSyncFull, open: openSyncFull}
	renameSpec   = spec{name: nameRename, open: openRenameFloor}
)

func specNamed(name string) spec {
	for _, s := range specs {
		if s.name == name {
			return s
		}
	}
	panic("no library is named " + name)
}

// values are the values of a session: strings of one length under key0, key1 and so
// on, and a number under n.
type values struct {
	size   string
	count  int // with the number
	length int
}

var sizes = []values{
	{"320 B", 10, 24},
	{"1 KB", 10, 100},
	{"16 KB", 50, 318},
}

var keys = func() (keys [50]string) {
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
	}
	return keys
}()

// each calls set for each value.
func (v values) each(set func(key string, value any)) {
	text := strings.Repeat("v", v.length)
	for i := range v.count - 1 {
		set(keys[i], text)
	}
	set("n", 0)
}

var (
	errMissing = errors.New("a session or value is missing")
	address    = &url.URL{Scheme: "http", Host: "localhost", Path: "/"}
)

// request makes the smallest request that has a session.
func request(cookie string) *http.Request {
	return &http.Request{Method: "GET", URL: address, Host: address.Host, Header: http.Header{"Cookie": {cookie}}}
}

// response is a header alone.
type response http.Header

func (w response) Header() http.Header         { return http.Header(w) }
func (w response) Write(p []byte) (int, error) { return len(p), nil }
func (w response) WriteHeader(int)             {}

// cookie returns the response's one cookie, as the next request brings it.
func (w response) cookie() (string, error) {
	set := w["Set-Cookie"]
	if len(set) != 1 {
		return "", fmt.Errorf("%d cookies, want one", len(set))
	}
	pair, _, _ := strings.Cut(set[0], ";")
	return pair, nil
}

// answer is the whole response of every handler.
func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Write([]byte("ok"))
}
