package courier

import (
	"io"
	"strconv"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// transaction is one MAIL … DATA on a connection.
type transaction struct {
	c     *Courier
	s     *conn
	t     *Transfer
	rcpts []int     // indices into t.Rcpts
	outs  []Outcome // of all of t.Rcpts
	done  []bool    // which are decided

	accepted []int
	again    []int  // to be tried again at once, in another transaction
	most     int    // recipients that the server may take in one; 0 is not known
	rest     []int  // not offered to it yet: it would be too many
	lead     string // header lines that go before the message
	utf8     bool
	plain    *message.Unbinary // the content without binary parts, for a server that takes none
	chunked  bool              // BDAT
	replies  int               // read so far
	final    bool              // all of the content may have reached the server
	broken   *failure
	began    time.Time
}

// run tries to send to x.rcpts. Those not decided afterwards share x.broken's
// outcome, or are in x.again.
func (x *transaction) run() {
	x.began = time.Now()
	x.s.w.ReadTimeout = x.c.opt.Timeouts.Mail
	x.s.stage = classify.StageMail
	if !x.inStep() {
		return
	}
	x.lead = x.leadLines()
	if !x.fitContent() || !x.fit() || !x.fitExtensions() || len(x.rcpts) == 0 {
		return
	}
	if !x.split() {
		return
	}
	if err := x.prepare(); err != nil {
		x.decideAll(x.ours(err))
		return
	}
	if x.s.pipelining() && !x.chunked {
		x.pipelined()
	} else {
		x.stepwise()
	}
}

// decide settles one recipient.
func (x *transaction) decide(i int, o Outcome) {
	x.outs[i], x.done[i] = o, true
}

// decideAll settles all that are not settled yet.
func (x *transaction) decideAll(o Outcome) {
	for _, i := range x.rcpts {
		if !x.done[i] {
			x.decide(i, o)
		}
	}
}

// ours is the outcome of a failure on our side.
func (x *transaction) ours(err error) Outcome {
	e := status.Of(err)
	return x.s.outcome(e.Code, e.Enhanced, e.Text)
}

// mail appends the MAIL command.
func (x *transaction) mail(b []byte) []byte {
	b = append(b, "MAIL FROM:"...)
	b = append(b, x.t.From.WithALabels().Path()...)
	b = x.mailParams(b)
	return append(b, "\r\n"...)
}

// rcpt appends the RCPT command for one recipient.
func (x *transaction) rcpt(b []byte, i int) []byte {
	r := &x.t.Rcpts[i]
	b = append(b, "RCPT TO:"...)
	b = append(b, r.To.WithALabels().Path()...)
	b = x.rcptParams(b, r)
	return append(b, "\r\n"...)
}

// data appends the command that announces the content.
func (x *transaction) data(b []byte) []byte {
	if !x.chunked {
		return append(b, "DATA\r\n"...)
	}
	b = append(b, "BDAT "...)
	b = strconv.AppendInt(b, x.total(), 10)
	return append(b, " LAST\r\n"...)
}

// pipelined sends all commands at once (RFC 2920 section 3.1), which makes two round
// trips with the content. The 354 to DATA, which answers no other command, proves
// that every reply before it was what it was taken for.
func (x *transaction) pipelined() {
	block := blocks.Get().(*[]byte)
	defer blocks.Put(block)
	b := (*block)[:0]
	reset := x.s.reset
	if reset {
		b = append(b, "RSET\r\n"...)
	}
	b = x.mail(b)
	for _, i := range x.rcpts {
		b = x.rcpt(b, i)
	}
	b = x.data(b)
	x.s.reset = true
	if !x.write(b) {
		return
	}
	*block = b[:0]
	if reset {
		if _, ok := x.read(classify.StageMail); !ok {
			return
		}
	}
	if x.readEnvelope() {
		x.finish()
	}
}

// readEnvelope reads the replies to MAIL and every RCPT. It is false when the
// connection is of no more use.
func (x *transaction) readEnvelope() bool {
	mail, ok := x.read(classify.StageMail)
	if !ok {
		return false
	}
	refused := x.s.replied(mail)
	if refused.Sent() {
		for _, i := range x.rcpts {
			reply, ok := x.read(classify.StageRcpt)
			if !ok {
				return false
			}
			x.judgeRcpt(i, reply)
		}
		return true
	}
	x.decideAll(refused)
	for range x.rcpts {
		if _, ok := x.read(classify.StageRcpt); !ok {
			return false
		}
	}
	return true
}

// judgeRcpt takes the reply for one recipient.
func (x *transaction) judgeRcpt(i int, reply smtp.Reply) {
	if reply.Code/100 == 2 {
		x.accepted = append(x.accepted, i)
		return
	}
	o := x.s.replied(reply)
	if o.Class == classify.TooManyRecipients && len(x.accepted) > 0 {
		x.again = append(x.again, i) // in a transaction of their own, at once
	}
	x.decide(i, o)
}

// stepwise is one command, one reply: for servers without PIPELINING, and before
// BDAT, whose reply cannot be told from that to another command.
func (x *transaction) stepwise() {
	if x.s.reset {
		if _, ok := x.ask(classify.StageMail, []byte("RSET\r\n")); !ok {
			return
		}
	}
	x.s.reset = true
	reply, ok := x.ask(classify.StageMail, x.mail(nil))
	if !ok {
		return
	}
	if reply.Code/100 != 2 {
		x.decideAll(x.s.replied(reply))
		return
	}
	for _, i := range x.rcpts {
		if reply, ok = x.ask(classify.StageRcpt, x.rcpt(nil, i)); !ok {
			return
		}
		x.judgeRcpt(i, reply)
	}
	if len(x.accepted) == 0 {
		return
	}
	if x.inStep() && x.write(x.data(nil)) {
		x.finish()
	}
}

// finish is everything after DATA or BDAT was sent.
func (x *transaction) finish() {
	t := x.c.opt.Timeouts
	if !x.chunked {
		x.s.w.ReadTimeout = t.DataInit
		reply, ok := x.read(classify.StageData)
		if !ok {
			return
		}
		if reply.Code != 354 {
			x.judged(x.s.replied(reply))
			if x.s.w.Buffered() > 0 && !x.saysGoodbye() {
				x.inStep() // it is not: this was the answer to something before DATA
			}
			return
		}
	}
	x.step("commands")
	if len(x.accepted) == 0 {
		// The server wants content though nobody is left to have it: an empty
		// message (RFC 2920 section 3.1). Its reply changes nothing.
		x.final = true
		if x.write([]byte(".\r\n")) {
			if _, ok := x.read(classify.StageEndOfData); ok {
				x.s.reset = false
			}
		}
		return
	}
	if !x.transfer() {
		return
	}
	x.final = true
	x.s.w.ReadTimeout = t.DataDone
	reply, ok := x.read(classify.StageEndOfData)
	x.step("transfer")
	if !ok {
		return
	}
	if x.chunked && reply.Positive() && !x.s.over && !x.inStep() {
		// It may be the answer to an earlier command, and what follows the one to
		// the message. (After DATA the 354 shows that it is not.)
		return
	}
	x.s.reset = reply.Code/100 != 2
	x.judged(x.s.replied(reply))
}

// judged settles all with what the server said to DATA or to the content. Where fewer
// recipients at a time may have another answer they are to be tried again.
func (x *transaction) judged(o Outcome) {
	if n := len(x.accepted); n > 1 {
		switch {
		case o.Class == classify.TooManyRecipients:
			x.most = (n + 1) / 2
		case o.Permanent() && o.Scope == classify.Recipient && n <= maxAlone:
			x.most = 1 // one mailbox is the trouble, and the reply does not say which
		}
		if x.most > 0 {
			x.again = append(x.again, x.accepted...)
		}
		if o.Action == classify.Suppress {
			o.Action = classify.Bounce
		}
	}
	x.decideAll(o)
}

// transfer sends the content.
func (x *transaction) transfer() bool {
	block := blocks.Get().(*[]byte)
	defer blocks.Put(block)
	in := blocks.Get().(*[]byte)
	defer blocks.Put(in)
	x.s.stage = classify.StageEndOfData
	if !x.inStep() {
		return false
	}
	r := x.content()
	src, dst := (*in)[:blockSize], (*block)[:0]
	stuff := newStuffer()
	for left := x.total(); left > 0; {
		n, err := io.ReadFull(r, src[:min(left, blockSize)])
		if err != nil {
			x.c.opt.Log.Error("message body cannot be read", "err", err)
			return x.unsent(status.Internal(err))
		}
		if left -= int64(n); left == 0 {
			if err := x.sound(); err != nil {
				return x.unsent(err)
			}
		}
		out := src[:n]
		if !x.chunked {
			out = stuff.append(dst, out)
			if left == 0 {
				out = append(out, stuff.end()...)
			}
		}
		x.final = left == 0
		if !x.write(out) {
			return false
		}
	}
	if x.total() == 0 && !x.chunked {
		x.final = true
		return x.write([]byte(stuff.end()))
	}
	return true
}

// unsent ends the connection: what was begun and is not whole, or not sound, must
// not look as if it were. It is false.
func (x *transaction) unsent(err error) bool {
	x.breakOff(&failure{outcome: x.ours(err), refused: true})
	return false
}
