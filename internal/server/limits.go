package server

import (
	"net/netip"
	"sync/atomic"

	"posthouse/internal/config"
	"posthouse/internal/imapd"
	"posthouse/internal/intake"
	"posthouse/internal/listen"
	"posthouse/internal/pop3d"
	"posthouse/internal/smtpd"
)

// trust knows the trusted networks, which may change.
type trust struct {
	networks atomic.Pointer[listen.Networks]
}

func newTrust(cfg *config.Config) *trust {
	t := new(trust)
	t.set(cfg)
	return t
}

func (t *trust) set(cfg *config.Config) {
	networks := listen.Networks(config.Prefixes(cfg.Limits.Trusted))
	t.networks.Store(&networks)
}

// has tells whether a client is in a trusted network.
func (t *trust) has(a netip.Addr) bool { return t.networks.Load().Have(a) }

// gateLimits bound the connections of each of the mailboxes' protocols.
func gateLimits(l *config.Limits) listen.GateLimits {
	return listen.GateLimits{
		Total: l.Connections, PerAddress: l.ConnectionsPerAddress, PerNetwork: l.ConnectionsPerNetwork,
		AddressRate: l.ConnectionRatePerAddress, NetworkRate: l.ConnectionRatePerNetwork,
	}
}

// smtpLimits but for the size of messages, which mailboxes and IMAP know as well.
func smtpLimits(l *config.Limits) smtpd.Limits {
	hold := l.FutureRelease.Duration
	if hold == 0 {
		hold = -1 // never
	}
	return smtpd.Limits{
		Recipients: l.Recipients, Commands: l.Commands, Errors: l.Errors,
		AuthAttempts: l.AuthAttempts, Messages: l.Messages, Connections: l.Connections, ConnectionsPerIP: l.ConnectionsPerAddress,
		ConnectionsPerNetwork: l.ConnectionsPerNetwork, ConnectionRate: l.ConnectionRatePerAddress, NetworkRate: l.ConnectionRatePerNetwork,
		Idle: l.IdleCommands, UnknownRcpts: l.UnknownRecipients,
		FutureRelease: hold, DeliverBy: l.DeliverByMin.Duration,
	}
}

func imapLimits(l *config.Limits) imapd.Limits {
	return imapd.Limits{Gate: gateLimits(l), MaxPerAccount: l.ConnectionsPerAccount, MaxErrors: l.Errors, AuthAttempts: l.AuthAttempts}
}

func pop3Limits(l *config.Limits) pop3d.Limits {
	return pop3d.Limits{Gate: gateLimits(l), MaxCommands: l.Commands, MaxErrors: l.Errors, AuthAttempts: l.AuthAttempts}
}

func intakeBounds(cfg *config.Config) intake.Bounds {
	return intake.Bounds{
		NoSoliciting: cfg.SMTP.NoSoliciting,
		HoldQuota:    intake.HoldQuota{Messages: cfg.Limits.FutureReleaseMessages, Octets: cfg.Limits.FutureReleaseSize.Bytes()},
	}
}
