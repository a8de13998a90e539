package integration

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sessfs/sessions"
)

// errnos are the errors of failing system calls.
var errnos = []unix.Errno{unix.EIO, unix.ENOSPC, unix.EACCES, unix.EMFILE, unix.ENFILE, unix.EINTR, unix.EROFS, unix.EDQUOT, unix.ESTALE}

// faulty are the deeds whose every system call fails once.
var faulty = []string{"open", "load", "load removed", "save new", "save removed", "save changed", "save grown", "save shrunk", "save unchanged", "set timeout", "save lengthened", "touch lengthened", "renew", "destroy", "delete", "touch",
	"load in use", "save changed in use", "save grown in use", "touch in use", "renew in use", "delete in use"}

// Each system call of each deed fails with each error, at its first to tenth
// occurrence. Then the session is as it was or as it should have become,
// whole; the error was reported, unless all was done in spite of it; no
// descriptor and no temporary file is left; and the same deed, on the same
// Session, succeeds when tried again. EINTR has no effect. Of a file in use, no lock is
// left: another process saves the session, and then the subject again.
func TestFaultInAnySystemCallLeavesTheSessionWhole(t *testing.T) {
	needStrace(t)
	failEach(t, faulty, "")
}

// failEach has each system call of each of the deeds fail with each error, but for one
// call.
func failEach(t *testing.T, names []string, except string) {
	t.Helper()
	var tried, reported, survived atomic.Int64
	t.Run("call", func(t *testing.T) {
		for _, c := range calls {
			if errors.Is(c.probe(), unix.ENOSYS) || c.name == except {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				type doing struct {
					name string
					sync sessions.SyncMode
				}
				never := make(map[doing]bool) // make no such call, whatever its error
				for _, errno := range errnos {
					h := newHarness(t, faultInjection(c.name, errno)...)
					for _, name := range names {
						for _, sync := range []sessions.SyncMode{sessions.SyncNone, sessions.SyncFull} {
							for n := 1; n <= maxCall && !never[doing{name, sync}]; n++ {
								d := deed{Name: name, Sync: sync, Call: c.name, N: n, Error: errno}
								a := h.try(d)
								if !a.Failed { // it makes no more of these
									never[doing{name, sync}] = n == 1
									break
								}
								if tried.Add(1); a.Err != "" {
									reported.Add(1)
								} else {
									survived.Add(1)
								}
							}
						}
					}
					h.subject.End(t)
				}
			})
		}
	})
	t.Logf("%d failures: %d were reported, %d survived", tried.Load(), reported.Load(), survived.Load())
	if tried.Load() < 1000 {
		t.Error("fewer than 1,000: the system calls do not fail as they are told to")
	}
}

// A renewal that cannot end the old session takes the new one back: its ID is
// unknown, and a listing of the owner's sessions would show two.
func TestRenewalThatFailsLeavesNoNewSessionBehind(t *testing.T) {
	needStrace(t)
	h := newHarness(t, append(faultInjection("pwrite64", unix.EIO), faultInjection("unlinkat", unix.EIO)...)...)
	for _, sync := range []sessions.SyncMode{sessions.SyncNone, sessions.SyncFull} {
		// The second write is the tombstone's, the first removal that of the old name.
		a := h.try(deed{Name: "renew", Sync: sync, Call: "pwrite64", N: 2, AndCall: "unlinkat", AndN: 1, Error: unix.EIO})
		if !a.Failed || a.Err == "" {
			t.Errorf("failed: %v, with the error %q", a.Failed, a.Err)
		}
	}
	h.subject.End(t)
}

// faultInjection is strace's option. A file system without renameat2 takes
// another way, which has linkat in it.
func faultInjection(name string, errno unix.Errno) []string {
	inject := []string{fmt.Sprintf("%s:error=%s:when=%d+%d", name, unix.ErrnoName(errno), period, period)}
	if name == "linkat" {
		inject = append(inject, "renameat2:error=EINVAL")
	}
	return inject
}

// Where renameat2 cannot do it, a new session gets its name by linkat and
// unlinkat, of which the second may fail as well.
func TestFaultWithoutRenameat2LeavesTheSessionWhole(t *testing.T) {
	needStrace(t)
	for _, errno := range errnos {
		h := newHarness(t, append(faultInjection("unlinkat", errno), "renameat2:error=EINVAL")...)
		for _, name := range []string{"save new", "renew"} {
			for n := 1; n <= maxCall; n++ {
				if a := h.try(deed{Name: name, Call: "unlinkat", N: n, Error: errno}); !a.Failed {
					break
				}
			}
		}
		h.subject.End(t)
	}
}
