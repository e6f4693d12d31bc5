package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"posthouse/internal/blob"
	"posthouse/internal/blob/refs"
	"posthouse/internal/id"
	"posthouse/internal/kv"
)

// Verify checks every row of every account against the others and calls report,
// in plain words, for each thing that is wrong. Each account is read in one View,
// so it may run beside everything else. It answers an error only when it cannot read.
func (s *Store) Verify(ctx context.Context, report func(problem string)) error {
	var failed error
	err := s.Accounts(ctx, func(acct id.Account) bool {
		failed = s.db.View(ctx, func(r kv.Reader) error {
			c := &checker{
				r: r, keys: keysOf(acct), counts: s.counts,
				report: func(format string, args ...any) {
					report(fmt.Sprintf("account %d: ", acct) + fmt.Sprintf(format, args...))
				},
				boxes:  make(map[uint32]*checkedBox),
				doomed: make(map[uint32]bool),
				uses:   make(map[uint64]use),
			}
			return c.run()
		})
		return failed == nil && ctx.Err() == nil
	})
	return errors.Join(err, failed, ctx.Err())
}

// Refs calls fn for every reference to a body that accounts hold, until it
// returns an error. A body may come several times, with the references of one
// account each time.
func (s *Store) Refs(ctx context.Context, fn func(ref blob.Ref, n int) error) error {
	const page = 4096
	var failed error
	err := s.Accounts(ctx, func(acct id.Account) bool {
		failed = s.refsOf(ctx, keysOf(acct), page, fn)
		return failed == nil
	})
	return errors.Join(err, failed)
}

func (s *Store) refsOf(ctx context.Context, k keyspace, page int, fn func(ref blob.Ref, n int) error) error {
	for next := uint64(0); ; {
		var list []blob.Ref
		err := s.db.View(ctx, func(r kv.Reader) error {
			var bad error
			err := r.Scan(k.body(next), k.kind(kindBody).End(), func(key, value []byte) bool {
				var row bodyRow
				if row, bad = decodeBody(value); bad != nil {
					return false
				}
				list, next = append(list, row.ref), k.tail64(key)+1
				return len(list) < page
			})
			return errors.Join(err, bad)
		})
		if err != nil {
			return err
		}
		for _, ref := range list {
			if err := fn(ref, 1); err != nil {
				return err
			}
		}
		if len(list) < page {
			return nil
		}
	}
}

// checker verifies one account.
type checker struct {
	r      kv.Reader
	keys   keyspace
	counts *refs.Counter
	report func(format string, args ...any)

	head   head
	boxes  map[uint32]*checkedBox
	doomed map[uint32]bool
	uses   map[uint64]use // messages that hot rows use and no body row has answered for yet
}

// use is how hot rows use a message.
type use struct {
	rows uint32
	size uint32
}

// checkedBox is a mailbox's row, and what its messages come to.
type checkedBox struct {
	row    boxRow
	sum    boxRow
	maxUID uint32
	maxMod uint64
}

func (c *checker) run() error {
	if err := c.scan(kindDoomed, func(key, _ []byte) { c.doomed[c.keys.tail32(key)] = true }); err != nil {
		return err
	}
	if c.doomed[wholeAccount] {
		return c.checkBodies() // being removed: nothing else is left
	}
	var err error
	if c.head, err = readHead(c.r, c.keys); err != nil {
		if errors.Is(err, ErrDeleted) || errors.Is(err, errRow) {
			c.report("the head row cannot be read: %v", err)
			return nil
		}
		return err
	}
	for _, step := range []func() error{c.readBoxes, c.checkNames, c.readMessages, c.checkBoxes, c.checkBodies, c.checkExpunged} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) scan(kind byte, fn func(key, value []byte)) error {
	prefix := c.keys.kind(kind)
	return c.r.Scan(prefix, prefix.End(), func(key, value []byte) bool {
		fn(key, value)
		return true
	})
}

func (c *checker) readBoxes() error {
	return c.scan(kindBox, func(key, value []byte) {
		id := c.keys.tail32(key)
		row, err := decodeBox(value)
		if err != nil {
			c.report("mailbox %d: %v", id, err)
			return
		}
		c.boxes[id] = &checkedBox{row: row, sum: boxRow{recentFrom: row.recentFrom}}
		if id >= c.head.nextBox {
			c.report("mailbox %d: its number was not given yet", id)
		}
		if row.modseq > c.head.modseq {
			c.report("mailbox %d: modseq %d is above the account's %d", id, row.modseq, c.head.modseq)
		}
		if _, err := readKeywords(c.r, c.keys, id, row.keywords); err != nil {
			c.report("mailbox %d: %v", id, err)
		}
	})
}

func (c *checker) checkNames() error {
	named := make(map[uint32]bool)
	err := c.scan(kindName, func(key, value []byte) {
		name, _, ok := kv.CutString(c.keys.tail(key))
		row, err := decodeName(value)
		if !ok || err != nil {
			c.report("the name %q cannot be read", name)
			return
		}
		named[row.id] = true
		if b := c.boxes[row.id]; b == nil {
			c.report("the name %q means mailbox %d, which is not there", name, row.id)
		} else if b.row.name != name {
			c.report("mailbox %d is called %q and listed as %q", row.id, b.row.name, name)
		}
	})
	for id, b := range c.boxes {
		if !named[id] {
			c.report("mailbox %d (%q) is in no list", id, b.row.name)
		}
	}
	return err
}

func (c *checker) readMessages() error {
	return c.scan(kindMessage, func(key, value []byte) {
		box, uid := c.keys.tail32(key), uidOf(key)
		var e Entry
		if err := decodeEntry(uid, value, &e); err != nil {
			c.report("mailbox %d: %v", box, err)
			return
		}
		u := c.uses[e.Message]
		c.uses[e.Message] = use{rows: u.rows + 1, size: e.Size}
		b := c.boxes[box]
		if b == nil {
			if !c.doomed[box] {
				c.report("uid %d is in mailbox %d, which is not there", uid, box)
			}
			return
		}
		b.sum.count(&e, +1)
		b.maxUID, b.maxMod = max(b.maxUID, uid), max(b.maxMod, e.ModSeq)
		if e.Message >= c.head.nextMessage {
			c.report("mailbox %d, uid %d: message %d was not given yet", box, uid, e.Message)
		}
		if b.row.keywords < maxKeywords && e.Keywords>>b.row.keywords != 0 {
			c.report("mailbox %d, uid %d: a keyword that the mailbox does not know", box, uid)
		}
	})
}

func (c *checker) checkBoxes() error {
	var bytes, messages int64
	for id, b := range c.boxes {
		bytes += b.row.size
		messages += int64(b.row.exists)
		is, sum := b.row.status(0), b.sum.status(0)
		is.UIDNext, is.UIDValidity, is.HighestModSeq = 0, 0, 0
		if is != sum {
			c.report("mailbox %d: counted %d messages, %d unseen, %d deleted, %d recent, %d and %d bytes; its rows come to %d, %d, %d, %d, %d and %d",
				id, is.Messages, is.Unseen, is.Deleted, is.Recent, is.Size, is.DeletedSize,
				sum.Messages, sum.Unseen, sum.Deleted, sum.Recent, sum.Size, sum.DeletedSize)
		}
		if b.maxUID >= b.row.uidNext {
			c.report("mailbox %d: uid %d is in use, the next is %d", id, b.maxUID, b.row.uidNext)
		}
		if b.maxMod > b.row.modseq {
			c.report("mailbox %d: a message has modseq %d, the mailbox %d", id, b.maxMod, b.row.modseq)
		}
	}
	if bytes != c.head.bytes || messages != c.head.messages {
		c.report("usage is %d bytes in %d messages; the mailboxes have %d in %d", c.head.bytes, c.head.messages, bytes, messages)
	}
	return nil
}

func (c *checker) checkBodies() error {
	var failed error
	err := c.scan(kindBody, func(key, value []byte) {
		n := c.keys.tail64(key)
		row, err := decodeBody(value)
		if err != nil {
			c.report("message %d: %v", n, err)
			return
		}
		if refs, err := c.counts.Count(c.r, row.ref); err != nil {
			failed = err
		} else if refs < 1 {
			c.report("message %d: its body %v has no references", n, row.ref)
		}
		if !c.doomed[wholeAccount] {
			c.checkBody(n, &row)
		}
	})
	for n, u := range c.uses {
		c.report("message %d: %d rows, but nothing says where its body is", n, u.rows)
	}
	return errors.Join(err, failed)
}

func (c *checker) checkBody(n uint64, row *bodyRow) {
	u := c.uses[n]
	delete(c.uses, n)
	if u.rows != row.rows {
		c.report("message %d: counted %d rows, there are %d", n, row.rows, u.rows)
	}
	if u.rows > 0 && uint64(u.size) != min(row.ref.Length, 1<<32-1) {
		c.report("message %d: %d bytes in its row, its body has %d", n, u.size, row.ref.Length)
	}
	if row.rows == 0 {
		if _, err := c.r.Get(c.keys.expunged(row.hour, n)); err != nil {
			c.report("message %d: expunged, but it would never be dropped: %v", n, err)
		}
	}
	value, err := c.r.Get(c.keys.summary(n))
	if err == nil {
		_, err = decodeSummary(value)
	}
	if err != nil && !errors.Is(err, errNotKept) {
		c.report("message %d: its summary cannot be read: %v", n, err)
	}
}

func (c *checker) checkExpunged() error {
	return c.scan(kindExpunged, func(key, _ []byte) {
		tail := c.keys.tail(key)
		hour, n := binary.BigEndian.Uint32(tail), binary.BigEndian.Uint64(tail[4:])
		b, err := c.r.Get(c.keys.body(n))
		if err != nil {
			c.report("message %d waits to be dropped and is gone: %v", n, err)
			return
		}
		if row, err := decodeBody(b); err == nil && (row.rows != 0 || row.hour != hour) {
			c.report("message %d waits to be dropped and is in use", n)
		}
	})
}
