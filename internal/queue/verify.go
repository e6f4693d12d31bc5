package queue

import (
	"context"
	"errors"
	"fmt"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/id"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
)

// Verify checks every row of the queue and that every message's body is there
// and counted. Each fault is told to report in one line.
func (q *Queue) Verify(ctx context.Context, report func(string)) error {
	for shard := range uint16(Shards) {
		part := kv.QueueShard(shard)
		entries := make(map[id.ID]int)
		err := scanRows(ctx, q.opt.DB, part, rowEntry, func(key, value []byte) error {
			msg, n, ok := parseEntryKey(key)
			if !ok {
				report(fmt.Sprintf("queue: entry with a damaged key %x", key))
				return nil
			}
			entries[msg]++
			if _, err := decodeRow(value, false); err != nil {
				report(fmt.Sprintf("queue: entry %s is damaged", entryID(msg, n)))
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = scanRows(ctx, q.opt.DB, part, rowMessage, func(key, value []byte) error {
			msg := id.ID(key)
			m, err := decodeMessage(value)
			switch {
			case err != nil:
				report(fmt.Sprintf("queue: message %s is damaged", msg))
			case entries[msg] == 0:
				report(fmt.Sprintf("queue: message %s has no entries", msg))
			default:
				q.verifyBody(ctx, msg, m.Body, report)
			}
			delete(entries, msg)
			return nil
		})
		if err != nil {
			return err
		}
		for msg, n := range entries {
			report(fmt.Sprintf("queue: %d entries of %s have no message", n, msg))
		}
	}
	return nil
}

func (q *Queue) verifyBody(ctx context.Context, msg id.ID, ref blob.Ref, report func(string)) {
	body, err := q.opt.Bodies.Open(ref)
	if err != nil {
		report(fmt.Sprintf("queue: body of %s: %v", msg, err))
		return
	}
	body.Close()
	err = q.opt.DB.View(ctx, func(r kv.Reader) error {
		n, err := q.opt.Counts.Count(r, ref)
		if err == nil && n == 0 {
			// It may have gone between the scan and now.
			_, gone := r.Get(messageKey(msg))
			if !errors.Is(gone, kv.ErrNotFound) {
				report(fmt.Sprintf("queue: body of %s is not counted", msg))
			}
		}
		return err
	})
	if err != nil {
		report(fmt.Sprintf("queue: count of %s: %v", msg, err))
	}
}

// Refs calls fn for every message in the queue with its body: one reference each.
func (q *Queue) Refs(ctx context.Context, fn func(id.ID, blob.Ref) error) error {
	for shard := range uint16(Shards) {
		err := scanRows(ctx, q.opt.DB, kv.QueueShard(shard), rowMessage, func(key, value []byte) error {
			h, _, err := decodeHead(value)
			if err != nil {
				return err
			}
			return fn(id.ID(key), h.body)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Refile puts a message back into the queue of a store that is being rebuilt,
// and counts its body's reference. Its entries are held: nobody knows any more
// which of them were sent. A message that is there already is left alone.
func (q *Queue) Refile(ctx context.Context, m *Message) error {
	if m.Envelope == nil {
		return errBody
	}
	msg := m.Envelope.ID
	var events []*journal.Event
	parts := kv.Partitions{Partition(msg), journal.Partition(msg), refs.Partition(m.Body)}
	err := q.opt.DB.Update(ctx, parts, func(tx kv.Tx) error {
		events = events[:0]
		if _, err := tx.Get(messageKey(msg)); !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		if err := q.enqueueTx(tx, m, Held); err != nil {
			return err
		}
		for _, r := range m.Rcpts {
			events = append(events, &journal.Event{
				Kind: journal.Held, Message: msg, From: m.Envelope.From.String(), To: r.To.String(),
				Text: "Found when the index was rebuilt; it may have been sent already",
			})
		}
		if err := q.opt.Counts.AddTx(tx, m.Body, 1); err != nil {
			return err
		}
		return q.opt.Journal.AppendTx(tx, events...)
	})
	if err == nil {
		q.opt.Journal.Published(events...)
	}
	return err
}

var (
	_ Enqueuer = (*Queue)(nil)
	_ Admin    = (*Queue)(nil)
)
