package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"posthouse/internal/clock"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/listen"
	"posthouse/internal/sasl"
	"posthouse/internal/smtp"
)

// Mode is what a door is for.
type Mode int

// The modes.
const (
	MX         Mode = iota // mail from other servers
	Submission             // mail from our own people, who log in (RFC 6409)
	LMTP                   // mail from a server of this site (RFC 2033)
)

// Handler decides; smtpd only speaks. Errors are *status.Error; others become
// 451 4.3.0. It is used by many sessions at a time, by each for one call at a
// time.
type Handler interface {
	// Mail judges a reverse-path: env.From, env.Origin and the parameters are set.
	// size is what the client announced in octets, 0 when it did not.
	Mail(ctx context.Context, env *envelope.Envelope, size int64) error
	// Rcpt judges a recipient; on nil the door appends r to env.Rcpts.
	Rcpt(ctx context.Context, env *envelope.Envelope, r envelope.Rcpt) error
	// Data begins the content of a message, before the 354 or the first chunk.
	Data(ctx context.Context, env *envelope.Envelope) (Transfer, error)
	// Authenticator checks the credentials of a client; remote is invalid for a
	// Unix socket.
	Authenticator(remote netip.Addr, door string) sasl.Authenticator
}

// Desk answers what is not about a message. Errors are as Handler's.
type Desk interface {
	// Identify finds the account of a login that a trusted proxy has checked
	// (XCLIENT).
	Identify(ctx context.Context, login string) (sasl.Identity, error)
	// Verify looks an address up for somebody who has logged in (VRFY); without a
	// domain it is in who's own.
	Verify(ctx context.Context, who sasl.Identity, a smtp.Address) (Verified, error)
	// Expand lists where mail for an address goes (EXPN); never empty.
	Expand(ctx context.Context, who sasl.Identity, a smtp.Address) ([]smtp.Address, error)
	// StartQueue tries waiting mail for a domain now, with below for all domains
	// below it as well, and tells how many recipients that is (ETRN).
	StartQueue(ctx context.Context, domain string, below bool) (int, error)
}

// Verified is an address that VRFY has found.
type Verified struct {
	Address   smtp.Address // zero: nobody here can tell
	Elsewhere bool         // Address is where mail is passed on to
}

// Transfer takes the content of one message, dots removed. After a failed Write
// nothing more is written. Either Commit or Abort is called, once.
type Transfer interface {
	io.Writer
	// Commit takes the message in for good; an error refuses it for everybody.
	Commit(ctx context.Context) (Outcome, error)
	Abort()
}

// Outcome is what became of a message.
type Outcome struct {
	ID id.ID
	// Rcpts has one error (or nil) per recipient of the envelope, in order. Only
	// LMTP can tell the client; for SMTP it is ignored.
	Rcpts []error
}

// Config of a Server. Hostname is needed; everything else has a default.
type Config struct {
	Door     string // name of the listener for logs and Origin: "smtp", "submission" …
	Mode     Mode
	Hostname string // in the greeting

	TLS         *tls.Config // nil: no TLS
	ImplicitTLS bool        // TLS from the first octet (RFC 8314)
	// OfferAuth offers AUTH on an MX or LMTP door as well; a submission door
	// always does.
	OfferAuth bool
	// RequireAuth refuses mail before a login; a submission door always does.
	RequireAuth bool
	// SASL is what may be used to log in.
	SASL sasl.Policy
	// AllowPlaintextAuth lets loopback clients log in without TLS.
	AllowPlaintextAuth bool

	Limits   Limits
	Timeouts Timeouts
	// GreetDelay is how long an MX door waits for early talkers before it greets a
	// client that is not trusted; 0: it does not.
	GreetDelay time.Duration
	// ErrorDelay is by how much longer each error beyond half of Limits.Errors makes
	// the replies that follow wait; 0: not at all.
	ErrorDelay time.Duration
	// Trusted are networks that the limits on connections and conduct, on messages
	// per session and the delays do not bind.
	Trusted listen.Networks
	// Newlines is what becomes of bare CR and LF; those in NormaliseFrom get
	// NormaliseBare whatever it says.
	Newlines      Newlines
	NormaliseFrom listen.Networks
	// Desk, when there is one, answers VRFY and EXPN for those who have logged in,
	// and ETRN; XCLIENT needs it for LOGIN.
	Desk Desk
	// XClient are peers that may say for whom they speak (XCLIENT).
	XClient listen.Networks
	// ETRN are domains, in canonical form, whose queue clients of an MX door may
	// start; domains below them as well.
	ETRN []string

	// NoSoliciting are classes of solicitations that the handler refuses (RFC 3865),
	// such as "net.example:ADV", smtp.MaxUnwanted bytes together; none: the extension
	// is not offered.
	NoSoliciting []string

	Clock    clock.Clock
	Log      *slog.Logger
	Observer Observer
}

// Limits bound what a client may ask for. 0 is the default, negative is none
// where that says so.
type Limits struct {
	MessageSize      int64 // octets; default 50 MB
	Recipients       int   // per message; default 1000, at least 100 (RFC 5321 section 4.5.3.1.8)
	CommandLine      int   // octets; default 4096
	Commands         int   // per session; default 100,000; negative: none
	Errors           int   // 5yz replies since the last accepted message; default 100; negative: none
	Idle             int   // commands since then that bring no mail; default 100; negative: none
	UnknownRcpts     int   // recipients that do not exist, per session; default 50; negative: none
	Unknown          int   // unknown commands per session; default 10; negative: none
	AuthAttempts     int   // failed per session; default 5
	Messages         int   // per session; default 1000; negative: none
	Connections      int   // in all; default 1000; negative: none
	ConnectionsPerIP int   // per IPv4 address or IPv6 /64; default 50; negative: none
	// ConnectionsPerNetwork is for an IPv4 /24 or IPv6 /48; 0 or less: none.
	ConnectionsPerNetwork int
	// ConnectionRate is how many connections may begin in a minute from an IPv4
	// address or IPv6 /64, NetworkRate from an IPv4 /24 or IPv6 /48; 0 or less:
	// any number.
	ConnectionRate int
	NetworkRate    int
	// FutureRelease is how long a message may be held on a submission door (RFC
	// 4865); default 7 days, at most smtp.MaxSeconds; negative: not offered.
	FutureRelease time.Duration
	// DeliverBy is the shortest time in which a message may have to be delivered or
	// returned, in whole seconds (RFC 2852 section 2); 0: any.
	DeliverBy time.Duration
}

// Timeouts bound each wait for a client. 0 is the default.
type Timeouts struct {
	Command   time.Duration // for the next command; default 5 minutes (RFC 5321 section 4.5.3.2.7)
	Crowded   time.Duration // for a stranger's next command while most places are taken; default 30 seconds
	Data      time.Duration // for the next block of a message; default 5 minutes
	Message   time.Duration // for the whole content of a message; default 1 hour
	Write     time.Duration // for the client to take replies; default 1 minute
	Handshake time.Duration // for TLS; default 30 seconds
	Refusal   time.Duration // for a client that is turned away to hear why; default 5 seconds
	BareEnd   time.Duration // for more content behind a bare line end; default 10 seconds
}

// Observer is told what happens, for metrics. Calls come from many sessions at a
// time and must not wait.
type Observer interface {
	Opened(door string)
	Refused(door, reason string) // a connection turned away: "connections", "address", "network rate" …
	Closed(door string, s Summary)
	Login(door, mechanism string, err error)
	// Message is the end of a message's content; d is from its first octet to the
	// reply.
	Message(door string, size int64, d time.Duration, err error)
}

// Summary is a session in figures.
type Summary struct {
	Commands     int
	Errors       int   // 4yz and 5yz replies
	Transactions int   // begun with MAIL
	Messages     int   // accepted
	Octets       int64 // of accepted messages
	Duration     time.Duration
	End          string // why it ended: "quit", "closed", "timeout", "shutdown" …
}

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("smtpd: server closed")

func (c *Config) setDefaults() {
	setDefault(&c.Limits.MessageSize, 50<<20)
	setDefault(&c.Limits.Recipients, 1000)
	setDefault(&c.Limits.CommandLine, 4096)
	setDefault(&c.Limits.Commands, 100_000)
	setDefault(&c.Limits.Errors, 100)
	setDefault(&c.Limits.Idle, 100)
	setDefault(&c.Limits.UnknownRcpts, 50)
	setDefault(&c.Limits.Unknown, 10)
	setDefault(&c.Limits.AuthAttempts, 5)
	setDefault(&c.Limits.Messages, 1000)
	setDefault(&c.Limits.Connections, 1000)
	setDefault(&c.Limits.ConnectionsPerIP, 50)
	setDefault(&c.Limits.FutureRelease, 7*24*time.Hour)
	setDefault(&c.Timeouts.Command, 5*time.Minute)
	setDefault(&c.Timeouts.Crowded, 30*time.Second)
	setDefault(&c.Timeouts.Data, 5*time.Minute)
	setDefault(&c.Timeouts.Message, time.Hour)
	setDefault(&c.Timeouts.Write, time.Minute)
	setDefault(&c.Timeouts.Handshake, 30*time.Second)
	setDefault(&c.Timeouts.Refusal, 5*time.Second)
	setDefault(&c.Timeouts.BareEnd, 10*time.Second)
	if c.Mode == Submission {
		c.OfferAuth, c.RequireAuth = true, true
	}
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// nobody is the Observer when there is none.
type nobody struct{}

func (nobody) Opened(string)                               {}
func (nobody) Refused(string, string)                      {}
func (nobody) Closed(string, Summary)                      {}
func (nobody) Login(string, string, error)                 {}
func (nobody) Message(string, int64, time.Duration, error) {}
