package imapd

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pick chooses up to n messages and gives their positions in order.
func (c *stresser) pick(n int) (at []int) {
	for range 1 + c.rnd.IntN(n) {
		at = append(at, c.rnd.IntN(len(c.view.msgs)))
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// target gives a command's prefix and set for messages, by UID when all are known
// and chance wants it, now and then turned round.
func (c *stresser) target(at []int) (prefix, set string, uid bool) {
	uid = c.rnd.IntN(2) == 0
	for _, i := range at {
		uid = uid && c.view.msgs[i].uid != 0
	}
	var words []string
	for _, i := range at {
		n := uint32(i + 1)
		if uid {
			n = c.view.msgs[i].uid
		}
		words = append(words, strconv.FormatUint(uint64(n), 10))
	}
	if c.rnd.IntN(4) == 0 {
		slices.Reverse(words)
	}
	if uid {
		prefix = "UID "
	}
	return prefix, strings.Join(words, ","), uid
}

func (c *stresser) messagesAt(at []int) (out []*seenMessage) {
	for _, i := range at {
		out = append(out, c.view.msgs[i])
	}
	return out
}

func (c *stresser) append() error {
	c.sent++
	subject := fmt.Sprintf("Subject: m%d.%d", c.n, c.sent)
	flags := c.someFlags()
	text := subject + "\r\nFrom: a@b.c\r\n\r\n" + strings.Repeat("line\r\n", c.rnd.IntN(50))
	box := cmp.Or(c.box, "one")
	_, next, _ := c.s.truths[box].marks()
	tagged, _, err := c.do("APPEND "+box+" ("+strings.Join(flags, " ")+")", text)
	if err != nil || tagged.word != "OK" {
		return fmt.Errorf("append: %s, %w", tagged.raw, cmp.Or(err, errRefused))
	}
	_, rest := tagged.code()
	_, number, _ := strings.Cut(rest, " ")
	uid, err := strconv.ParseUint(number, 10, 32)
	if err != nil || uint32(uid) < next {
		return fmt.Errorf("APPENDUID %q, with UIDNEXT %d", rest, next)
	}
	return c.given(box, uint32(uid), fact{subject: subject, size: strconv.Itoa(len(text))})
}

// given notes the UID of a new message.
func (c *stresser) given(box string, uid uint32, f fact) error {
	tr := c.s.truths[box]
	tr.sawUID(uid)
	return tr.learn(uid, f)
}

var stressFlags = []string{`\seen`, `\answered`, `\flagged`, `\draft`, `\deleted`, "$one", "$two", "$three"}

func (c *stresser) someFlags() (out []string) {
	for range c.rnd.IntN(3) {
		out = append(out, stressFlags[c.rnd.IntN(len(stressFlags))])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (c *stresser) store() error {
	if c.view.readOnly {
		return c.fetch()
	}
	at := c.pick(8)
	msgs := c.messagesAt(at)
	prefix, set, uid := c.target(at)
	op := []string{"+", "-", ""}[c.rnd.IntN(3)]
	flags := c.someFlags()
	silent, mod := "", ""
	if c.rnd.IntN(2) == 0 {
		silent = ".SILENT"
	}
	if c.cond && c.rnd.IntN(3) == 0 {
		mod = fmt.Sprintf(" (UNCHANGEDSINCE %d)", max(msgs[c.rnd.IntN(len(msgs))].modseq, 1))
	}
	c.view.silent = map[*seenMessage]bool{}
	tagged, _, err := c.do(fmt.Sprintf("%sSTORE %s%s %sFLAGS%s (%s)", prefix, set, mod, op, silent, strings.Join(flags, " ")), "")
	told := c.view.silent
	c.view.silent = nil
	if err != nil {
		return err
	}
	failed := map[uint32]bool{}
	if name, rest := tagged.code(); name == "MODIFIED" {
		for _, n := range expand(rest) {
			failed[n] = true
		}
	}
	for i, m := range msgs {
		n := m.uid
		if !uid {
			n = uint32(at[i] + 1)
		}
		switch {
		case failed[n] || tagged.word != "OK" && mod != "":
		case silent != "" && !told[m]:
			m.known = m.known || op == ""
			m.flags = change(m.flags, (op + "=")[0], flags)
		case silent == "" && !told[m] && !c.s.foreign:
			m.missing = true
		}
	}
	return nil
}

func (c *stresser) fetch() error {
	at := c.pick(10)
	msgs := c.messagesAt(at)
	prefix, set, _ := c.target(at)
	items := []string{"FLAGS", "UID FLAGS", "RFC822.SIZE UID", "INTERNALDATE UID", "FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)] UID",
		"BODY[TEXT]<2.7>", "BODY[]", "ENVELOPE BODYSTRUCTURE", "UID FLAGS RFC822.SIZE BODY[HEADER.FIELDS (SUBJECT)]"}[c.rnd.IntN(9)]
	mod, since := "", uint64(0)
	if c.cond {
		switch c.rnd.IntN(3) {
		case 0:
			items += " MODSEQ"
		case 1:
			since = max(msgs[0].modseq, 1)
			mod = fmt.Sprintf(" (CHANGEDSINCE %d)", since)
		}
	}
	before := c.view.msgs
	tagged, data, err := c.do(fmt.Sprintf("%sFETCH %s (%s)%s", prefix, set, items, mod), "")
	if err != nil {
		return err
	}
	if mod != "" {
		return nil
	}
	told := map[uint32]bool{}
	for _, r := range data {
		if r.word == "FETCH" {
			told[r.num] = true
		}
	}
	if prefix != "" && len(before) > len(c.view.msgs) {
		return nil // numbers have moved; the end will tell
	}
	for i, m := range msgs {
		if !told[uint32(at[i]+1)] {
			m.missing = true
			if tagged.word == "OK" && prefix == "" && strings.Contains(items, "[") {
				return fmt.Errorf("FETCH is OK and has nothing of %d", at[i]+1)
			}
		}
	}
	return nil
}

// found are the numbers of a SEARCH or ESEARCH response.
func found(data []reply) (all []uint32, err error) {
	for _, r := range data {
		switch r.word {
		case "SEARCH":
			for _, a := range r.args {
				if a.isList {
					continue
				}
				n, err := strconv.ParseUint(a.text, 10, 32)
				if err != nil {
					return nil, err
				}
				all = append(all, uint32(n))
			}
		case "ESEARCH":
			for i, a := range r.args {
				if a.text == "ALL" {
					all = append(all, expand(r.args[i+1].text)...)
				}
			}
		}
	}
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
		return nil, fmt.Errorf("found %v", all)
	}
	return all, nil
}

func (c *stresser) search() error {
	if c.rnd.IntN(2) == 0 {
		_, data, err := c.do("UID SEARCH "+[]string{"ALL", "FLAGGED", "KEYWORD $one", "SUBJECT m1", "OR SEEN NOT DRAFT", "1:*", "UID 1:*"}[c.rnd.IntN(7)], "")
		if err == nil {
			_, err = found(data)
		}
		return err
	}
	_, data, err := c.do("SEARCH "+[]string{"ALL", "1:*", "OR SEEN UNSEEN"}[c.rnd.IntN(3)], "")
	if err != nil {
		return err
	}
	all, err := found(data)
	if err != nil {
		return err
	}
	for i, m := range c.view.msgs[:c.view.answered] { // who is left out is gone
		if _, ok := slices.BinarySearch(all, uint32(i+1)); !ok {
			m.missing = true
		}
	}
	if n := len(all); n > 0 && int(all[n-1]) > len(c.view.msgs) {
		return fmt.Errorf("SEARCH finds %d of %d", all[n-1], len(c.view.msgs))
	}
	return nil
}

// idle waits a little for others.
func (c *stresser) idle() error {
	tag, err := c.wirePeer.send("IDLE", "")
	if err != nil {
		return err
	}
	time.AfterFunc(time.Duration(c.rnd.IntN(20))*time.Millisecond, func() { _, _ = io.WriteString(c.conn, "DONE\r\n") })
	_, _, err = c.await(tag, "IDLE")
	return err
}

func (c *stresser) expungeSome() error {
	if c.view.readOnly {
		return nil
	}
	if c.rnd.IntN(2) == 0 {
		_, _, err := c.do("EXPUNGE", "")
		return err
	}
	_, _, err := c.do("UID EXPUNGE 1:*", "")
	return err
}

// thin removes much, so that the mailbox stays small.
func (c *stresser) thin() error {
	if c.view.readOnly {
		return c.selectBox()
	}
	if _, _, err := c.do(fmt.Sprintf(`STORE 1:%d +FLAGS.SILENT (\Deleted)`, len(c.view.msgs)/2), ""); err != nil {
		return err
	}
	for _, m := range c.view.msgs {
		m.flags, m.known = nil, false
	}
	if _, _, err := c.do("EXPUNGE", ""); err != nil || len(c.view.msgs) == 0 {
		return err
	}
	_, _, err := c.do("FETCH 1:* (UID FLAGS)", "")
	return err
}

func (c *stresser) copyOrMove() error {
	at := c.pick(4)
	prefix, set, _ := c.target(at)
	verb := "COPY"
	if c.rnd.IntN(2) == 0 && !c.view.readOnly {
		verb = "MOVE"
	}
	from, to := c.s.truths[c.box], c.otherBox()
	tagged, data, err := c.do(prefix+verb+" "+set+" "+to, "")
	if err != nil {
		return err
	}
	for _, r := range append(data, tagged) {
		name, rest := r.code()
		f := strings.Fields(rest)
		if name != "COPYUID" || len(f) != 3 {
			continue
		}
		src, dst := expand(f[1]), expand(f[2])
		if len(src) != len(dst) || len(src) == 0 {
			return fmt.Errorf("COPYUID %s", rest)
		}
		for i := range src {
			from.mu.Lock()
			was := from.facts[src[i]]
			from.mu.Unlock()
			if err := c.given(to, dst[i], fact{subject: was.subject, size: was.size, date: was.date}); err != nil {
				return err
			}
		}
	}
	return nil
}

// pipeline sends several commands at once; the answers come in order.
func (c *stresser) pipeline() error {
	if c.s.foreign {
		return nil // Dovecot answers out of order, as RFC 9051 section 5.5 lets it
	}
	commands := []string{"UID FETCH 1:* FLAGS", "SEARCH 1:*", "NOOP", "UID SEARCH ALL", "CHECK", "UID FETCH 1:* (UID RFC822.SIZE)"}
	var tags, sent []string
	for range 2 + c.rnd.IntN(3) {
		command := commands[c.rnd.IntN(len(commands))]
		tag, err := c.wirePeer.send(command, "")
		if err != nil {
			return err
		}
		tags, sent = append(tags, tag), append(sent, command)
	}
	for i := range tags {
		if _, _, err := c.await(tags[i], strings.Join(strings.Fields(sent[i] + " x")[:2], " ")); err != nil {
			return err
		}
	}
	return nil
}

// status asks for the other mailbox.
func (c *stresser) status() error {
	box := cmp.Or(c.otherBox(), "one")
	tr := c.s.truths[box]
	_, next, highest := tr.marks()
	_, data, err := c.do("STATUS "+box+" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)", "")
	c.cond = true // HIGHESTMODSEQ enables it (RFC 7162 section 3.1)
	if c.view != nil {
		c.view.condsto = true
	}
	if err != nil {
		return err
	}
	for _, r := range data {
		if r.word != "STATUS" {
			continue
		}
		vals := map[string]uint64{}
		for l := r.args[1].list; len(l) >= 2; l = l[2:] {
			vals[l[0].text], _ = strconv.ParseUint(l[1].text, 10, 63)
		}
		if vals["UIDNEXT"] < uint64(next) || vals["HIGHESTMODSEQ"] < highest || vals["UNSEEN"] > vals["MESSAGES"] {
			return fmt.Errorf("%s, after UIDNEXT %d and HIGHESTMODSEQ %d", r.raw, next, highest)
		}
	}
	return nil
}
