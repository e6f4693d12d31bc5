package courier

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/journal"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
	"posthouse/internal/tlspolicy"
	"posthouse/internal/wire"
)

// conn is an SMTP session with one server, ready for transactions.
type conn struct {
	w         *wire.Conn
	rules     *atomic.Pointer[classify.Table]
	stage     classify.Stage // of the dialogue
	claim     *claim
	helo      string // what we call ourselves
	host      string
	addr      netip.AddrPort
	local     netip.Addr // ours
	ext       smtp.Extensions
	tls       string
	policy    *tlspolicy.Policy // what was asked
	verified  bool              // the server proved its name
	checked   error             // why it did not
	loggedIn  bool              // to a relay
	sent      int               // messages over this connection
	domains   map[string]bool   // of recipients named, where they are limited
	reset     bool              // a transaction is open: RSET must come before the next
	over      bool              // what comes next is the rest of a reply: nothing more is to be asked
	steps     []journal.Step    // of the connecting, for the first message
	idleSince time.Time
	quitWait  time.Duration
}

// failure is why a session could not be had, or came to an end.
type failure struct {
	outcome Outcome
	// refused: the server gave the answer and does not want this session;
	// otherwise it could not be reached, or the connection was lost.
	refused bool
	// tls: the handshake failed, in clear it may work.
	tls bool
	// timeout: there was silence until patience ended.
	timeout bool
	// notOurs: the address of the source is none of this machine.
	notOurs bool
	// policy: TLS was not as it was asked for. The server itself is not at fault.
	policy bool
}

// capabilities used in transactions.
func (c *conn) pipelining() bool { return c.ext.Has("PIPELINING") }
func (c *conn) chunking() bool   { return c.ext.Has("CHUNKING") }

// quit ends the session politely. Nobody waits for long.
func (c *conn) quit() {
	c.w.WriteTimeout, c.w.ReadTimeout = c.quitWait, c.quitWait
	c.w.Writer().WriteString("QUIT\r\n")
	if c.w.Flush() == nil {
		smtp.ReadReply(c.w) // the connection ends whatever it says
	}
	c.w.Close()
}

// open connects to one address, says EHLO, and starts TLS as the policy says,
// unless plain.
func (c *Courier) open(ctx context.Context, r *Route, g target, plain bool) (*conn, *failure) {
	ap := netip.AddrPortFrom(g.addr, r.port)
	s := &conn{
		rules: &c.rules, stage: classify.StageConnect, helo: c.helo(g.source), host: g.host.Name, addr: ap,
		policy: g.policy, quitWait: c.opt.Timeouts.Quit,
	}
	began := time.Now()
	dialCtx, cancel := context.WithTimeout(ctx, c.opt.Timeouts.Connect)
	nc, err := c.dial(dialCtx, g.source, ap)
	cancel()
	if err != nil {
		f := s.lost("Connection failed", err)
		f.notOurs = notOurs(err)
		return nil, f
	}
	s.step("connect", &began)
	if ap, err := netip.ParseAddrPort(nc.LocalAddr().String()); err == nil {
		s.local = ap.Addr().Unmap()
	}
	// A context that ends closes the connection under whoever waits on it.
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	s.w = wire.New(nc, c.opt.Timeouts.Greeting, c.opt.Timeouts.DataBlock)
	if r.via != nil && r.via.implicitTLS {
		if f := c.handshake(s, &began); f != nil {
			s.w.Close()
			return nil, f
		}
		s.w.ReadTimeout = c.opt.Timeouts.Greeting
	}
	if f := c.greet(s, r, plain, &began); f != nil {
		s.w.Close()
		return nil, f
	}
	s.step("greeting", &began)
	s.w.ReadTimeout = c.opt.Timeouts.Mail
	return s, nil
}

// greet is everything from the greeting to the login.
func (c *Courier) greet(s *conn, r *Route, plain bool, began *time.Time) *failure {
	s.stage = classify.StageGreeting
	reply, err := smtp.ReadReply(s.w)
	if err != nil {
		return s.lost("No greeting", err)
	}
	if reply.Code != 220 {
		return s.refused(reply)
	}
	s.w.ReadTimeout = c.opt.Timeouts.Mail
	if f := c.ehlo(s); f != nil {
		return f
	}
	login := r.via != nil && r.via.user != ""
	if s.tls == "" && !plain && s.policy.Level != tlspolicy.None {
		if f := c.startTLS(s, began); f != nil {
			return f
		}
	}
	if !login {
		return nil
	}
	if s.tls == "" && !r.via.loopback() {
		return &failure{refused: true, outcome: s.outcome(454, status.Enhanced{Class: 4, Subject: 7, Detail: 0},
			"The relay offers no TLS: the password is not sent")}
	}
	return s.login(r.via)
}

// ehlo says hello, in the old way when the server does not know the new one
// (RFC 5321 section 3.2).
func (c *Courier) ehlo(s *conn) *failure {
	s.stage = classify.StageEHLO
	reply, err := s.command("EHLO " + s.helo)
	if err != nil {
		return s.lost("Connection lost after EHLO", err)
	}
	if reply.Code == 250 {
		s.ext = smtp.ParseEHLO(reply)
		return nil
	}
	if reply.Code < 500 || reply.Code == 521 {
		return s.refused(reply)
	}
	s.ext = smtp.Extensions{}
	if reply, err = s.command("HELO " + s.helo); err != nil {
		return s.lost("Connection lost after HELO", err)
	}
	if reply.Code != 250 {
		return s.refused(reply)
	}
	return nil
}

// login authenticates (RFC 4954) by PLAIN (RFC 4616) or LOGIN.
func (s *conn) login(v *relay) *failure {
	s.stage = classify.StageAuth
	offered := s.ext.Auth()
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	var lines []string
	switch {
	case slices.Contains(offered, "PLAIN"):
		lines = []string{"AUTH PLAIN " + encode("\x00"+v.user+"\x00"+v.pass)}
	case slices.Contains(offered, "LOGIN"):
		lines = []string{"AUTH LOGIN", encode(v.user), encode(v.pass)}
	default:
		f := &failure{refused: true, outcome: s.outcome(454, status.Enhanced{Class: 4, Subject: 7, Detail: 0},
			"The relay offers no way to log in that we know")}
		f.outcome.Verdict = classify.Login.Verdict(454)
		return f
	}
	for i, line := range lines {
		reply, err := s.command(line)
		if err != nil {
			return s.lost("Connection lost after AUTH", err)
		}
		want := 334
		if i == len(lines)-1 {
			want = 235
		}
		if reply.Code != want {
			// The mistake is in our configuration, or passes: mail is not lost by it.
			return s.refused(reply)
		}
	}
	s.loggedIn = true
	return nil
}

// command sends a line and reads the reply.
func (s *conn) command(line string) (smtp.Reply, error) {
	s.w.Writer().WriteString(line)
	s.w.Writer().WriteString("\r\n")
	if err := s.w.Flush(); err != nil {
		return smtp.Reply{}, err
	}
	return smtp.ReadReply(s.w)
}

// step notes how long a part took, and begins the next.
func (s *conn) step(name string, began *time.Time) {
	now := time.Now()
	s.steps = append(s.steps, journal.Step{Name: name, Took: now.Sub(*began)})
	*began = now
}

// outcome is one of this side, with the session's facts.
func (s *conn) outcome(code int, e status.Enhanced, text string) Outcome {
	return Outcome{
		Code: code, Enhanced: e, Text: text, Host: s.host, Addr: s.addr,
		TLS: s.tls, TLSPolicy: s.policy.Name(), Verified: s.verified,
		Stage: s.stage, Verdict: ownClass(e).Verdict(code),
		DSN: s.ext.Has("DSN"), DeliverBy: s.ext.Has("DELIVERBY"),
	}
}

// replied is the outcome that a reply means.
func (s *conn) replied(r smtp.Reply) Outcome {
	if r.Code >= 300 && r.Code < 400 {
		return s.misplaced(r)
	}
	o := s.outcome(r.Code, r.Enhanced, r.Text())
	o.Remote = true
	o.Verdict = s.rules.Load().Classify(s.stage, r)
	if o.Enhanced.IsZero() {
		o.Enhanced = status.Enhanced{Class: uint16(o.Code / 100)}
	}
	return o
}

// misplaced is the outcome of a reply that has no place where it came (RFC 5321
// section 4.2.1): server and client are out of step.
func (s *conn) misplaced(r smtp.Reply) Outcome {
	return s.outcome(450, status.Enhanced{Class: 4, Subject: 5, Detail: 0}, "The server's answer was out of place: "+r.String())
}

// refused is the failure that a reply other than the one hoped for means.
func (s *conn) refused(r smtp.Reply) *failure {
	if r.Positive() {
		return &failure{outcome: s.misplaced(r)}
	}
	return &failure{outcome: s.replied(r), refused: true}
}

// lost is the failure of a connection: always temporary.
func (s *conn) lost(what string, err error) *failure {
	code := status.Enhanced{Class: 4, Subject: 4, Detail: 2}
	if s.w == nil {
		code.Detail = 1 // no answer from host
	}
	f := &failure{outcome: s.outcome(451, code, what+": "+plain(err))}
	switch {
	case s.stage == classify.StageTLS:
		f.outcome.Verdict = classify.TLS.Verdict(451)
	case notSMTP(err):
		f.outcome.Verdict = classify.Protocol.Verdict(451)
	}
	var timeout interface{ Timeout() bool }
	f.timeout = errors.As(err, &timeout) && timeout.Timeout()
	return f
}

// notSMTP reports whether what came was no reply.
func notSMTP(err error) bool {
	return errors.Is(err, smtp.ErrReply) || errors.Is(err, wire.ErrLineTooLong) || errors.Is(err, wire.ErrFlood)
}

// plain is an error in few words that are fit for strangers: no addresses of
// ours, no internals.
func plain(err error) string {
	var timeout interface{ Timeout() bool }
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, context.Canceled):
		return "stopped on this side"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timed out"
	case notOurs(err):
		return "this machine does not have the address of the source"
	case errors.Is(err, errRefused):
		return "connection refused"
	case errors.Is(err, errReset):
		return "connection reset"
	case errors.Is(err, errEOF):
		return "the server closed the connection"
	case errors.Is(err, errUnreachable), errors.Is(err, errNoRoute):
		return "no route to host"
	case notSMTP(err):
		return "the answer is not SMTP"
	case errors.As(err, &unknown):
		return "its certificate is not trusted"
	}
	return err.Error()
}
