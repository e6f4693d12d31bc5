package queue

import (
	"strconv"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/courier"
	"posthouse/internal/journal"
	"posthouse/internal/kv"
	"posthouse/internal/rowcodec"
	"posthouse/internal/suppress"
)

// Judgement is what the last answer of the remote meant (see package classify).
type Judgement struct {
	Class  classify.Class  `json:"class,omitempty"`
	Scope  classify.Scope  `json:"scope,omitempty"`
	Action classify.Action `json:"action,omitempty"`
	Rule   string          `json:"rule,omitempty"`
}

func judgementOf(o *courier.Outcome) Judgement {
	return Judgement{Class: o.Class, Scope: o.Scope, Action: o.Action, Rule: o.Rule}
}

// verdictDetail is a verdict as keys and values for the journal.
func verdictDetail(o *courier.Outcome) []string {
	var d []string
	for _, kv := range [...][2]string{
		{"class", string(o.Class)}, {"scope", string(o.Scope)}, {"action", string(o.Action)}, {"rule", o.Rule}, {"stage", string(o.Stage)},
	} {
		if kv[1] != "" {
			d = append(d, kv[0], kv[1])
		}
	}
	if o.Pause > 0 {
		d = append(d, "pause", o.Pause.String())
	}
	if o.Uncertain {
		d = append(d, "uncertain", "the server may have taken it")
	}
	return d
}

// repeated tells of earlier tries of which nobody knows whether they succeeded.
func (c *change) repeated() []string {
	if c.row == nil || c.row.uncertain == 0 {
		return nil
	}
	text := "possibly delivered before"
	if n := c.row.uncertain; n > 1 {
		text += ", " + strconv.Itoa(n) + " times"
	}
	return []string{"repeated", text}
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// suppresses reports whether the change puts the recipient on the list of those
// that take no mail.
func (c *change) suppresses() bool {
	return (c.verdict == vBounce || c.verdict == vGone) && c.o.Action == classify.Suppress && c.row != nil
}

// suppressTx remembers that the address takes no mail.
func (c *change) suppressTx(tx kv.Tx) error {
	if !c.suppresses() {
		return nil
	}
	c.event(journal.Suppressed, "class", string(c.o.Class))
	return suppress.AddTx(tx, c.row.rcpt.To, suppress.Suppression{
		At: c.at, Class: c.o.Class, Rule: c.o.Rule, Code: c.o.Code, Text: cut(c.o.Text, maxResult), Host: c.o.Host, Message: c.e.msg.id(),
	})
}

// The verdicts of a row's tries follow its history, so that rows from before
// there were any can be read: each is four strings, the last one's first, and
// then the number of tries that may have succeeded.

func (r *row) appendVerdicts(b []byte) []byte {
	for _, j := range append([]Judgement{judgementOf(&r.last)}, judgements(r.history)...) {
		for _, s := range [...]string{string(j.Class), string(j.Scope), string(j.Action), j.Rule} {
			b = rowcodec.AppendString(b, s)
		}
	}
	return append(b, byte(min(r.uncertain, 255)))
}

func judgements(history []Attempt) []Judgement {
	list := make([]Judgement, len(history))
	for i := range history {
		list[i] = history[i].Judgement
	}
	return list
}

func (r *row) readVerdicts(b []byte) {
	d := rowcodec.NewReader(b)
	last := readJudgement(&d)
	r.last.Class, r.last.Scope, r.last.Action, r.last.Rule = last.Class, last.Scope, last.Action, last.Rule
	for i := range r.history {
		r.history[i].Judgement = readJudgement(&d)
	}
	r.uncertain = int(d.Byte())
}

func readJudgement(d *rowcodec.Reader) Judgement {
	return Judgement{
		Class: classify.Class(d.String()), Scope: classify.Scope(d.String()),
		Action: classify.Action(d.String()), Rule: d.String(),
	}
}
