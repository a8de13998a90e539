package sessions

import (
	"cmp"
	"context"
	"fmt"

	"github.com/sessfs/sessions/prune"
)

// Prune clears ended sessions away; see [prune.Run], which has all of it. The
// options' Template, IdleTimeout and Lifetime are the store's where they are not
// given.
func (st *FilesystemSessionStore) Prune(ctx context.Context, o prune.Options) (prune.Report, error) {
	o.Template = cmp.Or(o.Template, st.opts.FilenameTemplate)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, st.timeouts.Idle, prune.Never)
	o.Lifetime = cmp.Or(o.Lifetime, st.timeouts.Lifetime, prune.Never)
	dir, err := st.files.PresentDir()
	if err != nil {
		return prune.Report{}, fmt.Errorf("sessions: prune: %w", err)
	}
	root, err := dir.Root()
	if err != nil {
		return prune.Report{}, fmt.Errorf("sessions: prune: %w", err)
	}
	defer root.Close()
	report, err := prune.Run(ctx, root, o)
	if err != nil {
		err = fmt.Errorf("sessions: %w", err)
	}
	return report, err
}
