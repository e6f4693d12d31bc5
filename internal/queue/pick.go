package queue

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"posthouse/internal/id"
	"posthouse/internal/smtp"
)

// matcher is a Selector made ready to compare.
type matcher struct {
	sel    Selector
	domain string
	sender uint64
	before moment // created by then; 0: whenever
	msg    id.Packed
	n      int  // recipient; -1: all of the message
	never  bool // an ID that is none
}

func (q *Queue) matcher(sel Selector) *matcher {
	m := &matcher{sel: sel, n: -1}
	if sel.Domain != "" {
		m.domain = smtp.CanonicalDomain(sel.Domain)
	}
	if s := strings.Trim(sel.Sender, "<>"); s != "" {
		a, err := smtp.ParseAddress(s)
		if err != nil {
			a = smtp.Address{Local: s}
		}
		m.sender = q.senderHash(a)
	}
	if sel.OlderThan > 0 {
		m.before = q.now().add(-sel.OlderThan)
	}
	if sel.ID != "" {
		msg, n, ok := parseEntryID(sel.ID)
		if m.n = int(n); !ok {
			msg, m.n = id.ID(sel.ID), -1
		}
		m.msg, ok = msg.Pack()
		m.never = !ok
	}
	return m
}

// matches reports whether all set fields of the selector agree. Under q.mu.
func (m *matcher) matches(e *entry) bool {
	switch {
	case e.state == sGone,
		m.domain != "" && e.dest.name != m.domain && !(m.sel.Below && strings.HasSuffix(e.dest.name, "."+m.domain)),
		m.sel.Sender != "" && m.sender != e.msg.sender,
		m.before != 0 && e.msg.created > m.before,
		m.n >= 0 && m.n != int(e.n):
		return false
	}
	return true
}

// pickPause is after how many messages operators let the queue go on.
const pickPause = 2000

// pick gives the entries that a selector and a condition choose, those of one
// partition together. The queue works meanwhile, so they are what they were when
// they were looked at.
func (q *Queue) pick(ctx context.Context, sel Selector, also func(*entry) bool) ([]*entry, error) {
	if err := q.load(ctx); err != nil {
		return nil, err
	}
	m := q.matcher(sel)
	var picked []*entry
	look := func(msg *message) {
		for i := range msg.list {
			if e := &msg.list[i]; m.matches(e) && also(e) {
				picked = append(picked, e)
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case m.never:
	case sel.ID != "":
		if msg := q.messages[m.msg]; msg != nil {
			look(msg)
		}
	default:
		n := 0
		for _, msg := range q.messages {
			look(msg)
			if n++; n%pickPause == 0 {
				q.mu.Unlock()
				err := ctx.Err()
				q.mu.Lock()
				if err != nil {
					return nil, err
				}
			}
		}
	}
	return picked, nil
}

// byID sorts entries by their IDs, which is by age.
func byID(list []*entry) {
	slices.SortFunc(list, func(a, b *entry) int {
		if a.msg == b.msg {
			return cmp.Compare(a.n, b.n)
		}
		return bytes.Compare(a.msg.key[:], b.msg.key[:])
	})
}

// byShard sorts entries so that those of one partition are together.
func byShard(list []*entry) {
	shards := make([][]*entry, Shards)
	byID(list)
	for _, e := range list {
		shard := shardOf(e.msg.id())
		shards[shard] = append(shards[shard], e)
	}
	list = list[:0]
	for _, s := range shards {
		list = append(list, s...)
	}
}
