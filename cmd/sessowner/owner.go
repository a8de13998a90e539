package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/sessfs/sessions"
	"github.com/sessfs/sessions/internal/command"
	"github.com/sessfs/sessions/internal/enterdir"
	"github.com/sessfs/sessions/internal/sessionfile"
)

// A result is the outcome for one directory.
type result struct {
	dir      string
	sessions []sessions.SessionInfo // listed, or that would be ended
	ended    int
	err      error // the reason of the code
	code     int
}

// visit lists or ends the sessions in one directory, as root with the rights of the
// directory's owner alone.
func visit(ctx context.Context, c *config, dir string) (r result) {
	r = result{dir: dir, code: command.Refused}
	restore, err := enterdir.Enter(dir)
	if err != nil {
		r.err = err
		return r
	}
	defer func() {
		if err := restore(); err != nil {
			r.err, r.code = errors.Join(r.err, err), command.Worse(r.code, command.Failed)
		}
	}()
	// The directory is now the current one. Its path could lead elsewhere.
	owners, err := sessions.OpenFilesystemOwners(sessions.FilesystemOwnersOptions{Path: ".", FilenameTemplate: c.template, Sealer: c.sealer})
	if err == nil {
		defer owners.Close()
		err = checkDirectory(c.template)
	}
	if err != nil {
		r.err = whatToDo(c, err)
		return r
	}
	if c.end && !c.dryRun {
		err = r.end(ctx, c, owners)
	} else {
		err = r.list(ctx, c, owners)
	}
	switch {
	case err == nil:
		r.code = command.Done
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		r.err, r.code = errors.New("stopped by a signal"), command.Stopped
	default:
		r.err, r.code = err, command.Failed
	}
	return r
}

func (r *result) end(ctx context.Context, c *config, owners sessions.OwnerStore) (err error) {
	if c.session == "" {
		r.ended, err = owners.DeleteOwner(ctx, c.owner, c.keep...)
		return err
	}
	ended, err := owners.DeleteOne(ctx, c.owner, c.session)
	switch {
	case ended:
		r.ended = 1
	case err == nil:
		err = errors.New("the owner has no session of that public ID: it has ended, or was renewed and has another one")
	}
	return err
}

// list lists the sessions, the last used one first.
func (r *result) list(ctx context.Context, c *config, owners sessions.OwnerStore) error {
	var errs []error
	for info, err := range owners.ListOwner(ctx, c.owner) {
		switch {
		case err != nil:
			errs = append(errs, err)
		case c.session != "" && info.PublicID != c.session, slices.Contains(c.keep, info.PublicID):
		default:
			r.sessions = append(r.sessions, info)
		}
	}
	slices.SortFunc(r.sessions, func(a, b sessions.SessionInfo) int {
		return cmp.Or(b.Used.Compare(a.Used), strings.Compare(a.PublicID, b.PublicID))
	})
	return errors.Join(errs...)
}

// checkDirectory refuses a current directory that has files, and none of the template.
// Of a wrong directory, or template, the list would be empty.
func checkDirectory(text string) error {
	template, err := sessionfile.ParseTemplate(text, sessionfile.Hash.Length())
	if err != nil {
		return err
	}
	dir, err := os.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	files, directories := 0, 0
	for err == nil {
		var entries []os.DirEntry
		entries, err = dir.ReadDir(1000)
		for _, entry := range entries {
			_, is := template.Parse(entry.Name())
			switch {
			case is, strings.HasSuffix(entry.Name(), sessionfile.TempSuffix): // about to be a session
				return nil
			case strings.HasPrefix(entry.Name(), "."): // the store's own, among others
			case entry.IsDir():
				directories++
			default:
				files++
			}
		}
	}
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case files > 0:
		return fmt.Errorf("has files, and none is a session of the template %q: wrong directory, or --template", text)
	case directories > 0:
		return errors.New("has no session, but subdirectories: name the sessions' directory itself")
	}
	return nil
}

// whatToDo returns an error that names the remedy.
func whatToDo(c *config, err error) error {
	switch {
	case !errors.Is(err, sessions.ErrOwnersSealed):
		return err
	case c.sealer == nil:
		return errors.New("the names of the owners are sealed: give --keys-file or, for a Sealer that is no key ring, call ListOwner and DeleteOwner in the application")
	}
	return errors.New("the names of the owners do not open with these keys: give the application's --keys-file and --audience")
}
