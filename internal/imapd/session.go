package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"posthouse/internal/id"
	"posthouse/internal/imap"
	"posthouse/internal/listen"
	"posthouse/internal/mailbox"
	"posthouse/internal/wire"
)

// Times a session lives by (RFC 9051 section 5.4: at least 30 minutes).
const (
	loginTimeout = 60 * time.Second
	// crowdedTimeout is for a stranger while most places are taken.
	crowdedTimeout = 30 * time.Second
	// loginPatience is for all that a stranger does; who has not logged in then leaves.
	loginPatience = 10 * time.Minute
	idleTimeout   = 30 * time.Minute
	writeTimeout  = 2 * time.Minute
)

// maxBadStranger is how many bad commands end a session before login, all
// together; after it those count that come one after another, see Limits.
const maxBadStranger = 5

// state is the state of RFC 9051 section 3, as a bit for command tables.
type state uint8

const (
	notAuthenticated state = 1 << iota
	authenticated
	inMailbox
	loggedOut

	anyState  = notAuthenticated | authenticated | inMailbox
	afterAuth = authenticated | inMailbox
)

// session is one connection. Its fields belong to its own goroutine.
type session struct {
	srv    *Server
	conn   *wire.Conn
	out    []byte // responses not yet sent; nil while idle
	remote netip.Addr
	pass   *listen.Pass // nil for a trusted client
	door   string
	id     id.ID
	ctx    context.Context
	cancel context.CancelFunc

	state    state
	tag      string
	name     string // of the command in progress
	bad      int
	attempts int    // failed logins
	err      error  // first failed write, or what else ends the session
	end      string // why the session ends, in a word or two; "" while it goes on

	account  id.Account
	login    string
	acct     *mailbox.Account
	sel      *selected
	saved    []imap.Range         // UIDs of the saved search result
	parts    map[partKey]*decoded // of the message looked at last
	work     int64                // bytes read for answers since output was sent for that
	rev2     bool                 // ENABLE IMAP4rev2
	condsto  bool                 // a CONDSTORE-enabling command was given
	began    time.Time
	loginBy  time.Time // zero after login
	commands int
	bodies   int // messages of which bodies were fetched
	appended int
}

func newSession(srv *Server, c net.Conn) *session {
	s := &session{
		srv: srv, conn: wire.New(c, loginTimeout, writeTimeout),
		door: "imap", state: notAuthenticated, began: srv.cfg.Clock.Now(),
	}
	s.id = id.New(s.began)
	s.loginBy = time.Now().Add(loginPatience)
	s.conn.ReadBy = s.loginBy
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if _, ok := c.(*tls.Conn); ok {
		s.door = "imaps"
	}
	if ap, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		s.remote = ap.Addr().Unmap()
	}
	return s
}

// Interrupt ends the session's waiting for input, so that it sees the shutdown.
func (s *session) Interrupt() { s.conn.Interrupt() }

// Cut ends the session at once.
func (s *session) Cut() {
	s.cancel()
	s.conn.Cut()
}

// serve lets the client in, or turns it away. RFC 9051 section 7.1 has the codes;
// LIMIT is for what the client itself can mend.
func (s *session) serve(closing bool) {
	defer s.cancel()
	verdict := listen.ShuttingDown
	if !closing {
		s.pass, verdict = s.srv.gate.Enter(s.remote)
	}
	switch verdict {
	case listen.Welcome:
		s.srv.cfg.Observer.Opened(s.door)
		s.run()
	case listen.TooMany, listen.ShuttingDown:
		s.turnAway(verdict, "[UNAVAILABLE]")
	default:
		s.turnAway(verdict, "[LIMIT]")
	}
}

// turnAway tells a client why it is not let in.
func (s *session) turnAway(v listen.Verdict, code string) {
	r := listen.Refusal{Verdict: v, Door: s.door, Log: s.log(), Observer: s.srv.cfg.Observer}
	s.srv.gate.TurnAway(s.conn, r, s.door == "imaps", "* BYE "+code+" "+v.Text())
}

// run is the session from greeting to end.
func (s *session) run() {
	defer s.finish()
	if s.door == "imaps" && s.conn.TLS() == nil {
		s.end = "handshake"
		return
	}
	s.untagged("OK [CAPABILITY " + s.srv.caps.text(s) + "] " + s.srv.cfg.Hostname + " Posthouse IMAP ready")
	for s.state != loggedOut && s.err == nil {
		s.rest()
		c, err := s.readCommand()
		if err != nil {
			s.readFailed(err)
			continue
		}
		s.execute(c)
	}
}

// rest sends what is waiting, and gives the buffer back when nothing more is to do.
func (s *session) rest() {
	if s.conn.Buffered() == 0 || len(s.out) > highWater {
		s.flush()
		s.releaseOut()
	}
}

// readFailed ends the session, with a BYE where somebody may hear it.
func (s *session) readFailed(err error) {
	var over *overflow
	switch {
	case errors.As(err, &over):
		s.bye(over.why, over.text)
	case errors.Is(err, wire.ErrInterrupted):
		s.bye("shutdown", "Posthouse is shutting down")
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.bye("timeout", "Autologout; idle for too long")
	case errors.Is(err, wire.ErrLineTooLong), errors.Is(err, wire.ErrFlood):
		s.bye("flood", "[LIMIT] Command line too long")
	default:
		s.fail(err)
	}
}

// bye announces the end of the session; why is for the log and the metrics.
func (s *session) bye(why, text string) {
	s.untagged("BYE " + text)
	s.end = why
	s.state = loggedOut
}

// fail ends the session without another word.
func (s *session) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	if s.end == "" {
		s.end = "closed"
	}
	s.state = loggedOut
}

// damaged is for the operator: err says whose message it is.
func (s *session) damaged(err error) {
	s.log().Error("a message is damaged", "login", s.login, "err", err)
}

// unreadable ends the session in the middle of a literal, for the client could
// not tell what is missing. err is the store's, or what ended the session before.
func (s *session) unreadable(err error) {
	if s.err == nil {
		s.log().Error("a message cannot be read", "err", err)
		s.end = "error"
	}
	s.fail(err)
}

// finish gives everything back before the last words and the close, so that
// whoever sees them may come again at once, and writes the session's line in the
// log.
func (s *session) finish() {
	s.unselect()
	s.saved = nil
	if s.acct != nil {
		s.acct.Release()
		s.srv.leaveAccount(s.account)
	}
	s.cancel()
	s.pass.Part()
	s.flush()
	switch s.end {
	case "errors", "logins", "flood", "pipelining", "mailbox deleted": // who may have said more
		s.conn.Linger()
	}
	s.pass.Leave()
	s.conn.Close()
	s.releaseOut()
	s.srv.cfg.Observer.Ended(s.door, s.end)
	s.logEnd()
}

// log writes lines of this session. It is made when it is needed, for thousands
// of sessions sit idle.
func (s *session) log() *slog.Logger {
	return s.srv.cfg.Log.With("session", string(s.id), "door", s.door, "remote", s.conn.NetConn().RemoteAddr().String())
}

// logEnd writes the one line of a session; who did not log in is no news.
func (s *session) logEnd() {
	level := slog.LevelInfo
	if s.login == "" {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("login", s.login), slog.Bool("tls", s.tls()), slog.Int("commands", s.commands), slog.Int("errors", s.bad),
		slog.Int("bodies", s.bodies), slog.Int("appended", s.appended),
		slog.Int64("received", s.conn.Received), slog.Int64("sent", s.conn.Sent),
		slog.Duration("duration", s.srv.cfg.Clock.Now().Sub(s.began)), slog.String("end", s.end),
	}
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		attrs = append(attrs, slog.String("err", s.err.Error()))
	}
	s.log().LogAttrs(context.Background(), level, "session", attrs...)
}

func (s *session) tls() bool {
	if s.door == "imaps" {
		return true
	}
	_, ok := s.conn.NetConn().(*tls.Conn)
	return ok
}

// mayLogin reports whether passwords may be sent on this connection.
func (s *session) mayLogin() bool {
	return s.tls() || s.srv.cfg.AllowPlaintext && s.remote.IsLoopback()
}

// execute runs one command and answers it.
func (s *session) execute(c received) {
	s.commands++
	p := imap.NewParser(c.raw)
	s.tag, s.name = p.CommandStart()
	if s.tag == "" {
		s.untagged("BAD A command begins with a tag")
		s.countBad()
		return
	}
	if c.append != nil {
		s.name = "APPEND"
	} else if s.name == "" {
		s.badCommand("A command has a tag and a name")
		return
	}
	cmd, ok := commands[s.name]
	switch {
	case !ok:
		s.badCommand("Unknown command " + s.name)
		return
	case cmd.states&s.state == 0:
		text := s.name + " is not possible " + s.stateText(cmd)
		if s.drainAppend(c); s.state != loggedOut {
			s.badCommand(text)
		}
		return
	}
	var text string
	var err error
	if c.append != nil {
		text, err = s.cmdAppend(c)
	} else {
		if cmd.args {
			p.SP()
		}
		if text, err = "", p.Err(); err == nil {
			text, err = cmd.run(s, p)
		}
	}
	s.answer(cmd, text, err)
}

// stateText is when a command that is refused was given.
func (s *session) stateText(cmd command) string {
	switch s.state {
	case notAuthenticated:
		return "before login"
	case authenticated:
		if cmd.states&inMailbox != 0 {
			return "without a mailbox selected"
		}
	}
	return "after login"
}

// answer writes pending updates and the tagged response. An empty text is
// "NAME completed".
func (s *session) answer(cmd command, text string, err error) {
	if s.sel != nil && s.state == inMailbox {
		if s.update(cmd.expunge, nil); s.state == loggedOut {
			return // the BYE is the last word
		}
	}
	var syntax imap.SyntaxError
	switch {
	case s.err != nil:
	case errors.Is(err, errAnswered):
	case err == nil:
		if text == "" || strings.HasSuffix(text, "] ") {
			text += s.name + " completed"
		}
		if s.state != notAuthenticated {
			s.bad = 0
		}
		s.tagged("OK " + text)
	case errors.As(err, &syntax):
		s.badCommand(string(syntax))
	default:
		s.tagged("NO " + s.refusal(err))
	}
}

// badCommand answers BAD, and says good-bye to a client that only makes mistakes.
func (s *session) badCommand(text string) {
	s.tagged("BAD " + text)
	s.countBad()
}

func (s *session) countBad() {
	limit := s.srv.limits.Load().MaxErrors
	if s.state == notAuthenticated {
		limit = min(limit, maxBadStranger)
	}
	if s.bad++; s.bad >= limit && s.state != loggedOut {
		s.bye("errors", "Too many bad commands")
	}
}

// errAnswered is returned by a command that has sent its own tagged response.
var errAnswered = errors.New("answered")

// no is a refusal with a response code (RFC 5530) or none.
type no struct{ text string }

func (e *no) Error() string { return e.text }

func refuse(format string, args ...any) error { return &no{fmt.Sprintf(format, args...)} }
