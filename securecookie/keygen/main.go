// Command keygen makes a key for package securecookie.
//
//	go run github.com/sessfs/sessions/securecookie/keygen
//	go run github.com/sessfs/sessions/securecookie/keygen -o session.key
//
// It prints one key in text form, for securecookie.ParseKeys. To rotate, put
// the new key before the old ones.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/sessfs/sessions/securecookie"
)

const usage = `usage: keygen [-o file]

Prints a new random key for github.com/sessfs/sessions/securecookie, of 256
bits, in the text form that securecookie.ParseKeys reads: "sk1_…".

  -o file   write the key to a new file that only its owner may read,
            and print its id; an existing file is left alone
  -help     print this

Exit status: 0 done, 1 the file could not be written, 2 wrong usage.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("keygen", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the usage above is printed instead
	name := flags.String("o", "", "file")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "keygen: %v\n%s", err, usage)
		return 2
	case flags.NArg() > 0:
		// Not repeated: it may be a key.
		fmt.Fprintf(stderr, "keygen: takes no arguments\n%s", usage)
		return 2
	}
	key := securecookie.GenerateKey()
	if *name == "" {
		if _, err := fmt.Fprintln(stdout, key.Reveal()); err != nil {
			fmt.Fprintf(stderr, "keygen: %v\n", err)
			return 1
		}
		return 0
	}
	if err := write(*name, key); err != nil {
		fmt.Fprintf(stderr, "keygen: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "key id %s\n", key.ID())
	return 0
}

// write writes the key to a new file. It replaces none, which may be the only copy
// of another key.
func write(name string, key securecookie.Key) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(name) // half a key is none
		}
	}()
	if _, err := fmt.Fprintf(f, "# key id %s\n%s\n", key.ID(), key.Reveal()); err != nil {
		return err
	}
	return f.Sync()
}
