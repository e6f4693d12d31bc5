package courier

import "context"

// calling is the context of looking for a connection: it ends with ctx, and when
// the transfer is to be left.
func (t *Transfer) calling(ctx context.Context) (context.Context, context.CancelFunc) {
	calling, cancel := context.WithCancel(ctx)
	if t.Leave == nil {
		return calling, cancel
	}
	stop := context.AfterFunc(t.Leave, cancel)
	return calling, func() {
		stop()
		cancel()
	}
}

// leaves reports whether the transfer is to be left.
func (t *Transfer) leaves() bool { return t.Leave != nil && t.Leave.Err() != nil }
