package mailbox

import (
	"context"
	"errors"
)

// Search finds the entries of snap that match c, in order.
func (m *Mailbox) Search(ctx context.Context, snap *Snapshot, c *Criterion) ([]Entry, error) {
	return nil, errors.New("mailbox: search is not built yet")
}
