package ownerindex

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"
)

// tidyAge is the age of an owner's file from which on Tidy looks into it.
const tidyAge = endsKept

// Tidy takes the sessions whose files are gone out of the index, and removes the files
// of owners who have none. It waits for no lock, and looks at each file once a day.
func (x *Index) Tidy(ctx context.Context) error {
	dir, err := x.dir.OpenDir(dirName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	var errs []error
	for entry, err := range dir.Entries() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if entry.Name == stateName || !entry.Type.IsRegular() {
			continue
		}
		info, err := dir.Lstat(entry.Name)
		if err == nil && time.Since(info.ModTime) >= tidyAge {
			err = x.tidy(ctx, entry.Name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// tidy is Tidy for one file. A damaged one stays, for a store to find.
func (x *Index) tidy(ctx context.Context, tag string) error {
	l := Lock{index: x}
	locked, err := x.files.TryLock(path(tag), &l.file)
	if err != nil || !locked {
		return err
	}
	defer l.Unlock()
	if l.file.Err() != nil {
		return nil
	}
	e, ok := parseEntry(string(l.file.Meta()), string(l.file.Payload()))
	if !ok {
		return nil
	}
	e.Files = slices.DeleteFunc(e.Files, l.isGone)
	text := e.text()
	switch {
	case text == "":
		return x.change(ctx, func() error { _, err := l.file.Remove(); return err })
	case text != string(l.file.Payload()):
		return l.file.WriteInPlace(text)
	}
	return l.file.SetModTime(time.Now())
}
