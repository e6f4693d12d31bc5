// Package config is the configuration file of one node: typed, strict, and
// documented by its own fields. Every key has a default; the environment
// overrides any key (see Load). Errors name the file, line, column and key.
package config

import "time"

// Config is the whole file. Load fills in defaults and checks every value, so
// what it returns can be used as it is.
type Config struct {
	// Hostname is the name in the greeting, in HELO and in Received lines.
	// Default: the name of the machine.
	Hostname string `toml:"hostname"`
	// Data is the directory of everything the house keeps. Default: /var/lib/posthouse.
	Data string `toml:"data"`
	// User is whom to become after the ports are bound, when started as root:
	// a name, or "name:group". Default: stay who we are; root must have the data
	// directory to itself then.
	User string `toml:"user"`

	Listen   Listen   `toml:"listen"`
	TLS      TLS      `toml:"tls"`
	Auth     Auth     `toml:"auth"`
	SMTP     SMTP     `toml:"smtp"`
	Limits   Limits   `toml:"limits"`
	Greylist Greylist `toml:"greylist"`
	DNS      DNS      `toml:"dns"`
	Outbound Outbound `toml:"outbound"`
	Store    Store    `toml:"store"`
	Log      Log      `toml:"log"`

	at     places   // where the keys were given
	passed []string // variables like ours that are not
}

// Listen is where to listen: "host:port", "[::]:25", ":25" or
// "unix:/run/posthouse/lmtp.sock". An empty list is a service not offered.
type Listen struct {
	// SMTP takes mail from other servers (MX).
	SMTP []string `toml:"smtp"`
	// Submission takes mail from our own users, with STARTTLS.
	Submission []string `toml:"submission"`
	// Submissions is submission with implicit TLS.
	Submissions []string `toml:"submissions"`
	// LMTP takes mail from other servers of this site (RFC 2033).
	LMTP []string `toml:"lmtp"`
	// IMAP serves mailboxes, with STARTTLS.
	IMAP []string `toml:"imap"`
	// IMAPS is IMAP with implicit TLS.
	IMAPS []string `toml:"imaps"`
	// POP3 serves INBOX, with STLS.
	POP3 []string `toml:"pop3"`
	// POP3S is POP3 with implicit TLS.
	POP3S []string `toml:"pop3s"`
	// HTTP serves the admin API, /metrics, /healthz and /readyz.
	HTTP []string `toml:"http"`
	// HTTPS is HTTP with TLS.
	HTTPS []string `toml:"https"`
	// ProxyProtocol are the networks of proxies that send a PROXY protocol
	// header (v1 or v2) in front of every connection. From them it is required,
	// from others it is not understood.
	ProxyProtocol []Network `toml:"proxy_protocol"`
}

// The values of TLS.Mode.
const (
	ModeSelfSigned = "self-signed"
	ModeFiles      = "files"
	ModeACME       = "acme"
)

// TLS is where our certificate comes from.
type TLS struct {
	// Mode is "self-signed" (made and kept in Data), "files" (Cert and Key) or
	// "acme" (fetched and renewed by itself). Default: "self-signed".
	Mode string `toml:"mode"`
	// Cert is the file of the certificate chain, PEM; read again when it changes.
	Cert string `toml:"cert"`
	// Key is the file of the private key, PEM.
	Key string `toml:"key"`
	// ACMEEmail is whom the certificate authority may write to. Default: nobody.
	ACMEEmail string `toml:"acme_email"`
	// ACMECA is the directory URL of the authority. Default: Let's Encrypt.
	ACMECA string `toml:"acme_ca"`
	// ACMEAgree accepts the authority's terms of service; "acme" does not work
	// without. Default: true.
	ACMEAgree bool `toml:"acme_agree"`
}

// Auth is about logging in.
type Auth struct {
	// AllowPlaintext permits AUTH and LOGIN without TLS to clients on loopback
	// addresses. Default: false.
	AllowPlaintext bool `toml:"allow_plaintext"`
	// HashMemory bounds the memory that password hashing uses at one time; at
	// least "20M". Default: "256M".
	HashMemory Size `toml:"hash_memory"`
	// CacheFor is how long a verified password is remembered, at least "1s". Default: "5m".
	CacheFor Duration `toml:"cache_for"`
	// ClientCA is a PEM file with the authorities whose client certificates log in
	// (SASL EXTERNAL), as the account of a mail address in them (rfc822Name). Read
	// at start. Default: no client is asked for a certificate.
	ClientCA string `toml:"client_ca"`
	// AnnouncePlus names the protocols, "smtp", "imap" and "pop3", that announce
	// the mechanisms with channel binding, SCRAM-SHA-256-PLUS and -SHA-1-PLUS.
	// They can be used everywhere, but some clients that see them over SMTP or
	// POP3 pick them and cannot bind. Default: ["imap"].
	AnnouncePlus []string `toml:"announce_plus"`
	// OIDC is the issuer whose tokens log in.
	OIDC OIDC `toml:"oidc"`
}

// The values of Auth.AnnouncePlus.
const (
	ProtocolSMTP = "smtp"
	ProtocolIMAP = "imap"
	ProtocolPOP3 = "pop3"
)

// OIDC is an issuer of tokens, with which clients log in by OAUTHBEARER and
// XOAUTH2.
type OIDC struct {
	// Issuer is its URL, https (http for loopback), exactly as its tokens name it:
	// below it is /.well-known/openid-configuration. Default: no tokens are taken.
	Issuer string `toml:"issuer"`
	// Audience is whom tokens must be for: the client id or resource that the
	// issuer writes into "aud". Needed with issuer.
	Audience string `toml:"audience"`
	// Claim holds the mail address of the account in a token. Default: "email".
	Claim string `toml:"claim"`
}

// SMTP is how SMTP and LMTP clients are held to the protocol.
type SMTP struct {
	// BareNewlines is what becomes of a message with CR or LF outside CRLF:
	// "refuse" (550 5.6.11), "normalise" (a bare LF becomes CRLF, a bare CR a
	// space) or "accept" (kept as it is). None of them ever ends a message.
	// Default: "refuse".
	BareNewlines string `toml:"bare_newlines"`
	// NormaliseFrom are networks of old senders whose messages are normalised
	// whatever BareNewlines says.
	NormaliseFrom []Network `toml:"normalise_from"`
	// GreetDelay is how long a stranger who connects to an smtp listener waits
	// for the greeting; who speaks before it is turned away. At most "30s"; "0s"
	// is not at all. Default: "300ms".
	GreetDelay Duration `toml:"greet_delay"`
	// ErrorDelay is by how much longer each error beyond half of limits.errors
	// makes a stranger wait for replies. At most "30s"; "0s" is not at all.
	// Default: "1s".
	ErrorDelay Duration `toml:"error_delay"`
	// XClient are networks of proxies that tell with XCLIENT, Postfix's
	// extension, for whom they speak.
	XClient []Network `toml:"xclient"`
	// ETRN are domains whose waiting mail clients may have tried at once (RFC
	// 1985); names below them as well.
	ETRN []string `toml:"etrn"`
	// NoSoliciting are classes of solicitations that other servers are told not to
	// bring, and are refused (NO-SOLICITING, RFC 3865), such as "net.example:ADV";
	// 450 characters together. Default: none.
	NoSoliciting []string `toml:"no_soliciting"`
}

// Values of SMTP.BareNewlines.
const (
	BareRefuse    = "refuse"
	BareNormalise = "normalise"
	BareAccept    = "accept"
)

// Limits bound what one client can take. Sizes read like "25M".
type Limits struct {
	// MessageSize is the largest message taken, sent or appended, 1K to 1G. Default: "50M".
	MessageSize Size `toml:"message_size"`
	// Recipients is how many one message may have, at least 100 (RFC 5321
	// section 4.5.3.1.8). Default: 1000.
	Recipients int `toml:"recipients"`
	// Trusted are networks exempt from connection limits, login slow-down,
	// tarpits, greylisting and DNS checks, never from relay, sender or size rules.
	Trusted []Network `toml:"trusted"`
	// Connections is how many clients of each protocol may be connected. Default: 10000.
	Connections int `toml:"connections"`
	// ConnectionsPerAddress is the same for one address (IPv6: one /64), for each
	// SMTP listener, for IMAP and for POP3; in IMAP and POP3 this limit and the next
	// three are for clients that have not logged in. Default: 100.
	ConnectionsPerAddress int `toml:"connections_per_address"`
	// ConnectionsPerNetwork is how many may be connected from one network, an IPv4
	// /24 or IPv6 /48. Default: 1000.
	ConnectionsPerNetwork int `toml:"connections_per_network"`
	// ConnectionRatePerAddress is how many connections may begin in a minute from
	// one address (IPv6: one /64); 0 is any number. Default: 3000.
	ConnectionRatePerAddress int `toml:"connection_rate_per_address"`
	// ConnectionRatePerNetwork is the same for one network. Default: 12000.
	ConnectionRatePerNetwork int `toml:"connection_rate_per_network"`
	// ConnectionsPerAccount is how many IMAP sessions one account may have; of POP3
	// it has one at a time. Default: 100.
	ConnectionsPerAccount int `toml:"connections_per_account"`
	// Commands is how many commands an SMTP or POP3 session may give before
	// it is asked to come again. Default: 100000.
	Commands int `toml:"commands"`
	// Errors is how many errors a session may make, in SMTP since its last message
	// that was accepted. Default: 20.
	Errors int `toml:"errors"`
	// IdleCommands is how many SMTP commands that bring no mail (NOOP, RSET, EHLO …)
	// a session may give since then. Default: 100.
	IdleCommands int `toml:"idle_commands"`
	// UnknownRecipients is how many recipients that do not exist, or are not who they
	// were (RRVS), a stranger may ask for in one SMTP session. Default: 50.
	UnknownRecipients int `toml:"unknown_recipients"`
	// Messages is how many messages one SMTP session may bring. Default: 10000.
	Messages int `toml:"messages"`
	// AuthAttempts is how often a session may try to log in. Default: 5.
	AuthAttempts int `toml:"auth_attempts"`
	// FutureRelease is how long our own people may have a message held before it
	// leaves (FUTURERELEASE, RFC 4865); "0s" is never. Default: "7d".
	FutureRelease Duration `toml:"future_release"`
	// FutureReleaseMessages is how many messages one account may have held at a
	// time. Default: 1000.
	FutureReleaseMessages int `toml:"future_release_messages"`
	// FutureReleaseSize is how large they may be together, 1K to 1T. Default: "500M".
	FutureReleaseSize Size `toml:"future_release_size"`
	// DeliverByMin is the shortest time in which senders may have a message
	// delivered or returned (DELIVERBY, RFC 2852), at most "1d"; "0s" is any.
	// Default: "0s".
	DeliverByMin Duration `toml:"deliver_by_min"`
}

// Greylist tells strangers at the smtp listeners to come again when they are seen
// for the first time; who is trusted or logs in never waits.
type Greylist struct {
	// Domains are those whose recipients are protected: "example.org",
	// "*.example.org" for all below it, or "*". Default: none.
	Domains []string `toml:"domains"`
	// Delay is how long a client network, sender and recipient have to wait when
	// they are new, "1s" to "1d". Default: "5m".
	Delay Duration `toml:"delay"`
	// Window is until when they must have come again, at most "7d". Default: "1d".
	Window Duration `toml:"window"`
	// Lifetime is how long they pass without waiting after they were last seen, at
	// most "366d". Default: "36d".
	Lifetime Duration `toml:"lifetime"`
	// Learn is how many of them must have come again from a network before it
	// never waits any more; 0 is never. Default: 5.
	Learn int `toml:"learn"`
}

// DNS is whom to ask.
type DNS struct {
	// Servers are resolvers, "address" or "address:port". Default: the system's.
	Servers []string `toml:"servers"`
	// Validating says that these resolvers check DNSSEC and that the way to them
	// is safe, so that what they call authentic is believed: DANE needs it.
	// Default: false.
	Validating bool `toml:"validating"`
}

// Outbound is the way of mail to other hosts.
type Outbound struct {
	// Port is the port of remote MX hosts; other values serve tests. Default: 25.
	Port int `toml:"port"`
	// Connections is how many connections may be open in all. Default: 500.
	Connections int `toml:"connections"`
	// ConnectionsPerSite is how many may be open to the hosts of one
	// destination. Default: 20.
	ConnectionsPerSite int `toml:"connections_per_site"`
	// Retry is the wait after the first failed attempt; later ones grow.
	// Default: "5m".
	Retry Duration `toml:"retry"`
	// DelayNotice is after how long the sender is told of a delay; "0s" is
	// never. Default: "4h".
	DelayNotice Duration `toml:"delay_notice"`
	// GiveUp is after how long mail is returned (RFC 5321 section 4.5.4.1).
	// Default: "5d".
	GiveUp Duration `toml:"give_up"`
	// Route sends domains over a fixed host instead of their MX; the first match wins.
	Route []Route `toml:"route"`
	// Source are the addresses that mail leaves from. Default: as the system chooses.
	Source []Source `toml:"source"`
	// Limit bounds what goes to some destinations, besides what is known of big
	// providers.
	Limit []Limit `toml:"limit"`
	// Rules is a file of rules that tell what replies of other servers mean; they
	// come before our own (see docs/queue.md). Default: none.
	Rules string `toml:"rules"`
	// MTASTS obeys the MTA-STS policies of domains (RFC 8461). Default: true.
	MTASTS bool `toml:"mta_sts"`
	// TLS sets for some domains what their hosts must show; the first match wins.
	TLS []TLSRule `toml:"tls"`
	// TLSReports tells other domains once a day about the TLS of their hosts.
	TLSReports TLSReports `toml:"tls_reports"`
}

// Route is one [[outbound.route]].
type Route struct {
	// Match is a domain, "*.domain" for all domains below it, or "*".
	Match string `toml:"match"`
	// Via is smtp://host:port or smtps://host:port, with user:password@ if the
	// host asks for a login.
	Via Relay `toml:"via"`
}

// TLSRule is one [[outbound.tls]].
type TLSRule struct {
	// Match is a domain, "*.domain" for all domains below it, or "*": that of the
	// recipients, or with a route the host that it goes over.
	Match string `toml:"match"`
	// Policy is "auto" (DANE, or else MTA-STS, or else "may"), "none" (no TLS),
	// "may" (TLS where it is offered), "encrypt" (TLS from anybody), "verify" (a
	// trusted certificate for the host's name), "secure" (one for the domain or a
	// name in it), "dane" (DANE, or else "may") or "dane-only".
	Policy string `toml:"policy"`
}

// TLSReports are what we tell other domains about the TLS of their hosts, once a
// day, if they ask for it (RFC 8460).
type TLSReports struct {
	// Enabled counts sessions and sends reports. Receivers take only reports that
	// are signed by DKIM (RFC 8460 section 3). Default: false.
	Enabled bool `toml:"enabled"`
	// Contact is the author of the reports and whom to ask about them: an address
	// here. It must be set when they are enabled.
	Contact string `toml:"contact"`
	// Organization is the name in the reports. Default: the host name.
	Organization string `toml:"organization"`
}

// AutoReserve stands for a Store.Reserve that is not given.
const AutoReserve Size = -1

// Store is about what is kept.
type Store struct {
	// Recoverable is how long the body of an expunged message is kept, unless the disk
	// is full. Default: "14d".
	Recoverable Duration `toml:"recoverable"`
	// Cache is memory for index blocks, at least "1M". Default: "64M".
	Cache Size `toml:"cache"`
	// Segment is the size of a file of the body log, "1M" to "1G". Default: "128M".
	Segment Size `toml:"segment"`
	// Reserve is what new mail leaves free on the disk, for what must go on when it
	// fills (see operations.md); "0" is nothing. Default: a twentieth of the file
	// system, at most "256M".
	Reserve Size `toml:"reserve"`
}

// Log is what is logged, on standard error.
type Log struct {
	// Level is "debug", "info", "warn" or "error". Default: "info".
	Level string `toml:"level"`
	// Format is "text" or "json". Default: "text".
	Format string `toml:"format"`
}

// Default is the configuration of an empty file, but for Hostname, which Load
// asks the machine for.
func Default() *Config {
	hours := func(n int) Duration { return Duration{time.Duration(n) * time.Hour} }
	return &Config{
		Data: "/var/lib/posthouse",
		TLS:  TLS{Mode: ModeSelfSigned, ACMEAgree: true},
		Auth: Auth{HashMemory: 256 << 20, CacheFor: Duration{5 * time.Minute}, AnnouncePlus: []string{ProtocolIMAP}, OIDC: OIDC{Claim: "email"}},
		SMTP: SMTP{BareNewlines: BareRefuse, GreetDelay: Duration{300 * time.Millisecond}, ErrorDelay: Duration{time.Second}},
		Limits: Limits{
			MessageSize: 50 << 20, Recipients: 1000,
			Connections: 10000, ConnectionsPerAddress: 100, ConnectionsPerNetwork: 1000, ConnectionsPerAccount: 100,
			ConnectionRatePerAddress: 3000, ConnectionRatePerNetwork: 12000,
			Commands: 100000, Errors: 20, IdleCommands: 100, UnknownRecipients: 50, Messages: 10000, AuthAttempts: 5,
			FutureRelease: hours(7 * 24), FutureReleaseMessages: 1000, FutureReleaseSize: 500 << 20,
		},
		Greylist: Greylist{Delay: Duration{5 * time.Minute}, Window: hours(24), Lifetime: hours(36 * 24), Learn: 5},
		Outbound: Outbound{
			Port: 25, Connections: 500, ConnectionsPerSite: 20,
			Retry: Duration{5 * time.Minute}, DelayNotice: hours(4), GiveUp: hours(5 * 24), MTASTS: true,
		},
		Store: Store{Recoverable: hours(14 * 24), Cache: 64 << 20, Segment: 128 << 20, Reserve: AutoReserve},
		Log:   Log{Level: "info", Format: "text"},
	}
}
