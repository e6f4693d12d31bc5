package queue

import (
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/courier"
	"posthouse/internal/status"
)

// signal is what an attempt says of the site, not of the mail.
type signal int

const (
	sigUntold signal = iota // nothing was learnt
	sigAlive                // it answers
	sigTook                 // it took mail, or gave a clear no
	sigSlow                 // it asks for less at once, or does not keep up
	sigStop                 // it wants nothing for a while
	sigDead                 // none of its hosts can be reached
)

// signalOf reads the outcomes of an attempt: the greatest signal counts. The
// pause is how long the site is to be left alone, 0 for the usual.
func signalOf(outs []courier.Outcome) (worst signal, about *courier.Outcome, pause time.Duration) {
	about = new(courier.Outcome)
	for i := range outs {
		if s := signalOne(&outs[i]); s > worst {
			worst, about = s, &outs[i]
		}
	}
	return worst, about, about.Pause
}

// signalOne reads one outcome. What is said of a recipient, a message or a
// sender says nothing of the site but that it is there.
func signalOne(o *courier.Outcome) signal {
	notReached := status.Enhanced{Class: 4, Subject: 4, Detail: 1}
	congested := status.Enhanced{Class: 4, Subject: 4, Detail: 5} // RFC 3463 section 3.5
	switch {
	case o.Sent():
		return sigTook
	case o.Action == classify.StopSite:
		return sigStop
	case !o.Remote && o.Enhanced == notReached:
		return sigDead
	case !o.Remote && (o.Enhanced.Subject == 4 || o.Class == classify.NetworkFailure || o.Class == classify.Protocol):
		return sigSlow // lost, or silent, on the way
	case !o.Remote:
		return sigUntold
	case o.Code == 421, o.Enhanced == congested, o.Scope == classify.SourceAddress, beforeMail(o.Stage):
		return sigSlow
	case o.Permanent():
		return sigTook
	}
	return sigAlive
}

// beforeMail reports whether a reply at this stage is about the session.
func beforeMail(s classify.Stage) bool {
	switch s {
	case classify.StageConnect, classify.StageGreeting, classify.StageEHLO, classify.StageTLS, classify.StageAuth:
		return true
	}
	return false
}

// learn draws the conclusions of an attempt for its site; busy attempts were
// under way. Under q.mu.
func (q *Queue) learn(j *job, outs []courier.Outcome, busy int) {
	s, now := j.ready.site, q.now()
	if j.probe {
		s.trouble.probing = false
	}
	s.took += (time.Duration(now-j.began) - s.took) / 4
	sig, o, pause := signalOf(outs)
	switch sig {
	case sigTook, sigAlive:
		if s.trouble.fails > 0 {
			s.trouble = trouble{}
		}
		if sig == sigTook {
			s.window.grow(busy)
		}
	case sigSlow:
		s.trouble = trouble{}
		s.window.cut(j.began, now, resultOf(o))
	case sigStop, sigDead:
		s.trouble.happened(j.began, now, j.regular, pause, o)
		s.window.shut(now, resultOf(o))
		q.remindAll(s)
	}
}
