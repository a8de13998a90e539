package sessions

import "context"

// Unobserved does all that Observe costs a call of the store when it is not set.
func (b *Base) Unobserved(ctx context.Context) { b.observeCommit(ctx, b.now(), nil, nil) }
