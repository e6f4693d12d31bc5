package pop3d

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"posthouse/internal/id"
	"posthouse/internal/listen"
	"posthouse/internal/mailbox"
	"posthouse/internal/sasl"
	"posthouse/internal/wire"
)

// maxCommand is the longest command, in octets (RFC 2449 section 4, its CRLF not
// counted); only AUTH may be longer, as a SASL response may follow on its line.
const maxCommand = 253

// maxLine is the longest line, in octets.
const maxLine = sasl.MaxLine + len("AUTH SCRAM-SHA-256-PLUS ")

// session is one connection.
type session struct {
	srv      *Server
	conn     *wire.Conn
	id       id.ID
	remote   netip.Addr
	peer     string // the remote with its port
	door     string
	implicit bool
	began    time.Time
	pass     *listen.Pass // nil for a trusted client

	user     string // given with USER
	login    string
	utf8     bool
	attempts int // failed logins
	commands int
	errors   int
	over     string // why the session ends, in a word or two; "" while it goes on

	// In the transaction state:
	account *mailbox.Account
	box     *mailbox.Mailbox
	unlock  func()
	snap    *mailbox.Snapshot
	deleted map[int]bool // positions in snap
	// downgraded has the sizes of messages whose header is changed; nil while not known.
	downgraded map[int]int64
	sent       int // messages retrieved
	gone       int // messages removed at QUIT
}

func newSession(srv *Server, c net.Conn, remote netip.Addr) *session {
	now := time.Now()
	s := &session{srv: srv, conn: wire.New(c, loginTimeout, writeTimeout), id: id.New(now), remote: remote, peer: c.RemoteAddr().String(), door: "pop3", began: now}
	if _, ok := c.(interface{ HandshakeContext(context.Context) error }); ok {
		s.implicit, s.door = true, "pop3s"
	}
	return s
}

// Interrupt ends the session's waiting for input, so that it sees the shutdown.
func (s *session) Interrupt() { s.conn.Interrupt() }

// Cut ends the session at once, as all others are.
func (s *session) Cut() {
	s.srv.cancel()
	s.conn.Cut()
}

// readLine waits for a line. It must be whole in time, however it drips in.
func (s *session) readLine() ([]byte, error) {
	patience := s.conn.ReadTimeout
	if s.snap == nil && s.pass != nil && s.srv.gate.Crowded() {
		patience = min(patience, crowdedTimeout)
	}
	by := time.Now().Add(patience)
	if last := s.began.Add(loginPatience); s.snap == nil && last.Before(by) {
		by = last
	}
	s.conn.ReadBy = by
	return s.conn.ReadLine(maxLine)
}

// serve lets the client in, or tells it why not: for a while (RFC 3206 section 4).
func (s *session) serve(closing bool) {
	verdict := listen.ShuttingDown
	if !closing {
		s.pass, verdict = s.srv.gate.Enter(s.remote)
	}
	if verdict != listen.Welcome {
		r := listen.Refusal{Verdict: verdict, Door: s.door, Log: s.log(), Observer: s.srv.cfg.Observer}
		s.srv.gate.TurnAway(s.conn, r, s.implicit, "-ERR [SYS/TEMP] "+verdict.Text())
		return
	}
	s.srv.cfg.Observer.Opened(s.door)
	s.run()
}

// ok and err write a reply; it leaves with the batch (RFC 2449 section 6.8).
func (s *session) ok(format string, args ...any) { s.line("+OK " + fmt.Sprintf(format, args...)) }
func (s *session) err(text string)               { s.line("-ERR " + text) }
func (s *session) line(text string)              { s.conn.Writer().WriteString(text + "\r\n") }

func (s *session) run() {
	defer s.end()
	if s.implicit && s.conn.TLS() == nil {
		s.over = "handshake"
		return
	}
	s.ok("%s Posthouse POP3 ready", s.srv.cfg.Hostname)
	for s.over == "" {
		if s.conn.Buffered() == 0 && s.conn.Flush() != nil {
			s.over = "closed"
			return
		}
		line, err := s.readLine()
		switch {
		case err == nil:
			s.command(string(line))
		case errors.Is(err, wire.ErrLineTooLong):
			s.mistake("Line too long")
		default:
			s.lost(err)
		}
	}
}

// lost ends a session that reads no more.
func (s *session) lost(err error) {
	switch {
	case errors.Is(err, wire.ErrInterrupted):
		s.err("[SYS/TEMP] The server is shutting down")
		s.over = "shutdown"
	case errors.Is(err, os.ErrDeadlineExceeded): // without a word (RFC 1939 section 3)
		s.over = "timeout"
	case errors.Is(err, wire.ErrFlood):
		s.err("Endless line")
		s.over = "flood"
	default:
		s.over = "closed"
	}
}

// end gives everything back before the last words and the close, so that whoever
// sees them may come again at once. Nothing is deleted here: only QUIT does that.
func (s *session) end() {
	s.giveBack()
	if s.box != nil {
		s.box.Close()
	}
	if s.account != nil {
		s.account.Release()
	}
	s.pass.Part()
	s.conn.Flush()
	switch s.over {
	case "errors", "commands", "logins", "flood", "pipelining": // who may have said more
		s.conn.Linger()
	}
	s.pass.Leave()
	s.conn.Close()
	s.srv.cfg.Observer.Ended(s.door, s.over)
	s.logEnd()
}

// log writes lines of this session.
func (s *session) log() *slog.Logger {
	return s.srv.cfg.Log.With("session", string(s.id), "door", s.door, "remote", s.peer)
}

// logEnd writes the one line of a session; who did not log in is no news.
func (s *session) logEnd() {
	level := slog.LevelInfo
	if s.login == "" {
		level = slog.LevelDebug
	}
	s.log().Log(context.Background(), level, "session", "login", s.login, "tls", s.conn.TLS() != nil, "commands", s.commands, "errors", s.errors,
		"retrieved", s.sent, "deleted", s.gone, "received", s.conn.Received, "sent", s.conn.Sent, "duration", time.Since(s.began), "end", s.over)
}

// giveBack lets another session have the mailbox.
func (s *session) giveBack() {
	if s.unlock != nil {
		s.unlock()
		s.unlock = nil
	}
}

// mistake answers a command that makes no sense; too many end the session.
func (s *session) mistake(text string) {
	if s.errors++; s.errors >= s.srv.limits.Load().MaxErrors {
		text, s.over = text+"; too many errors", "errors"
	}
	s.err(text)
}

// handler is one command. Zero states means both.
type handler struct {
	run          func(*session, string)
	before, only bool // before: only before the login; only: only after it
	bare         bool // takes no argument
}

// commands by keyword (RFC 1939 sections 5 to 7, RFC 2449, 2595, 5034, 6856).
func lookup(verb string) (handler, bool) {
	switch verb {
	case "QUIT":
		return handler{run: (*session).cmdQuit, bare: true}, true
	case "CAPA":
		return handler{run: (*session).cmdCapa, bare: true}, true
	case "LANG":
		return handler{run: (*session).cmdLang}, true
	case "NOOP":
		return handler{run: (*session).cmdNoop, only: true, bare: true}, true
	case "USER":
		return handler{run: (*session).cmdUser, before: true}, true
	case "PASS":
		return handler{run: (*session).cmdPass, before: true}, true
	case "AUTH":
		return handler{run: (*session).cmdAuth, before: true}, true
	case "STLS":
		return handler{run: (*session).cmdSTLS, before: true, bare: true}, true
	case "UTF8":
		return handler{run: (*session).cmdUTF8, before: true, bare: true}, true
	case "STAT":
		return handler{run: (*session).cmdStat, only: true, bare: true}, true
	case "LIST":
		return handler{run: (*session).cmdList, only: true}, true
	case "UIDL":
		return handler{run: (*session).cmdUIDL, only: true}, true
	case "RETR":
		return handler{run: (*session).cmdRetr, only: true}, true
	case "TOP":
		return handler{run: (*session).cmdTop, only: true}, true
	case "DELE":
		return handler{run: (*session).cmdDele, only: true}, true
	case "RSET":
		return handler{run: (*session).cmdRset, only: true, bare: true}, true
	}
	return handler{}, false
}

func (s *session) command(line string) {
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	if s.commands++; s.commands > s.srv.limits.Load().MaxCommands {
		s.err("[SYS/TEMP] Too many commands, come again")
		s.over = "commands"
		return
	}
	if len(line) > maxCommand && verb != "AUTH" {
		s.mistake("Line too long")
		return
	}
	if verb != "PASS" { // a password may end with blanks, nothing else does
		arg = strings.TrimRight(arg, " ")
	}
	h, known := lookup(verb)
	switch {
	case !known:
		s.mistake("Unknown command")
	case h.bare && arg != "": // RFC 1939 section 3: syntactically invalid
		s.mistake(verb + " takes no argument")
	case h.before && s.snap != nil:
		s.mistake("You are logged in already")
	case h.only && s.snap == nil:
		s.mistake("Log in first")
	default:
		h.run(s, arg)
	}
}
