package smtpd

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/listen"
	"posthouse/internal/sasl"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
	"posthouse/internal/wire"
)

// session is one conversation. Its goroutine owns everything but what mu guards.
type session struct {
	srv  *Server
	cfg  *Config  // as it was when the session began
	raw  net.Conn // as accepted
	conn *wire.Conn
	log  *slog.Logger
	pass *listen.Pass // its place at the gate

	id       id.ID
	began    time.Time
	peer     netip.AddrPort // who is connected; invalid for a Unix socket
	remote   netip.AddrPort // the client: the peer, or whom it names with XCLIENT
	loopback bool
	trusted  bool
	newlines Newlines

	// clientName is the client's host name, when a proxy has told it.
	clientName string

	helo     string // "" before HELO, EHLO or LHLO
	extended bool   // EHLO or LHLO: extensions may be used
	who      sasl.Identity
	claim    claim // what XCLIENT said

	env *envelope.Envelope // the mail transaction; nil between them
	in  *inflow            // content under way; between commands, that of BDAT

	sum          Summary
	conduct      conduct
	unknown      int
	authFailures int
	others       int    // messages of the clients before, in a proxy's session
	scratch      []byte // for replies
	over         string // why the session ends; "" while it goes on

	mu       sync.Mutex
	idle     bool // waiting for a command, and not between the chunks of a message
	draining bool // the server is shutting down
}

func newSession(s *Server, conn net.Conn) *session {
	cfg := s.cfg.Load()
	now := cfg.Clock.Now()
	ses := &session{srv: s, cfg: cfg, raw: conn, conn: wire.New(conn, cfg.Timeouts.Command, cfg.Timeouts.Write), id: id.New(now), began: now}
	ses.log = ses.newLog()
	return ses
}

// newLog makes the log of a session whose client is not known yet.
func (s *session) newLog() *slog.Logger {
	return s.cfg.Log.With("session", string(s.id), "door", s.cfg.Door)
}

func (s *session) setRemote(addr net.Addr) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		// A Unix socket, which only processes of this machine can open.
		s.setClient(netip.AddrPort{})
		s.loopback, s.trusted = true, true
		return
	}
	ap := tcp.AddrPort()
	s.peer = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	s.log = s.log.With("remote", s.peer.String())
	s.setClient(s.peer)
}

// setClient makes the session that of a client; the address of one that is not
// known is invalid.
func (s *session) setClient(client netip.AddrPort) {
	addr := client.Addr()
	s.remote = client
	s.loopback = addr.IsLoopback()
	s.trusted = s.cfg.Trusted.Have(addr)
	s.newlines = s.cfg.newlinesFor(addr)
	s.conn.CRLFOnly = s.newlines == RefuseBare
}

// interrupt tells the session that the server is shutting down.
func (s *session) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	if s.idle {
		s.conn.Interrupt()
	}
}

// setIdle marks the session idle or busy; false when it is to end instead. A
// message that comes in chunks is let finish like one after DATA: until LAST or
// RSET its session is busy between the chunks too, unless it has failed already.
func (s *session) setIdle(idle bool) bool {
	midway := s.in != nil && s.in.err == nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = idle && !midway
	return midway || !s.draining
}

// serve holds the conversation from the greeting to the end.
func (s *session) serve() {
	defer s.finish()
	if s.cfg.ImplicitTLS {
		if err := s.handshake(); err != nil {
			s.over = "handshake"
			return
		}
	}
	if s.awaitGreeting() {
		s.greet()
	}
	for s.over == "" {
		faults := s.conduct.faults
		s.command()
		if s.conduct.faults > faults {
			s.slowDown()
		}
	}
	s.pass.Part()
	s.conn.Flush() // the client may be gone
}

// finish hangs up, and then tells who wants to know: by then the client's place is
// free, for it may come again at once.
func (s *session) finish() {
	s.reset()
	polite := false
	switch s.over {
	case "closed", "handshake":
	case "quit", "timeout", "shutdown":
		polite = true
	default:
		s.conn.Linger()
	}
	s.pass.Leave()
	if polite {
		s.conn.Close() // says goodbye in TLS
	}
	s.srv.end(s)
	s.sum.Duration = s.cfg.Clock.Now().Sub(s.began)
	s.sum.End = s.over
	s.log.Log(s.srv.ctx, s.level(), "session", "helo", s.helo, "login", s.who.Login, "tls", tlsName(s.conn.TLS()),
		"commands", s.sum.Commands, "errors", s.sum.Errors, "transactions", s.sum.Transactions, "messages", s.sum.Messages, "octets", s.sum.Octets,
		"duration", s.sum.Duration, "end", s.over)
	s.cfg.Observer.Closed(s.cfg.Door, s.sum)
}

// level is that of the session's line in the log. Who neither sent mail nor logged
// in is no news, but when we hung up mail may have been lost.
func (s *session) level() slog.Level {
	if s.sum.Transactions > 0 || s.who.Account != 0 {
		return slog.LevelInfo
	}
	switch s.over {
	case "quit", "closed", "timeout", "shutdown", "handshake", // probes of all kinds
		"not SMTP", "unknown commands", "flood", "logins":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// handshake begins TLS as server.
func (s *session) handshake() error {
	s.conn.ReadTimeout = s.cfg.Timeouts.Handshake
	defer func() { s.conn.ReadTimeout = s.cfg.Timeouts.Command }()
	err := s.conn.StartTLS(s.cfg.TLS)
	if err != nil {
		s.log.Debug("TLS handshake failed", "err", err)
	}
	return err
}

func (s *session) greet() {
	protocol := "ESMTP"
	if s.lmtp() {
		protocol = "LMTP"
	}
	s.reply(220, status.Enhanced{}, s.cfg.Hostname+" "+protocol+" Posthouse")
}

func (s *session) lmtp() bool { return s.cfg.Mode == LMTP }

// maxLine is the longest line read: AUTH with its initial response.
const maxLine = sasl.MaxLine + len("AUTH SCRAM-SHA-256-PLUS ")

// command reads one command and answers it.
func (s *session) command() {
	line, err := s.readLine(maxLine)
	if err != nil && !errors.Is(err, wire.ErrLineTooLong) {
		s.lost(err)
		return
	}
	s.sum.Commands++
	if s.overLimits() {
		return
	}
	cmd, parseErr := smtp.ParseCommand(line)
	if err != nil || len(line) > s.cfg.Limits.CommandLine && cmd.Verb != "AUTH" {
		s.reply(500, enhanced(5, 5, 2), "Line too long")
		return
	}
	verb, known := verbs[cmd.Verb]
	switch {
	case parseErr == nil && known && s.outOfStep(cmd.Verb):
	case parseErr == nil && known:
		s.conduct.note(cmd.Verb)
		verb(s, cmd.Arg)
	case notMail(line, cmd.Verb):
		s.hangUp("not SMTP", 421, enhanced(4, 7, 0), "This is a mail server")
	default:
		s.unknownCommand()
	}
}

// readLine sends what is to be sent, if it must, and waits for a line.
func (s *session) readLine(max int) ([]byte, error) {
	if !s.conn.LineBuffered() {
		// The client may be waiting for us (RFC 2920 section 3.2).
		if err := s.conn.Flush(); err != nil {
			return nil, err
		}
		if !s.setIdle(true) {
			return nil, wire.ErrInterrupted
		}
	}
	s.conn.ReadBy = time.Now().Add(s.patience())
	line, err := s.conn.ReadLine(max)
	s.conn.ReadBy = time.Time{}
	if !s.setIdle(false) {
		return nil, wire.ErrInterrupted
	}
	return line, err
}

// lost ends a session whose connection gives no more input.
func (s *session) lost(err error) {
	switch {
	case errors.Is(err, wire.ErrInterrupted):
		s.hangUp("shutdown", 421, enhanced(4, 3, 2), s.cfg.Hostname+" is shutting down, try again later")
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.hangUp("timeout", 421, enhanced(4, 4, 2), "Timeout, closing connection")
	case errors.Is(err, wire.ErrBareLF):
		// Were the line refused and the next one read, whoever can put an LF into
		// an argument of an honest client could give commands in its name.
		code := 521
		if s.cfg.Mode == Submission {
			code = 554 // 521 is not for submission (RFC 6409 section 7)
		}
		s.hangUp("bare newline", code, enhanced(5, 5, 2), "Commands must end with <CRLF>, closing connection")
	case errors.Is(err, wire.ErrFlood):
		s.hangUp("flood", 421, enhanced(4, 7, 0), "Endless line, closing connection")
	default:
		s.over = "closed"
		if !errors.Is(err, io.EOF) {
			s.log.Debug("connection lost", "err", err)
		}
	}
}

func (s *session) unknownCommand() {
	if s.unknown++; !s.trusted && s.cfg.Limits.Unknown > 0 && s.unknown > s.cfg.Limits.Unknown {
		s.hangUp("unknown commands", 421, enhanced(4, 7, 0), "Too many unknown commands")
		return
	}
	s.reply(500, enhanced(5, 5, 2), "Command not recognized")
}

// notMail knows the first lines of protocols that have come to the wrong door,
// and whose next lines are nothing to be read as commands.
func notMail(line []byte, verb string) bool {
	switch verb {
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI":
		return true
	}
	const tlsHandshake = 0x16
	return len(line) > 0 && line[0] == tlsHandshake || strings.HasPrefix(string(line), "SSH-")
}

// reply writes a reply of one line; it leaves with the batch.
func (s *session) reply(code int, e status.Enhanced, text string) {
	s.send(smtp.NewReply(code, e, text))
}

// send writes a reply in ASCII (RFC 6531 section 3.7.4.2).
func (s *session) send(r smtp.Reply) {
	for i, line := range r.Lines {
		r.Lines[i] = strings.Map(func(c rune) rune {
			if c > 0x7e {
				return '?'
			}
			return c
		}, line)
	}
	s.sendUTF8(r)
}

// sendUTF8 writes a reply that may be in UTF-8.
func (s *session) sendUTF8(r smtp.Reply) {
	if r.Code >= 400 {
		s.sum.Errors++
	}
	if r.Code >= 500 {
		s.conduct.faults++ // a 4yz reply is for troubles of ours
	}
	s.scratch = r.Append(s.scratch[:0])
	s.conn.Writer().Write(s.scratch) // an error stays until the flush
}

// refuse answers with an error of the handler's; more is for the log.
func (s *session) refuse(err error, what string, more ...any) {
	e := status.Of(err)
	level := slog.LevelInfo
	if e.Code == 451 && e.Cause != nil {
		level = slog.LevelError
	}
	if s.env != nil {
		more = append(more, "msg_id", string(s.env.ID))
	}
	s.log.Log(s.srv.ctx, level, "refused", append([]any{"command", what, "err", e}, more...)...)
	s.send(smtp.ErrorReply(e))
	if e.Code == 421 {
		s.over = "refused"
	}
}

// hangUp is a last reply.
func (s *session) hangUp(why string, code int, e status.Enhanced, text string) {
	s.reply(code, e, text)
	s.over = why
}

// reset forgets the mail transaction (RFC 5321 section 4.1.1.5).
func (s *session) reset() {
	if s.in != nil {
		s.in.abort()
		s.in = nil
	}
	s.env = nil
}

// forget takes the session back to its beginning, as STARTTLS does (RFC 3207
// section 4.2).
func (s *session) forget() {
	s.reset()
	s.helo, s.extended, s.who = "", false, sasl.Identity{}
}

// mayAuth reports whether a login is possible here and now, and what stands in
// its way otherwise.
func (s *session) mayAuth() (ok, needsTLS bool) {
	switch {
	case !s.cfg.OfferAuth:
		return false, false
	case s.conn.TLS() != nil, s.cfg.AllowPlaintextAuth && s.loopback:
		return true, false
	}
	return false, s.cfg.TLS != nil
}

func enhanced(class, subject, detail uint16) status.Enhanced {
	return status.Enhanced{Class: class, Subject: subject, Detail: detail}
}
