package queue

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"posthouse/internal/id"
	"posthouse/internal/kv"
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
	rcpt   string
	source uint16
}

func (q *Queue) matcher(sel Selector) *matcher {
	m := &matcher{sel: sel, n: -1}
	if sel.Recipient != "" {
		a, err := smtp.ParseAddress(strings.Trim(sel.Recipient, "<>"))
		if m.never = err != nil; !m.never {
			m.rcpt, m.domain = a.Key(), smtp.CanonicalDomain(a.Domain)
			m.never = sel.Domain != "" && smtp.CanonicalDomain(sel.Domain) != m.domain
		}
		m.sel.Below, sel.Domain = false, ""
	}
	if sel.Source != "" {
		named := func(s Source) bool { return s.Name == sel.Source }
		m.source = uint16(slices.IndexFunc(q.opt.Sources, named) + 1)
		m.never = m.never || m.source == 0
	}
	if sel.Domain != "" {
		m.domain = smtp.CanonicalDomain(sel.Domain)
		m.never = m.never || m.domain == ""
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
		m.never = m.never || !ok
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
		m.n >= 0 && m.n != int(e.n),
		m.source != 0 && m.source != e.msg.source,
		m.sel.State != "" && m.sel.State != stateNames[e.state],
		m.sel.Priority != "" && m.sel.Priority != bandNames[e.msg.band],
		m.sel.Site != "" && (e.dest.route == nil || !siteIs(e.dest.route.Site, m.sel.Site)):
		return false
	}
	return true
}

// pickPause is after how many messages operators let the queue go on.
const pickPause = 2000

// siteIs reports whether a site is the one that an operator names: by all its
// hosts, or by one of them.
func siteIs(site, named string) bool {
	if strings.EqualFold(site, named) {
		return true
	}
	hosts, _, _ := strings.Cut(site, " (") // what is asked of their TLS
	for host := range strings.SplitSeq(hosts, ",") {
		if strings.EqualFold(host, strings.TrimSuffix(named, ".")) {
			return true
		}
	}
	return false
}

// pick gives the entries that a selector and a condition choose. The queue works
// meanwhile, so they are what they were when they were looked at.
func (q *Queue) pick(ctx context.Context, sel Selector, also func(*entry) bool) ([]*entry, error) {
	if err := q.load(ctx); err != nil {
		return nil, err
	}
	var picked []*entry
	m := q.matcher(sel)
	err := q.look(ctx, m, func(e *entry) {
		if also(e) {
			picked = append(picked, e)
		}
	})
	if err == nil && m.rcpt != "" {
		picked, err = q.confirm(ctx, m, picked)
	}
	return picked, err
}

// look calls fn under q.mu for the entries that match in memory, and lets the
// queue go on in between.
func (q *Queue) look(ctx context.Context, m *matcher, fn func(*entry)) error {
	look := func(msg *message) {
		for i := range msg.list {
			if e := &msg.list[i]; m.matches(e) {
				fn(e)
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case m.never:
	case m.sel.ID != "":
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
					return err
				}
			}
		}
	}
	return nil
}

// confirm leaves those whose recipient is the one that is looked for: only their
// domains are in memory.
func (q *Queue) confirm(ctx context.Context, m *matcher, list []*entry) ([]*entry, error) {
	out := list[:0]
	for len(list) > 0 {
		page := list[:min(len(list), pickPause)]
		list = list[len(page):]
		err := q.opt.DB.View(ctx, func(r kv.Reader) error {
			for _, e := range page {
				row, err := getRow(r, e.msg.id(), e.n)
				switch {
				case errors.Is(err, kv.ErrNotFound):
				case err != nil:
					return err
				case row.rcpt.To.Key() == m.rcpt:
					out = append(out, e)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// byID sorts entries by their IDs, which is by age.
func byID(list []*entry) {
	slices.SortFunc(list, compareIDs)
}

func compareIDs(a, b *entry) int {
	if a.msg == b.msg {
		return cmp.Compare(a.n, b.n)
	}
	return bytes.Compare(a.msg.key[:], b.msg.key[:])
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
