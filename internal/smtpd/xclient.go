package smtpd

import (
	"net/netip"

	"posthouse/internal/sasl"
	"posthouse/internal/smtp"
)

// xclientExtension is XCLIENT, Postfix's extension by which a proxy in front
// tells for whom it speaks: for listed peers only.
func xclientExtension() extension {
	return extension{keyword: "XCLIENT", offered: func(s *session) (string, bool) { return smtp.XClientAttributes, s.mayXCLIENT() }}
}

// mayXCLIENT judges the peer by its own address, whatever it said before.
func (s *session) mayXCLIENT() bool {
	return s.cfg.Desk != nil && s.peer.IsValid() && s.cfg.XClient.Have(s.peer.Addr())
}

// cmdXCLIENT replaces what is known of the client and begins the session anew,
// with another greeting. What an earlier XCLIENT said holds until it is said
// otherwise.
func (s *session) cmdXCLIENT(arg string) {
	switch {
	case !s.mayXCLIENT():
		s.reply(550, enhanced(5, 7, 0), "XCLIENT is not for you")
		return
	case s.env != nil:
		s.badSequence("A transaction is under way")
		return
	}
	x, err := smtp.ParseXClient(arg)
	if err != nil {
		s.badArguments("XCLIENT attribute=value, of " + smtp.XClientAttributes)
		return
	}
	c := s.claim
	if x.Login != nil {
		c.who = sasl.Identity{}
		if *x.Login != "" {
			if c.who, err = s.cfg.Desk.Identify(s.srv.ctx, *x.Login); err != nil {
				s.refuse(err, "XCLIENT")
				return
			}
		}
	}
	c.take(x)
	s.claim = c
	s.forget()
	s.conduct, s.unknown, s.authFailures, s.others = conduct{}, 0, 0, s.sum.Messages
	s.helo, s.extended, s.who, s.clientName = c.helo, c.extended, c.who, c.name
	if c.addressed {
		s.setClient(netip.AddrPortFrom(c.addr, c.port))
		s.log = s.newLog().With("remote", s.remote.String(), "proxy", s.peer.String())
	}
	s.log.Debug("client by XCLIENT", "name", c.name, "helo", c.helo, "login", c.who.Login, "dest", c.dest.String())
	s.greet()
}

// claim is what XCLIENT has said of the client so far.
type claim struct {
	name      string
	addressed bool // addr was given
	addr      netip.Addr
	port      uint16
	helo      string
	extended  bool
	who       sasl.Identity
	dest      netip.AddrPort // where it connected to; for the log
}

func (c *claim) take(x smtp.XClient) {
	replace(&c.name, x.Name)
	replace(&c.helo, x.Helo)
	replace(&c.extended, x.ESMTP)
	replace(&c.addr, x.Addr)
	replace(&c.port, x.Port)
	c.addressed = c.addressed || x.Addr != nil
	addr, port := c.dest.Addr(), c.dest.Port()
	replace(&addr, x.DestAddr)
	replace(&port, x.DestPort)
	c.dest = netip.AddrPortFrom(addr, port)
}

func replace[T any](old, given *T) {
	if given != nil {
		*old = *given
	}
}
