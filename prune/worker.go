package prune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/sessfs/sessions/internal/dirfs"
	"github.com/sessfs/sessions/internal/sessionfile"
	"github.com/sessfs/sessions/internal/slotfile"
)

const (
	// workerCount is two: the system locks a directory while a name in it is
	// removed, so that more workers bring nothing (measured on ext4 and tmpfs).
	workerCount = 2

	// batchSize is how many sessions that seem to have ended a worker gathers
	// before it removes them. While one worker removes, the other looks for more:
	// two that remove at once spend a third of their time waiting for the
	// directory's lock.
	batchSize = 64

	// maxErrors is how many errors a pruning remembers.
	maxErrors = 10
)

// A worker goes through some of the names. It is for one goroutine.
type worker struct {
	*pruning
	report     Report
	buf        []byte
	candidates []candidate
}

// A candidate is a session that seemed to have ended when it was looked at, without
// its lock.
type candidate struct {
	name    string
	info    dirfs.Info
	file    slotfile.Candidate
	opened  bool
	verdict verdict
	err     error
}

func (w *worker) run(ctx context.Context) {
	w.report.addBuckets()
	defer w.flush(ctx)
	var names []dirfs.Entry
	for {
		var err error
		if names, err = w.names.next(names[:0]); err == io.EOF {
			return
		} else if err != nil {
			w.remember(err)
			return
		}
		for _, e := range names {
			if ctx.Err() != nil {
				w.incomplete.Store(true)
				return
			}
			if sessionfile.IsOwn(e.Name) {
				continue
			}
			w.report.Entries++
			if w.o.Progress != nil {
				w.entries.Add(1)
			}
			w.look(ctx, e)
		}
	}
}

// look counts one name, and has the file of a session or an unfinished one judged.
func (w *worker) look(ctx context.Context, e dirfs.Entry) {
	_, isSession := w.template.Parse(e.Name)
	temp := strings.HasSuffix(e.Name, sessionfile.TempSuffix)
	if !e.Type.IsRegular() || !temp && !isSession {
		w.foreign(e)
		return
	}
	info, err := w.dir.Lstat(e.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.report.Vanished++
	case err != nil:
		w.failed(e.Name, err)
	case !w.owned(info), info.Links != 1 && !temp:
		w.foreign(e)
	case temp:
		w.temp(ctx, e.Name, info)
	default:
		w.session(ctx, e.Name, info)
	}
}

// owned reports whether a file is a regular one of the directory's owner and file
// system, like all that a store makes. So a user cannot make a pruner with more
// rights remove, by a link or a mount, files that they could not remove themselves.
// For the same reason a session's file must have one name.
func (p *pruning) owned(info dirfs.Info) bool {
	return info.Mode.IsRegular() && info.UID == p.self.UID && info.Device == p.self.Device
}

func (w *worker) foreign(e dirfs.Entry) {
	w.report.Foreign++
	switch {
	case strings.HasPrefix(e.Name, "."):
	case e.Type.IsRegular():
		w.report.Unmatched++
	case e.Type.IsDir() && e.Name != "lost+found":
		w.report.Directories++
	}
}

// session judges a session file without its lock, and notes it as a candidate if it
// seems to have ended.
func (w *worker) session(ctx context.Context, name string, info dirfs.Info) {
	var v verdict
	var err error
	if w.rule.tellsByTime(info) {
		v = w.rule.judgeTime(info.ModTime)
	} else {
		// Without the lock, so as not to hold up a save.
		v, err = w.peek(name, info)
	}
	if err != nil || v == live || v == endless {
		w.settle(name, info, v, err)
		return
	}
	w.candidates = append(w.candidates, candidate{name: name, info: info})
	if len(w.candidates) >= batchSize || w.o.Rate > 0 {
		w.flush(ctx)
	}
}

// flush judges the candidates under their locks, and removes those that have ended. A
// lock of a file that was removed goes with the file, for one system call less.
func (w *worker) flush(ctx context.Context) {
	candidates := w.candidates
	w.candidates = w.candidates[:0]
	if len(candidates) == 0 || !w.pace(ctx) {
		return
	}
	for i := range candidates {
		c := &candidates[i]
		c.file, c.err = slotfile.NewCandidate(w.dir, c.name)
		if c.opened = c.err == nil; c.opened {
			c.err = w.lock(c)
		}
	}
	w.removing.Lock()
	for i := range candidates {
		if c := &candidates[i]; c.opened && !w.remove(c) {
			c.file.Unlock()
		}
	}
	w.removing.Unlock()
	for _, c := range candidates {
		if c.opened {
			c.file.Close()
		}
		if !errors.Is(c.err, errLimit) {
			w.settle(c.name, c.info, c.verdict, c.err)
		}
	}
}

// errBusy is the error for a session whose lock is taken, or that has just moved
// into a new file.
var errBusy = errors.New("busy")

// peek judges a session without its lock.
func (w *worker) peek(name string, info dirfs.Info) (verdict, error) {
	file, err := slotfile.NewCandidate(w.dir, name)
	if err != nil {
		return live, err
	}
	defer file.Close()
	return w.read(file, info)
}

// lock takes the lock of a candidate, and judges it as it is now. This verdict holds:
// until the lock is released the session cannot be saved or touched.
func (w *worker) lock(c *candidate) error {
	locked, err := c.file.TryLock()
	if err == nil && !locked {
		err = errBusy
	}
	if err != nil {
		return err
	}
	return w.judge(c)
}

// remove removes a candidate that has ended, and reports whether it did.
func (w *worker) remove(c *candidate) bool {
	if c.err != nil || c.verdict != ended && (c.verdict != damaged || !w.o.RemoveCorrupt) {
		return false
	}
	if c.err = w.take(); c.err != nil || w.o.DryRun {
		return false
	}
	if c.err = c.file.Remove(); c.err != nil {
		w.giveBack()
	}
	return c.err == nil
}

// judge sets the verdict of a candidate whose lock is held.
func (w *worker) judge(c *candidate) error {
	info, err := c.file.Info()
	switch {
	case err != nil:
		return err
	case info.Links == 0:
		return errBusy
	case !w.owned(info), info.Links > 1:
		return slotfile.ErrCorrupt
	}
	c.info = info
	if w.rule.tellsByTime(info) {
		c.verdict = w.rule.judgeTime(info.ModTime)
	} else {
		c.verdict, err = w.read(c.file, info)
	}
	return err
}

func (w *worker) read(file slotfile.Candidate, info dirfs.Info) (verdict, error) {
	read := file.Header
	if w.o.RemoveCorrupt {
		read = file.Read
	}
	meta, err := read(&w.buf)
	if err != nil && !errors.Is(err, slotfile.ErrCorrupt) && !errors.Is(err, fs.ErrNotExist) {
		return live, err
	}
	return w.rule.judge(info.ModTime, meta, err), nil
}

// settle counts the fate of a session file.
func (w *worker) settle(name string, info dirfs.Info, v verdict, err error) {
	r := &w.report
	age := w.rule.now.Sub(info.ModTime)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Vanished++
		return
	case errors.Is(err, slotfile.ErrCorrupt): // another kind of file has the name meanwhile
		r.Foreign++
		return
	}
	r.count(age, info.Size)
	event := Event{Age: age, Size: info.Size, Corrupt: v == damaged}
	switch {
	case errors.Is(err, errBusy):
		r.Busy++
	case err != nil:
		w.failed(name, err)
	case v == ended:
		r.Removed++
		w.gone(name, event)
	case v == damaged && w.o.RemoveCorrupt:
		r.CorruptRemoved++
		w.gone(name, event)
	case v == damaged:
		r.Corrupt++
		event.File, event.Action = sessionfile.ShortHash(name), Kept
		w.observe(event)
	default:
		r.live(age, info.Size)
		if v == endless {
			r.Endless++
		}
	}
}

// gone counts and reports a file that was removed.
func (w *worker) gone(name string, e Event) {
	w.report.RemovedBytes += e.Size
	w.removed.Add(1)
	if w.o.Observe != nil {
		e.File, e.Action = sessionfile.ShortHash(name), Removed
		w.observe(e)
	}
}

// failed counts and reports a file that could not be handled.
func (w *worker) failed(name string, err error) {
	w.report.Failed++
	hash := sessionfile.ShortHash(name)
	w.remember(fmt.Errorf("file %s: %w", hash, err))
	w.observe(Event{File: hash, Action: Failed, Err: err})
}

// temp removes an unfinished file of a dead writer. It takes no lock, as the writer
// took none. The file may have a second name, a session's: where the system has no
// rename without replacing, a new file is linked to its name before the unfinished
// one is unlinked, and the writer may have been killed in between. A session that is
// in use keeps both names, since its file does not get old.
func (w *worker) temp(ctx context.Context, name string, info dirfs.Info) {
	age := w.rule.now.Sub(info.ModTime)
	if age < staleTempAge {
		w.report.Temp++
		return
	}
	if !w.pace(ctx) || w.take() != nil {
		return
	}
	var err error
	if !w.o.DryRun {
		err = w.dir.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.giveBack()
		w.failed(name, err)
		return
	}
	w.report.TempRemoved++
	if info.Links > 1 {
		info.Size = 0 // the file stays, under its other name
	}
	w.gone(name, Event{Age: age, Size: info.Size})
}
