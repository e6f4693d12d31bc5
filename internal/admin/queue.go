package admin

import (
	"context"
	"errors"
	"fmt"

	"posthouse/internal/queue"
)

// Queue is API.
func (h *House) Queue(ctx context.Context, sel queue.Selector, page queue.Page) ([]queue.Entry, error) {
	list, err := h.Queues.List(ctx, sel, page)
	if list == nil {
		list = []queue.Entry{}
	}
	return list, err
}

// QueueEntry shows one entry with its history; ErrNotFound.
func (h *House) QueueEntry(ctx context.Context, entry string) (queue.Entry, error) {
	e, err := h.Queues.Show(ctx, entry)
	if errors.Is(err, queue.ErrNotFound) {
		return e, fmt.Errorf("%s: no such entry in the queue%w", entry, quiet{ErrNotFound})
	}
	return e, err
}

// QueueDo acts on queue entries.
func (h *House) QueueDo(ctx context.Context, verb QueueVerb, sel queue.Selector) (int, error) {
	switch verb {
	case QueueRetry:
		return h.Queues.Retry(ctx, sel)
	case QueueHold:
		return h.Queues.Hold(ctx, sel)
	case QueueRelease:
		return h.Queues.Release(ctx, sel)
	case QueueDrop:
		return h.Queues.Drop(ctx, sel)
	}
	return 0, fmt.Errorf("%q: %w", verb, ErrInvalid)
}

// QueueReroute is API.
func (h *House) QueueReroute(ctx context.Context, sel queue.Selector, to string) (int, error) {
	n, err := h.Queues.Reroute(ctx, sel, to)
	return n, invalid(err)
}

// QueueSites is API.
func (h *House) QueueSites(ctx context.Context) (queue.Traffic, error) { return h.Queues.Sites(ctx) }

// QueueSuspend is API.
func (h *House) QueueSuspend(ctx context.Context, s queue.Suspension) error {
	return invalid(h.Queues.Suspend(ctx, s))
}

// QueueResume is API; ErrNotFound when nothing was suspended.
func (h *House) QueueResume(ctx context.Context, s queue.Suspension) error {
	was, err := h.Queues.Resume(ctx, s)
	if err == nil && !was {
		return fmt.Errorf("%s%s is not suspended%w", s.Domain, s.Site, quiet{ErrNotFound})
	}
	return invalid(err)
}

// invalid gives the queue's errors about what was asked their meaning here.
func invalid(err error) error {
	if errors.Is(err, queue.ErrTarget) || errors.Is(err, queue.ErrWay) {
		return fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	return err
}
