package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"posthouse/internal/courier"
	"posthouse/internal/id"
	"posthouse/internal/kv"
	"posthouse/internal/rowcodec"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// Rows of a shard:
//
//	'm' message(16)           -> the message, once
//	'e' message(16) rcpt(u16) -> one recipient that waits
//
// They are keyed by message, never by time: a store that is read in due order
// drowns in its own tombstones. The schedule is in memory.
const (
	rowMessage = 'm'
	rowEntry   = 'e'
)

// Forms of the rows. A message row of form 1 had no stream and no
// priority, one of form 2 no notice, one of form 3 no holder.
const (
	rowVersion     = 1 // of entry rows
	messageVersion = 4
)

// MaxPrepend is the longest Prepend of a recipient, in bytes.
const MaxPrepend = 16 << 10

// maxHistory is how many attempts an entry remembers, maxResult how long a
// remembered result is, in bytes.
const (
	maxHistory = 20
	maxResult  = 500
)

// maxRcpts is how many recipients a message may have.
const maxRcpts = 1 << 16

var errRow = errors.New("queue: damaged row")

func messageKey(msg id.ID) kv.Key {
	return kv.NewKey(Partition(msg)).Byte(rowMessage).Raw([]byte(msg))
}

func entryKey(msg id.ID, n uint16) kv.Key {
	return kv.NewKey(Partition(msg)).Byte(rowEntry).Raw([]byte(msg)).Uint16(n)
}

// parseEntryKey reads what follows the row kind.
func parseEntryKey(b []byte) (msg id.ID, n uint16, ok bool) {
	if len(b) != 18 {
		return "", 0, false
	}
	return id.ID(b[:16]), binary.BigEndian.Uint16(b[16:]), true
}

// entryID is how people name an entry.
func entryID(msg id.ID, n uint16) string { return string(msg) + "." + strconv.Itoa(int(n)) }

func parseEntryID(s string) (msg id.ID, n uint16, ok bool) {
	m, number, found := strings.Cut(s, ".")
	v, err := strconv.ParseUint(number, 10, 16)
	if !found || err != nil || !id.ID(m).Valid() {
		return "", 0, false
	}
	return id.ID(m), uint16(v), true
}

// row is an entry row.
type row struct {
	rcpt     Rcpt
	state    State
	drop     bool // an operator dropped it while it was being tried
	notified bool // the sender was told of the delay
	attempts int
	next     time.Time
	// The last outcome, for the final report.
	last      courier.Outcome // Code, Enhanced, Text, Remote, Host and the verdict only
	history   []Attempt
	uncertain int    // tries after which nobody knows whether the message was taken
	extra     int    // of the attempts: those that came before their time, as somebody asked for them
	via       string // a URL: where an operator sends it; "" is by its domain
}

var stateCodes = map[State]byte{Ready: 'r', Waiting: 'w', Held: 'h'}

// Flags of an entry row.
const (
	flagDrop = 1 << iota
	flagNotified
	flagRemote
	flagVia
)

func (r *row) encode() []byte {
	b := make([]byte, 0, 160+len(r.rcpt.Prepend)+64*len(r.history))
	var flags byte
	if r.drop {
		flags |= flagDrop
	}
	if r.notified {
		flags |= flagNotified
	}
	if r.last.Remote {
		flags |= flagRemote
	}
	if r.via != "" {
		flags |= flagVia
	}
	b = append(b, rowVersion, stateCodes[r.state], flags)
	b = rowcodec.AppendUvarint(b, uint64(r.attempts))
	b = rowcodec.AppendTime(b, r.next)
	b = rowcodec.AppendString(b, r.rcpt.To.Local)
	b = rowcodec.AppendString(b, r.rcpt.To.Domain)
	b = rowcodec.AppendString(b, r.rcpt.Prepend)
	b = rowcodec.AppendString(b, r.rcpt.Notify)
	b = rowcodec.AppendString(b, r.rcpt.ORcpt)
	b = rowcodec.AppendUvarint(b, uint64(r.last.Code))
	for _, n := range []uint16{r.last.Enhanced.Class, r.last.Enhanced.Subject, r.last.Enhanced.Detail} {
		b = rowcodec.AppendUvarint(b, uint64(n))
	}
	b = rowcodec.AppendString(b, r.last.Text)
	b = rowcodec.AppendString(b, r.last.Host)
	b = rowcodec.AppendUvarint(b, uint64(len(r.history)))
	for _, a := range r.history {
		b = rowcodec.AppendTime(b, a.At)
		b = rowcodec.AppendString(b, a.Host)
		b = rowcodec.AppendString(b, a.Result)
	}
	b = appendField(b, fieldVerdicts, r.appendVerdicts(nil))
	if !r.rcpt.RRVS.IsZero() {
		b = appendField(b, fieldRRVS, r.appendRRVS(nil))
	}
	if r.extra > 0 {
		b = appendField(b, fieldExtra, rowcodec.AppendUvarint(nil, uint64(r.extra)))
	}
	if r.via != "" {
		b = appendField(b, fieldVia, []byte(r.via))
	}
	return b
}

// Fields that came later stand at the end of an entry row: a byte that names
// the field, and its value as a string. Those not known are passed over.
const (
	fieldVerdicts = 'v'
	fieldRRVS     = 'r'
	fieldVia      = '>'
	fieldExtra    = 'x'
)

func appendField(b []byte, field byte, value []byte) []byte {
	return rowcodec.AppendString(append(b, field), string(value))
}

// readFields reads what appendField wrote.
func (r *row) readFields(d *rowcodec.Reader) {
	for d.Len() > 0 && !d.Bad() {
		field, value := d.Byte(), d.String()
		switch field {
		case fieldVerdicts:
			r.readVerdicts([]byte(value))
		case fieldRRVS:
			r.readRRVS([]byte(value))
		case fieldVia:
			r.via = value
		case fieldExtra:
			x := rowcodec.NewReader([]byte(value))
			r.extra = int(x.Uvarint())
		}
	}
}

// decodeRow reads an entry row; short leaves out what the schedule has no use
// for: the local part, the last outcome and the history.
func decodeRow(b []byte, short bool) (*row, error) {
	d := rowcodec.NewReader(b)
	if d.Byte() != rowVersion {
		return nil, errRow
	}
	r := new(row)
	code, flags := d.Byte(), d.Byte()
	switch code {
	case 'r':
		r.state = Ready
	case 'w':
		r.state = Waiting
	case 'h':
		r.state = Held
	}
	r.drop, r.notified = flags&flagDrop != 0, flags&flagNotified != 0
	r.attempts = int(d.Uvarint())
	r.next = d.Time()
	if short && flags&flagVia == 0 {
		d.Bytes()
		r.rcpt.To.Domain, r.rcpt.Prepend = d.String(), d.String()
		if d.Bad() || r.state == "" {
			return nil, errRow
		}
		return r, nil
	}
	r.rcpt.To = smtp.Address{Local: d.String(), Domain: d.String()}
	r.rcpt.Prepend, r.rcpt.Notify, r.rcpt.ORcpt = d.String(), d.String(), d.String()
	r.last.Remote = flags&flagRemote != 0
	r.last.Code = int(d.Uvarint())
	r.last.Enhanced = status.Enhanced{Class: uint16(d.Uvarint()), Subject: uint16(d.Uvarint()), Detail: uint16(d.Uvarint())}
	r.last.Text, r.last.Host = d.String(), d.String()
	for n := min(d.Uvarint(), maxHistory); n > 0 && !d.Bad(); n-- {
		r.history = append(r.history, Attempt{At: d.Time(), Host: d.String(), Result: d.String()})
	}
	r.readFields(&d)
	if d.Bad() || r.state == "" {
		return nil, errRow
	}
	return r, nil
}

// tried adds an attempt to the row.
func (r *row) tried(at time.Time, o *courier.Outcome) {
	r.attempts++
	r.last = courier.Outcome{Code: o.Code, Enhanced: o.Enhanced, Text: cut(o.Text, 4*maxResult), Remote: o.Remote, Host: o.Host, Verdict: o.Verdict}
	r.history = append(r.history, Attempt{At: at, Host: o.Host, Result: cut(resultOf(o), maxResult), Judgement: judgementOf(o)})
	if o.Uncertain {
		r.uncertain++
	}
	if over := len(r.history) - maxHistory; over > 0 {
		r.history = append(r.history[:0], r.history[over:]...)
	}
}

// resultOf is an outcome in one line.
func resultOf(o *courier.Outcome) string {
	return fmt.Sprintf("%d %s %s", o.Code, o.Enhanced, o.Text)
}

// cut shortens s to n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
