package smtpd

import (
	"time"

	"posthouse/internal/status"
)

// conduct is how a client behaves. Trusted clients are not judged.
type conduct struct {
	faults  int // 5yz replies since the last message that was accepted
	idle    int // commands since then that bring no mail nearer
	unknown int // recipients that do not exist, in the whole session
	extra   int // recipients beyond the limit since then
}

// The slow-down. Half of the errors that a session may make cost nothing; then
// every one makes all that follows wait longer.
const (
	maxSlowed  = 256 // sessions at a time; above it they are ended
	longestLag = 10  // times Config.ErrorDelay
)

// overLimits ends a session that has asked for too much.
func (s *session) overLimits() bool {
	limits := &s.cfg.Limits
	switch {
	case s.trusted:
		return false
	case limits.Commands > 0 && s.sum.Commands > limits.Commands:
		s.hangUp("commands", 421, enhanced(4, 7, 0), "Too many commands in one session")
	case limits.Errors > 0 && s.conduct.faults > limits.Errors:
		s.hangUp("errors", 421, enhanced(4, 7, 0), "Too many errors")
	case limits.Idle > 0 && s.conduct.idle > limits.Idle:
		s.hangUp("idle commands", 421, enhanced(4, 7, 0), "Too many commands without mail")
	default:
		return false
	}
	return true
}

// patience is how long the next command is waited for. While most places are
// taken those who are silent hold them for less time than RFC 5321 section
// 4.5.3.2.7 would have it, as Postfix does under stress: else a few thousand
// silent clients would keep everybody out for five minutes at a time.
func (s *session) patience() time.Duration {
	t := &s.cfg.Timeouts
	if s.trusted || s.who.Account != 0 || !s.srv.gate.Crowded() {
		return t.Command
	}
	return min(t.Command, t.Crowded)
}

// note remembers a command that brings no mail nearer: any number of them keeps a
// connection busy for nothing.
func (c *conduct) note(verb string) {
	switch verb {
	case "HELO", "EHLO", "LHLO", "RSET", "NOOP", "HELP", "VRFY", "EXPN", "ETRN":
		c.idle++
	}
}

// delivered wipes the slate, but for what a harvester leaves on it.
func (c *conduct) delivered() { *c = conduct{unknown: c.unknown} }

// harvests notes a recipient that does not exist, or is not who it was, and ends
// the session of a stranger that asks for too many: it is after the names that do,
// or after how long they have (RFC 7293 section 13.1).
func (s *session) harvests(refusal *status.Error) bool {
	noSuch, somebodyElse := enhanced(5, 1, 1), enhanced(5, 7, 17)
	if e := refusal.Enhanced; s.trusted || s.who.Account != 0 || e != noSuch && e != somebodyElse {
		return false
	}
	limit := s.cfg.Limits.UnknownRcpts
	if s.conduct.unknown++; limit <= 0 || s.conduct.unknown <= limit {
		return false
	}
	s.hangUp("harvest", 421, enhanced(4, 7, 0), "Too many unknown recipients")
	return true
}

// slowDown makes a client that goes on making errors wait for the reply to its
// last one. The number of sessions that wait is bounded.
func (s *session) slowDown() {
	lag := s.conduct.faults - s.graceErrors()
	if s.trusted || s.over != "" || s.cfg.ErrorDelay <= 0 || lag <= 0 {
		return
	}
	select {
	case s.srv.pillory <- struct{}{}:
		defer func() { <-s.srv.pillory }()
	default:
		s.hangUp("errors", 421, enhanced(4, 7, 0), "Too many errors")
		return
	}
	t := s.cfg.Clock.NewTimer(time.Duration(min(lag, longestLag)) * s.cfg.ErrorDelay)
	defer t.Stop()
	select {
	case <-t.C():
	case <-s.srv.stopping:
	}
}

// graceErrors is how many errors cost nothing.
func (s *session) graceErrors() int {
	const whenUnlimited = 10
	if limit := s.cfg.Limits.Errors; limit > 0 {
		return limit / 2
	}
	return whenUnlimited
}
