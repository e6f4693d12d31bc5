package courier

import (
	"errors"

	"posthouse/internal/classify"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// ask sends a command of a stage and reads the reply.
func (x *transaction) ask(stage classify.Stage, line []byte) (smtp.Reply, bool) {
	x.s.stage = stage
	if !x.inStep() || !x.write(line) {
		return smtp.Reply{}, false
	}
	return x.read(stage)
}

// write sends b. A server that hung up may have said why.
func (x *transaction) write(b []byte) bool {
	_, err := x.s.w.Writer().Write(b)
	if err == nil {
		err = x.s.w.Flush()
	}
	if err == nil {
		return true
	}
	x.s.w.ReadTimeout = x.c.opt.Timeouts.LastWords
	if reply, rerr := smtp.ReadReply(x.s.w); rerr == nil && reply.Code >= 400 {
		x.replies++
		x.breakOff(x.s.refused(reply))
		return false
	}
	x.lost(err)
	return false
}

// read reads the reply of a stage. A 421 ends the connection (RFC 5321 section
// 3.8), and so does a positive one that cannot be meant as the answer: after it
// every reply would be taken for that of another command.
func (x *transaction) read(stage classify.Stage) (smtp.Reply, bool) {
	x.s.stage = stage
	reply, err := smtp.ReadReply(x.s.w)
	if stage == classify.StageEndOfData && errors.Is(err, smtp.ErrReplyTooLong) {
		// The code is there, and without it the message would be sent again and again.
		x.s.over, err = true, nil
	}
	switch {
	case err != nil:
		x.lost(err)
		return reply, false
	case reply.Code == 421:
		x.breakOff(x.s.refused(reply))
		return reply, false
	case !fits(stage, reply.Code):
		x.outOfStep(x.s.misplaced(reply))
		return reply, false
	}
	x.replies++
	return reply, true
}

// fits reports whether a code may answer the commands of a stage. Of the
// positive ones other than those of RFC 5321 section 4.3.2 the first digit
// counts, unless they are another command's own.
func fits(stage classify.Stage, code int) bool {
	switch {
	case code >= 400:
		return true
	case stage == classify.StageData:
		return code == 354
	}
	switch code {
	case 211, 214, 220, 221, 235: // HELP, greeting, QUIT, AUTH
		return false
	}
	return code < 300
}

// inStep reports whether all that the server said has been read. If not, what
// follows would be taken for the answers to other commands: the connection ends.
func (x *transaction) inStep() bool {
	if !x.s.w.Arrived() {
		return true
	}
	x.outOfStep(x.s.outcome(450, status.Enhanced{Class: 4, Subject: 5, Detail: 0}, "The server spoke out of turn"))
	return false
}

// outOfStep ends the transaction with its connection. Which reply was for which
// command is not known, so what was concluded from them is taken back.
func (x *transaction) outOfStep(o Outcome) {
	for _, i := range x.rcpts {
		x.outs[i], x.done[i] = Outcome{}, false
	}
	x.accepted, x.again = nil, nil
	o.Uncertain = x.final
	x.breakOff(&failure{outcome: o})
}

// saysGoodbye reports whether what the server said unasked is that it closes the
// connection, which it may at any time (RFC 5321 section 3.8).
func (x *transaction) saysGoodbye() bool {
	in := x.s.w.Reader()
	head, _ := in.Peek(min(3, in.Buffered()))
	return string(head) == "421"
}

// lost ends the transaction with its connection.
func (x *transaction) lost(err error) {
	f := x.s.lost(x.where(), err)
	f.outcome.Uncertain = x.final
	x.breakOff(f)
}

func (x *transaction) where() string {
	if x.final {
		return "Connection lost after the message was sent, before the server confirmed it"
	}
	return "Connection lost in the middle of the message"
}

func (x *transaction) breakOff(f *failure) {
	if x.broken == nil {
		x.broken = f
	}
}

func (x *transaction) step(name string) { x.s.step(name, &x.began) }
