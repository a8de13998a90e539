package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/command/commandtest"
	"github.com/sessfs/sessions/securecookie"
)

// The test binary is each of these programs when it is started by that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sessowner": main, "login": login, "keygen": keygen})
}

func TestSessownerScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":  commandtest.Code,
			"json":  checkJSON,
			"noids": noIDs,
			"age":   age,
			"chown": chown,
			"remove": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(os.RemoveAll(ts.MkAbs(args[0])))
			},
		},
	})
}

// checkJSON looks for a value: json stdout directories.0.ended 2. The value len is the
// length of a list.
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &value))
	for name := range strings.SplitSeq(args[1], ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			if name == "len" {
				value = len(v)
				continue
			}
			i, err := strconv.Atoi(name)
			ts.Check(err)
			value = v[i]
		}
	}
	if got := fmt.Sprint(value); got != args[2] {
		ts.Fatalf("%s: got %s, want %s", args[1], got, args[2])
	}
}

// noIDs checks that no ID of a directory's files is in a text: noids dir stdout
func noIDs(ts *testscript.TestScript, neg bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0] + "/session_*"))
	ts.Check(err)
	text := ts.ReadFile(args[1])
	for _, name := range names {
		id := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "session_"), ".sess")
		if strings.Contains(text, id[:16]) != neg {
			ts.Fatalf("an ID is in %s: %v", args[1], !neg)
		}
	}
	if len(names) == 0 || text == "" {
		ts.Fatalf("no file, or no text")
	}
}

// age makes files older: age 2h file…
func age(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	when := time.Now().Add(-d)
	for _, pattern := range args[1:] {
		names, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		for _, name := range names {
			ts.Check(os.Chtimes(name, when, when))
		}
	}
}

func chown(ts *testscript.TestScript, neg bool, args []string) {
	uid, err := strconv.Atoi(args[0])
	ts.Check(err)
	for _, root := range args[1:] {
		ts.Check(filepath.Walk(ts.MkAbs(root), func(path string, _ os.FileInfo, err error) error {
			return errors.Join(err, os.Lchown(path, uid, uid))
		}))
	}
}

// login logs an owner in, by a store of the application, and prints the public ID.
func login() {
	var o sessions.FilesystemOptions
	flags := flag.NewFlagSet("login", flag.ExitOnError)
	meta := flags.String("meta", "", "of the session")
	uuids := flags.Bool("uuid", false, "UUIDs as IDs")
	keys := flags.String("keys", "", "a file, for a Sealer")
	audience := flags.String("audience", "", "of the Sealer")
	flags.DurationVar(&o.IdleTimeout, "idle-timeout", 0, "the store's")
	flags.StringVar(&o.FilenameTemplate, "template", "", "the store's")
	flags.BoolVar(&o.HashNames, "hash", false, "the store's")
	flags.Parse(os.Args[1:])
	if o.Path = flags.Arg(1); *uuids {
		o.IDs = sessions.UUIDs()
	}
	if *keys != "" {
		text, err := os.ReadFile(*keys)
		must(err)
		list, err := securecookie.ParseKeys(string(text))
		must(err)
		o.Sealer, err = securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: list, Audience: *audience})
		must(err)
	}
	store, err := sessions.NewFilesystemSessionStore(o)
	must(err)
	s := store.New()
	s.Login(flags.Arg(0))
	text, err := strconv.Unquote(`"` + *meta + `"`)
	must(err)
	s.SetMeta(text)
	must(store.Save(context.Background(), s))
	fmt.Println(s.PublicID())
}

func keygen() { fmt.Println(securecookie.GenerateKey().Reveal()) }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
}
