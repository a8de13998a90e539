package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/command/commandtest"
	"github.com/sessfs/sessions/securecookie"
)

// The test binary is each of these programs when it is started by that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sessprune":  main,
		"mksessions": mksessions,
		"saver":      saver,
		"attacker":   attacker,
		"underswaps": underSwaps,
		"weigh":      weigh,
	})
}

// program returns a command that runs one of the programs.
func program(name string, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = name
	cmd.Stderr = os.Stderr
	return cmd
}

func TestSesspruneScripts(t *testing.T) {
	old := oldSessions(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TEMPNAME", "tmp-0123456789abcdef.__sess_tmp")
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code":     commandtest.Code,
			"age":      ageFiles,
			"files":    countFiles,
			"metrics":  checkMetrics,
			"chown":    chown,
			"chowndir": chownDir,
			"modes":    modes,
			"link":     linkFiles,
			"noids":    noIDs,
			"json":     checkJSON,
			"same":     same,
			"old": func(ts *testscript.TestScript, neg bool, args []string) {
				ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(filepath.Join(old, args[0]))))
				ts.Check(os.Chmod(ts.MkAbs(args[1]), 0o700))
			},
		},
	})
}

// oldSessions makes directories of two sessions each, which began in 2000 by the clock
// of a bubble. "old plain dir" copies one, whose files then have the present time.
func oldSessions(t *testing.T) string {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		for kind, o := range map[string]sessions.FilesystemOptions{"plain": {}, "sealed": {HashNames: true, Sealer: sealer()}} {
			o.Path, o.IdleTimeout, o.Lifetime = filepath.Join(dir, kind), sessions.Never, sessions.Never
			store, err := sessions.NewFilesystemSessionStore(o)
			must(err)
			for range 2 {
				s := store.New()
				s.Set("hello", "world")
				must(store.Save(t.Context(), s))
			}
			must(store.Close())
		}
	})
	return dir
}

func sealer() sessions.Sealer {
	ring, err := securecookie.NewKeyRing(securecookie.KeyRingOptions{Keys: []securecookie.Key{securecookie.GenerateKey()}})
	must(err)
	return ring
}

// ageFiles makes files older, or younger: age 2h file…
func ageFiles(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	for _, pattern := range args[1:] {
		names, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(names) == 0 {
			ts.Fatalf("no %s", pattern)
		}
		for _, name := range names {
			when := time.Now().Add(-d)
			ts.Check(os.Chtimes(name, when, when))
		}
	}
}

// glob is filepath.Glob without the stores' own files.
func glob(pattern string) ([]string, error) {
	names, err := filepath.Glob(pattern)
	return slices.DeleteFunc(names, func(name string) bool {
		return strings.HasPrefix(filepath.Base(name), ".owners")
	}), err
}

// countFiles compares the number of files: files 3 dir/*.sess
func countFiles(ts *testscript.TestScript, neg bool, args []string) {
	names, err := glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.Itoa(len(names)); got != args[0] {
		ts.Fatalf("%s: got %s files, want %s", args[1], got, args[0])
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

// chownDir is chown for a directory alone.
func chownDir(ts *testscript.TestScript, neg bool, args []string) {
	uid, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.Lchown(ts.MkAbs(args[1]), uid, uid))
}

// modes sets the modes of files: modes 000 dir/*, modes 1777 dir
func modes(ts *testscript.TestScript, neg bool, args []string) {
	mode, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	names, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	wanted := os.FileMode(mode & 0o777)
	if mode&0o1000 != 0 {
		wanted |= os.ModeSticky
	}
	for _, name := range names {
		ts.Check(os.Chmod(name, wanted))
	}
}

// linkFiles makes one more name of each file of a directory.
func linkFiles(ts *testscript.TestScript, neg bool, args []string) {
	names, err := glob(ts.MkAbs(args[0] + "/*"))
	ts.Check(err)
	for _, name := range names {
		ts.Check(os.Link(name, strings.Replace(name, "session_0", "session_1", 1)+".bak"))
	}
}

// noIDs checks that no ID of the first file is in the second.
func noIDs(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[1])
	for id := range strings.FieldsSeq(ts.ReadFile(args[0])) {
		if text == "" || strings.Contains(text, id) || strings.Contains(text, id[:16]) {
			ts.Fatalf("an ID in %s", args[1])
		}
	}
}

// checkJSON looks for a value: json stdout directories.0.removed 2
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &value))
	for name := range strings.SplitSeq(args[1], ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			ts.Check(err)
			value = v[i]
		}
	}
	if got := fmt.Sprint(value); got != args[2] {
		ts.Fatalf("%s: got %s, want %s", args[1], got, args[2])
	}
}

// same compares the line that begins with a word in two files.
func same(ts *testscript.TestScript, neg bool, args []string) {
	line := func(file string) string {
		for l := range strings.Lines(ts.ReadFile(file)) {
			if strings.HasPrefix(l, args[0]) {
				return l
			}
		}
		ts.Fatalf("no %s in %s", args[0], file)
		return ""
	}
	if a, b := line(args[1]), line(args[2]); (a == b) == neg {
		ts.Fatalf("%q and %q", a, b)
	}
}

// checkMetrics reads a file as Prometheus does and looks for a sample:
// metrics file name outcome value [directory], where * is any value. No sample
// may be there twice.
func checkMetrics(ts *testscript.TestScript, neg bool, args []string) {
	f, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(f)
	ts.Check(err)
	found, seen := false, map[string]bool{}
	for _, m := range families[args[1]].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["directory"] == "" {
			ts.Fatalf("a sample without its directory")
		}
		if seen[fmt.Sprint(labels)] {
			ts.Fatalf("%s%v is there twice", args[1], labels)
		}
		seen[fmt.Sprint(labels)] = true
		if args[2] != "-" && labels["outcome"] != args[2] {
			continue
		}
		if len(args) > 4 && labels["directory"] != ts.MkAbs(args[4]) {
			continue
		}
		found = true
		if got := strconv.FormatFloat(m.GetGauge().GetValue(), 'f', -1, 64); args[3] != "*" && got != args[3] {
			ts.Fatalf("%s %s: got %s, want %s", args[1], args[2], got, args[3])
		}
	}
	if found == neg {
		ts.Fatalf("%s %s: found: %v", args[1], args[2], found)
	}
}

// mksessions fills a directory with sessions.
func mksessions() {
	var o sessions.FilesystemOptions
	flags := flag.NewFlagSet("mksessions", flag.ExitOnError)
	count := flags.Int("n", 1, "how many")
	age := flags.Duration("age", 0, "how old")
	idle := flags.Duration("idle", 0, "timeout of their own")
	wait := flags.Duration("wait", 0, "how long to wait afterwards")
	uuids := flags.Bool("uuid", false, "UUIDs as IDs")
	bytes := flags.Int("bytes", 32, "bytes of an ID")
	print := flags.Bool("print", false, "print the IDs")
	flags.DurationVar(&o.IdleTimeout, "idle-timeout", sessions.Never, "the store's")
	flags.DurationVar(&o.Lifetime, "lifetime", sessions.Never, "the store's")
	flags.StringVar(&o.FilenameTemplate, "template", "", "the store's")
	flags.BoolVar(&o.HashNames, "hash", false, "the store's")
	seal := flags.Bool("seal", false, "with a Sealer")
	flags.Parse(os.Args[1:])
	o.Path = flags.Arg(0)
	if *seal {
		o.Sealer = sealer()
	}
	if o.IDs = sessions.RandomIDs(*bytes); *uuids {
		o.IDs = sessions.UUIDs()
	}
	known, _ := filepath.Glob(filepath.Join(o.Path, "*"))
	store, err := sessions.NewFilesystemSessionStore(o)
	must(err)
	for range *count {
		s := store.New()
		s.Set("hello", "world")
		s.SetIdleTimeout(*idle)
		must(store.Save(context.Background(), s))
		if *print {
			fmt.Println(s.ID())
		}
	}
	names, err := filepath.Glob(filepath.Join(o.Path, "*"))
	must(err)
	for _, name := range names {
		if strings.Contains("\n"+strings.Join(known, "\n")+"\n", "\n"+name+"\n") {
			continue
		}
		fi, err := os.Stat(name)
		must(err)
		when := fi.ModTime().Add(-*age)
		must(os.Chtimes(name, when, when))
	}
	time.Sleep(*wait)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
}
