package imapd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// fact is what never changes about a UID (RFC 9051 sections 2.3.1.1 and 2.3.3).
type fact struct{ size, date, subject string }

// truth is what all clients together know of a mailbox.
type truth struct {
	mu      sync.Mutex
	clock   int // counts what is noted
	facts   map[uint32]fact
	gone    map[uint32]int // when a client was told, or did it itself
	next    uint32         // the greatest UIDNEXT that was told, or UID + 1
	highest uint64         // the greatest HIGHESTMODSEQ
	epoch   string         // UIDVALIDITY
}

func newTruth() *truth { return &truth{facts: map[uint32]fact{}, gone: map[uint32]int{}} }

// marks is what is known now: who asks later must hear no less.
func (tr *truth) marks() (clock int, next uint32, highest uint64) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.clock++
	return tr.clock, tr.next, tr.highest
}

func (tr *truth) sawUID(uid uint32) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.next = max(tr.next, uid+1)
}

func (tr *truth) expunged(uid uint32) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.clock++
	if tr.gone[uid] == 0 {
		tr.gone[uid] = tr.clock
	}
}

// learn holds a fact against what others were told.
func (tr *truth) learn(uid uint32, f fact) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	old := tr.facts[uid]
	for _, x := range []struct{ old, now *string }{{&old.size, &f.size}, {&old.date, &f.date}, {&old.subject, &f.subject}} {
		if *x.now == "" {
			continue
		}
		if *x.old != "" && *x.old != *x.now {
			return fmt.Errorf("UID %d was %q and is %q", uid, *x.old, *x.now)
		}
		*x.old = *x.now
	}
	tr.facts[uid] = old
	return nil
}

// seenMessage is a message as a client knows it; zero values are not known.
type seenMessage struct {
	uid     uint32
	flags   []string
	known   bool // flags are
	modseq  uint64
	missing bool // left out of an answer: others must have expunged it
}

// clientView is a client's picture of its mailbox, by what it was told and
// nothing else, with the rules for what may be told.
type clientView struct {
	truth    *truth
	since    int // truth.clock when it was selected
	msgs     []*seenMessage
	flags    []string // of the FLAGS response
	readOnly bool
	condsto  bool
	silent   map[*seenMessage]bool // of a silent STORE in progress: told of since
	answered int                   // how many msgs there were at the last SEARCH response
}

// may reports whether EXPUNGE may come while command runs: RFC 9051 section 7.5.1.
func mayExpunge(command string) bool {
	switch command {
	case "", "FETCH", "STORE", "SEARCH":
		return false
	}
	return true
}

// take brings the view up to date by an untagged response.
func (v *clientView) take(r *reply, command string) error {
	switch r.word {
	case "EXISTS":
		return v.exists(int(r.num))
	case "EXPUNGE":
		return v.expunge(int(r.num), command)
	case "FETCH":
		return v.fetch(r, command)
	case "FLAGS":
		v.flags = nil
		for _, f := range r.args[0].list {
			v.flags = append(v.flags, strings.ToLower(f.text))
		}
	case "SEARCH", "ESEARCH":
		v.answered = len(v.msgs)
	case "RECENT", "OK", "STATUS", "LIST", "NO", "CAPABILITY", "ENABLED":
	default:
		return fmt.Errorf("a response nobody asked for: %s", r.raw)
	}
	return nil
}

func (v *clientView) exists(n int) error {
	if n < len(v.msgs) {
		return fmt.Errorf("EXISTS goes from %d to %d", len(v.msgs), n)
	}
	for len(v.msgs) < n {
		v.msgs = append(v.msgs, new(seenMessage))
	}
	return nil
}

func (v *clientView) expunge(n int, command string) error {
	if n < 1 || n > len(v.msgs) {
		return fmt.Errorf("EXPUNGE of %d with %d messages", n, len(v.msgs))
	}
	if !mayExpunge(command) {
		return fmt.Errorf("EXPUNGE while %q runs", command)
	}
	if uid := v.msgs[n-1].uid; uid != 0 {
		v.truth.expunged(uid)
	}
	v.msgs = slices.Delete(v.msgs, n-1, n)
	return nil
}

func (v *clientView) fetch(r *reply, command string) error {
	n := int(r.num)
	if n < 1 || n > len(v.msgs) {
		return fmt.Errorf("FETCH of %d with %d messages", n, len(v.msgs))
	}
	if len(r.args) != 1 || !r.args[0].isList || len(r.args[0].list)%2 != 0 {
		return fmt.Errorf("FETCH is not a list of pairs: %s", r.raw)
	}
	m := v.msgs[n-1]
	var f fact
	flags, modseq := false, uint64(0)
	for i := 0; i < len(r.args[0].list); i += 2 {
		name, val := strings.ToUpper(r.args[0].list[i].text), r.args[0].list[i+1]
		switch {
		case name == "UID":
			if err := v.uid(n-1, val.text); err != nil {
				return err
			}
		case name == "FLAGS":
			flags = true
			if err := v.setFlags(m, val); err != nil {
				return err
			}
		case name == "MODSEQ" && len(val.list) == 1:
			modseq, _ = strconv.ParseUint(val.list[0].text, 10, 63)
		case name == "RFC822.SIZE":
			f.size = val.text
		case name == "INTERNALDATE":
			f.date = val.text
		case strings.HasPrefix(name, "BODY[HEADER.FIELDS"):
			f.subject = strings.TrimSpace(val.text)
		}
	}
	if v.silent != nil && flags {
		v.silent[m] = true
	}
	return v.checkFetch(m, f, flags, modseq, command)
}

func (v *clientView) checkFetch(m *seenMessage, f fact, flags bool, modseq uint64, command string) error {
	if flags && v.condsto && modseq == 0 && !strings.HasSuffix(command, "FETCH") { // RFC 7162 section 3.1
		return fmt.Errorf("FLAGS without MODSEQ of UID %d", m.uid)
	}
	if modseq != 0 {
		if modseq < m.modseq {
			// What FETCH still has of a message that others expunged may be old.
			if !strings.HasSuffix(command, "FETCH") {
				return fmt.Errorf("MODSEQ of UID %d falls from %d to %d", m.uid, m.modseq, modseq)
			}
			m.missing = true
		}
		m.modseq = modseq
	}
	if m.uid != 0 {
		return v.truth.learn(m.uid, f)
	}
	return nil
}

// uid: UIDs ascend, never change and never come back (RFC 9051 section 2.3.1.1).
func (v *clientView) uid(i int, text string) error {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		return fmt.Errorf("UID %q", text)
	}
	uid, m := uint32(n), v.msgs[i]
	if m.uid == uid {
		return nil
	}
	if m.uid != 0 {
		return fmt.Errorf("message %d changes its UID from %d to %d", i+1, m.uid, uid)
	}
	for j := i - 1; j >= 0; j-- {
		if o := v.msgs[j].uid; o != 0 && o >= uid {
			return fmt.Errorf("message %d has UID %d, message %d has %d", i+1, uid, j+1, o)
		}
	}
	for j := i + 1; j < len(v.msgs); j++ {
		if o := v.msgs[j].uid; o != 0 && o <= uid {
			return fmt.Errorf("message %d has UID %d, message %d has %d", i+1, uid, j+1, o)
		}
	}
	m.uid = uid
	v.truth.sawUID(uid)
	v.truth.mu.Lock()
	defer v.truth.mu.Unlock()
	if at := v.truth.gone[uid]; at != 0 && at < v.since {
		return fmt.Errorf("UID %d was expunged before this client selected the mailbox", uid)
	}
	return nil
}

func (v *clientView) setFlags(m *seenMessage, val node) error {
	m.flags, m.known = nil, true
	for _, f := range val.list {
		name := strings.ToLower(f.text)
		if name == `\recent` {
			continue
		}
		if !slices.Contains(v.flags, name) {
			return fmt.Errorf("flag %s is not in FLAGS %v", name, v.flags)
		}
		if slices.Contains(m.flags, name) {
			return fmt.Errorf("flag %s twice", name)
		}
		m.flags = append(m.flags, name)
	}
	slices.Sort(m.flags)
	return nil
}

// change is what a STORE does to flags.
func change(flags []string, op byte, with []string) []string {
	out := slices.Clone(flags)
	switch op {
	case '+':
		out = append(out, with...)
	case '-':
		out = slices.DeleteFunc(out, func(f string) bool { return slices.Contains(with, f) })
	default:
		out = slices.Clone(with)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
