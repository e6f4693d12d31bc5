// Package courier carries mail out of the house by SMTP (RFC 5321): whom to
// call, how, and how many at once. It returns a typed outcome for every
// recipient and decides nothing about trying again: the queue does.
package courier

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/clock"
	"posthouse/internal/dns"
	"posthouse/internal/envelope"
	"posthouse/internal/id"
	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/tlspolicy"
)

// Defaults of Options.
const (
	DefaultPort          = 25
	DefaultPerSite       = 20
	DefaultTotal         = 500
	DefaultIdle          = 5 * time.Second
	DefaultMaxPerConn    = 1000
	DefaultDeadHost      = time.Minute
	DefaultMaxRouteCache = 5 * time.Minute
)

// Options of a Courier. Hostname and Resolver are needed.
type Options struct {
	Hostname string       // said in EHLO
	Resolver dns.Resolver //
	Routes   []RouteRule  // the first match wins; no match is an MX lookup
	Port     uint16       // of MX hosts; default 25, other values serve tests
	// IsLocal tells whether an MX host's name or address is this house, besides
	// Hostname. The port is the one that would be called. Nil: only Hostname.
	IsLocal func(host string, addrs []netip.Addr, port uint16) bool

	Sources    []Source      // that Transfers name
	PerSite    int           // connections to one site, if no Cap allows more; default 20
	Total      int           // connections in all; default 500
	Idle       time.Duration // how long an unused connection is kept; default 5 s, negative none
	MaxPerConn int           // messages over one connection; default 1000
	DeadHost   time.Duration // how long a host that did not answer is passed over; default 1 minute, negative not at all
	Timeouts   Timeouts
	// Rules tell what replies mean. Default: classify.Standard.
	Rules *classify.Table

	// TLSPolicy tells what is asked of hosts; nil asks for nothing.
	TLSPolicy TLSPolicy
	// TLSResults sees how the TLS of every session came out; may be nil. It must
	// not block.
	TLSResults func(*tlspolicy.Result)
	// TLS is the base of every client configuration, e.g. with RootCAs for
	// routes that log in. Nil is the system's roots.
	TLS    *tls.Config
	Dialer Dialer       // default: net.Dialer
	Clock  clock.Clock  // default: the system's
	Log    *slog.Logger // default: none
}

// TLSPolicy decides what is asked of the hosts of a route, in the order of the
// query's. tlspolicy.Engine is one.
type TLSPolicy interface {
	Decide(ctx context.Context, q *tlspolicy.Query) []tlspolicy.Policy
}

// Dialer makes connections.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Timeouts of RFC 5321 section 4.5.3.2; zero fields get its values.
type Timeouts struct {
	Connect   time.Duration // one address; default 30 s
	Greeting  time.Duration // 5 minutes
	Mail      time.Duration // EHLO, MAIL, RCPT, AUTH: 5 minutes
	DataInit  time.Duration // DATA: 2 minutes
	DataBlock time.Duration // each write of content: 3 minutes
	DataDone  time.Duration // the final reply: 10 minutes
	LastWords time.Duration // of a server that hung up on content; default 2 s
	Quit      time.Duration // default 5 s; nobody waits for it
	TLS       time.Duration // the handshake; default 1 minute
}

// Transfer is one message for recipients at one site.
type Transfer struct {
	ID     id.ID
	Route  *Route
	Source string // the name of the source that it leaves from; "" or unknown: the system chooses
	Caps   []Cap  // what its connections count against, besides PerSite and Total
	// MaxPerConn is how many messages go over one connection; 0 is the courier's.
	MaxPerConn int
	From       smtp.Address
	Rcpts      []envelope.Rcpt // at most MaxRcpts
	Prepend    string          // header lines sent before the message
	Body       io.ReaderAt     // read from Skip for Size bytes; not sent in full when blob.Check finds it damaged
	Skip       int64
	Size       int64
	EightBit   bool   // content has bytes above 127
	UTF8       bool   // the header needs SMTPUTF8 (RFC 6531)
	BareLines  bool   // content has CR or LF outside CRLF, or NUL
	Binary     bool   // came with BODY=BINARYMIME (RFC 3030)
	Ret        string // RET of RFC 3461
	EnvID      string // ENVID of RFC 3461, decoded
	// RequireTLS: verified TLS at every hop or not at all (RFC 8689 section 4.2.1).
	RequireTLS bool
	// TLSOptional: the sender asks to ignore the TLS policies of recipients
	// (TLS-Required: No, RFC 8689 section 4.2.2).
	TLSOptional bool
	// HoldRequest, DeliverBy, ByMode and ByTrace are those of envelope.Envelope (RFC
	// 4865, RFC 2852).
	HoldRequest string
	DeliverBy   time.Time
	ByMode      envelope.ByMode
	ByTrace     bool
	Priority    int // MT-PRIORITY (RFC 6710)
	PriorityBy  envelope.PriorityBy
	Solicit     string // the classes of solicitations that it is of (RFC 3865)
	// Leave ends when this is to be given up unless there is a connection already:
	// then the outcomes are Untried. nil: never.
	Leave context.Context

	// Binary content in lines, or why there are none, once it was needed.
	plain    *message.Unbinary
	plainErr error
}

// MaxRcpts is how many recipients a Transfer may have: what every server must
// take (RFC 5321 section 4.5.3.1.8).
const MaxRcpts = 100

// Courier makes and keeps connections. Safe for concurrent use.
type Courier struct {
	opt      Options
	rules    atomic.Pointer[classify.Table]
	ways     atomic.Pointer[[]RouteRule]
	routes   routeCache
	pool     pool
	dead     deadHosts
	bad      deadHosts // hosts whose TLS handshake fails
	probes   sync.Map  // sites whose hosts are all dead and are being tried once more
	sessions tls.ClientSessionCache
}

// New makes a courier.
func New(opt Options) *Courier {
	opt.setDefaults()
	c := &Courier{opt: opt, sessions: tls.NewLRUClientSessionCache(1000)}
	c.rules.Store(opt.Rules)
	c.ways.Store(&opt.Routes)
	c.routes.init(opt.Clock)
	c.dead.init(opt.Clock, opt.DeadHost)
	c.bad.init(opt.Clock, badTLSFor)
	c.pool.init(&c.opt)
	return c
}

func (o *Options) setDefaults() {
	def := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	dur := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if o.Port == 0 {
		o.Port = DefaultPort
	}
	def(&o.PerSite, DefaultPerSite)
	def(&o.Total, DefaultTotal)
	def(&o.MaxPerConn, DefaultMaxPerConn)
	dur(&o.Idle, DefaultIdle)
	dur(&o.DeadHost, DefaultDeadHost)
	dur(&o.Timeouts.Connect, 30*time.Second)
	dur(&o.Timeouts.Greeting, 5*time.Minute)
	dur(&o.Timeouts.Mail, 5*time.Minute)
	dur(&o.Timeouts.DataInit, 2*time.Minute)
	dur(&o.Timeouts.DataBlock, 3*time.Minute)
	dur(&o.Timeouts.DataDone, 10*time.Minute)
	dur(&o.Timeouts.LastWords, 2*time.Second)
	dur(&o.Timeouts.Quit, 5*time.Second)
	dur(&o.Timeouts.TLS, time.Minute)
	if o.Dialer == nil {
		o.Dialer = &net.Dialer{}
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rules == nil {
		var err error
		if o.Rules, err = classify.Standard(); err != nil {
			o.Log.Error("courier: replies are judged by their codes only", "err", err)
			o.Rules = new(classify.Table)
		}
	}
}

// SetRules judges replies by another table from now on.
func (c *Courier) SetRules(rules *classify.Table) { c.rules.Store(rules) }

// SetRoutes finds ways by other rules from now on, and asks anew what is wanted of
// their hosts. Transfers that are under way keep theirs.
func (c *Courier) SetRoutes(rules []RouteRule) {
	c.ways.Store(&rules)
	c.routes.forget()
}

// Limits are how many connections there may be to one site, and in all.
func (c *Courier) Limits() (perSite, total int) { return c.opt.PerSite, c.opt.Total }

// Close ends the idle connections. Transfers in flight are ended by their contexts.
func (c *Courier) Close() { c.pool.close() }
