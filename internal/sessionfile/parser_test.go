package sessionfile_test

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"
	"weak"

	"github.com/sessfs/sessions/internal/sessionfile"
)

// Whatever a Parser has parsed before, it parses a header as ParseHeader does.
func TestParserParsesAsParseHeader(t *testing.T) {
	headers := []string{
		"sessions 1 created=2026-11-20T21:56:59.123456789Z idle-timeout=1209600s lifetime=2592000s codec=json",
		"sessions 1 created=2027-01-01T00:00:00Z idle-timeout=1209600s lifetime=2592000s codec=json",
		"sessions 1 created=yesterday idle-timeout=1209600s lifetime=2592000s codec=json",
		"sessions 1 created= idle-timeout=1209600s lifetime=2592000s codec=json",
		"sessions 1 created=0001-01-01T00:00:00Z idle-timeout=1209600s lifetime=2592000s codec=json",
		"sessions 1 created=2026-11-20T21:56:59Z idle-timeout=1s lifetime=0s codec=json created=2020-01-01T00:00:00Z",
		"sessions 1 created=2026-11-21T21:56:59Z idle-timeout=1s lifetime=0s codec=json created=2020-01-01T00:00:00Z",
		"sessions 1 created=2026-11-20T21:56:59Z idle-timeout=1s lifetime=0s owner=abc private=true codec=json",
		"sessions 1 created=2026-11-20T21:56:59Z idle-timeout=1s lifetime=0s authenticated=2026-11-20T21:56:59Z codec=json",
		"sessions 1 created=2026-11-20T21:56:59Z idle-timeout=1x lifetime=0s codec=json",
		"sessions 1 created=2026-11-20T21:56:59Z idle-timeout=1h1m1.5s lifetime=1500000000ns codec=gob sealed=true later=field",
		"sessions 1 created=2026-11-20T21:56:59Z idle-timeout=0000000001s lifetime=+5s codec=json",
		"sessions 1 idle-timeout=1s created=2026-11-20T21:56:59Z codec=json",
		"sessions 1 created=2026-11-20T21:56:59Z",
		"sessions 2 created=2026-11-20T21:56:59Z idle-timeout=1209600s lifetime=2592000s codec=json",
		"",
	}
	for _, before := range headers {
		for _, text := range headers {
			var p sessionfile.Parser
			p.Parse(before)
			got, ok := p.Parse(text)
			want, wantOK := sessionfile.ParseHeader(text)
			if ok != wantOK || ok && got != want {
				t.Errorf("after %q, %q is %+v, %v, want %+v, %v", before, text, got, ok, want, wantOK)
			}
		}
	}
}

// A header is a part of the text of its file, which may be large.
func TestParserKeepsNoFile(t *testing.T) {
	var p sessionfile.Parser
	parse := func() weak.Pointer[byte] {
		const meta = "sessions 1 created=2026-11-20T21:56:59Z idle-timeout=1209600s lifetime=2592000s codec=json"
		file := strings.Repeat(meta, 100)
		if _, ok := p.Parse(file[:len(meta)]); !ok {
			t.Error("a header is none")
		}
		return weak.Make(unsafe.StringData(file))
	}
	file := parse()
	for range 3 {
		runtime.GC()
	}
	if file.Value() != nil {
		t.Error("the text of a file is kept with its header")
	}
	runtime.KeepAlive(&p)
}
