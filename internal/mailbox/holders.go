package mailbox

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"posthouse/internal/blob"
	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// Holder is a message that has its body in the log, for people.
type Holder struct {
	Account   id.Account
	Mailbox   string // "" when it was expunged and is kept to be recovered
	UID       uint32
	MessageID string // "" when there is none, or it is not kept
}

// Holders calls fn for every message that has one of the bodies in want, until fn
// returns an error. It reads every account's rows. Rows that are damaged are passed
// over: Verify tells of them.
func (s *Store) Holders(ctx context.Context, want map[blob.Ref]bool, fn func(blob.Ref, Holder) error) error {
	var failed error
	err := s.Accounts(ctx, func(acct id.Account) bool {
		failed = s.db.View(ctx, func(r kv.Reader) error {
			h := holders{r: r, keys: keysOf(acct), acct: acct, bodies: make(map[uint64]blob.Ref)}
			if err := h.findBodies(want); err != nil || len(h.bodies) == 0 {
				return err
			}
			return h.each(fn)
		})
		return failed == nil && ctx.Err() == nil
	})
	if err == nil {
		err = failed
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// holders looks through one account.
type holders struct {
	r      kv.Reader
	keys   keyspace
	acct   id.Account
	bodies map[uint64]blob.Ref // message → the body that is wanted
}

// findBodies finds the messages whose body is wanted.
func (h *holders) findBodies(want map[blob.Ref]bool) error {
	prefix := h.keys.kind(kindBody)
	return h.r.Scan(prefix, prefix.End(), func(key, value []byte) bool {
		if row, err := decodeBody(value); err == nil && want[row.ref] {
			h.bodies[h.keys.tail64(key)] = row.ref
		}
		return true
	})
}

// each finds where they are filed.
func (h *holders) each(fn func(blob.Ref, Holder) error) error {
	filed := make(map[uint64]bool)
	var failed error
	prefix := h.keys.kind(kindMessage)
	err := h.r.Scan(prefix, prefix.End(), func(key, value []byte) bool {
		var e Entry
		if decodeEntry(uidOf(key), value, &e) != nil {
			return true
		}
		ref, ok := h.bodies[e.Message]
		if !ok {
			return true
		}
		filed[e.Message] = true
		failed = fn(ref, Holder{Account: h.acct, Mailbox: h.nameOf(h.keys.tail32(key)), UID: uidOf(key), MessageID: h.messageID(e.Message)})
		return failed == nil
	})
	if err != nil || failed != nil {
		if err == nil {
			err = failed
		}
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(h.bodies)) {
		if filed[n] {
			continue
		}
		if err := fn(h.bodies[n], Holder{Account: h.acct, MessageID: h.messageID(n)}); err != nil {
			return err
		}
	}
	return nil
}

// nameOf is the name of a mailbox, or its number when its row cannot be read.
func (h *holders) nameOf(box uint32) string {
	value, err := h.r.Get(h.keys.box(box))
	if err == nil {
		if row, err := decodeBox(value); err == nil {
			return row.name
		}
	}
	return fmt.Sprintf("mailbox %d", box)
}

func (h *holders) messageID(n uint64) string {
	value, err := h.r.Get(h.keys.summary(n))
	if err != nil {
		return ""
	}
	sum, err := decodeSummary(value)
	if err != nil {
		return ""
	}
	return sum.Envelope.MessageID
}
