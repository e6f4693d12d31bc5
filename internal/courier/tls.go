package courier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"posthouse/internal/classify"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
	"posthouse/internal/tlspolicy"
)

// decideTLS asks what the hosts of a route must show; q lacks only them. Hosts
// that may not be called count as no part of the site.
func (c *Courier) decideTLS(ctx context.Context, r *Route, q tlspolicy.Query) {
	q.Port = r.port
	for i := range r.Hosts {
		h := &r.Hosts[i]
		h.TLS = tlspolicy.Policy{Domain: q.Domain, Host: h.Name, Base: h.Name}
		q.Hosts = append(q.Hosts, tlspolicy.QueryHost{Name: h.Name, CNAME: h.cname, Secure: h.secure})
	}
	if c.opt.TLSPolicy == nil {
		return
	}
	policies := c.opt.TLSPolicy.Decide(ctx, &q)
	var open []Host
	for i := range policies {
		r.Hosts[i].TLS = policies[i]
		if policies[i].Err == nil {
			open = append(open, r.Hosts[i])
		}
	}
	if asks := tlspolicy.Site(policies); asks != "" {
		r.asks = true
		if len(open) < len(r.Hosts) && len(open) > 0 {
			r.Site = siteName(open)
		}
		r.Site += " (" + asks + ")"
	}
}

// decideRelayTLS is decideTLS for a relay. One that gets our password must prove
// its name.
func (c *Courier) decideRelayTLS(ctx context.Context, r *Route) {
	v := r.via
	c.decideTLS(ctx, r, tlspolicy.Query{Domain: smtp.CanonicalDomain(v.host), Relay: true})
	p := &r.Hosts[0].TLS
	if v.user != "" && !v.loopback() && !p.Strict() && p.Source != tlspolicy.SourceConfigured {
		p.Source, p.Level, p.Names = tlspolicy.SourceLogin, tlspolicy.Verify, []string{p.Host}
	}
}

// mustTLS reports whether the message must not go but under verified TLS. Reports
// try, and go anyway (RFC 8689 section 5).
func (t *Transfer) mustTLS() bool { return t.RequireTLS && !t.From.IsZero() }

// claim is what t needs of a connection.
func (t *Transfer) claim() *claim {
	return &claim{site: t.site() + "\x00" + t.Source, caps: t.Caps, maxUse: t.MaxPerConn}
}

// site is whose connections t may use: what it asks of TLS apart.
func (t *Transfer) site() string {
	switch {
	case t.mustTLS():
		return t.Route.Site + " (requiretls)"
	case t.TLSOptional && !t.RequireTLS && t.Route.asks:
		return t.Route.Site + " (tls optional)"
	}
	return t.Route.Site
}

// policy is what is asked of a host for this message.
func (t *Transfer) policy(h *Host) *tlspolicy.Policy {
	switch {
	case t.mustTLS():
		return h.TLS.Required()
	case t.TLSOptional && !t.RequireTLS:
		return h.TLS.Relaxed()
	}
	return &h.TLS
}

// forbidden reports whether some of the hosts must not be called for now.
func (r *Route) forbidden() bool {
	return slices.ContainsFunc(r.Hosts, func(h Host) bool { return h.TLS.Err != nil })
}

// forbidden is why a host must not even be called. It is told once for all of the
// host's addresses.
func (d *delivery) forbidden(g target) *failure {
	p := g.policy
	if p.Err == nil {
		return nil
	}
	o := FromError(p.Err)
	o.Host, o.TLSPolicy = p.Host, p.Name()
	if g.host != d.skipped {
		d.skipped = g.host
		d.c.tellTLS(&conn{policy: p}, p.ErrType, p.Err.Text)
	}
	return &failure{outcome: o, refused: true}
}

// onlyNow makes a refusal for want of TLS temporary while some hosts could not be
// asked: one of them may do.
func (d *delivery) onlyNow() {
	if d.t.mustTLS() && d.last.outcome.Permanent() && d.last.outcome.Enhanced.Subject == 7 && d.c.whyDead(d.t.Route) != "" {
		o := d.last.outcome
		o.Code, o.Enhanced.Class = 450, 4
		o.Verdict = classify.TLS.Verdict(450)
		d.last = &failure{outcome: o, refused: true}
	}
}

// unfit is why a message that requires TLS cannot go over a session (RFC 8689
// section 4.2.1): the host's name is not certain, or the server would not pass
// the demand on.
func (d *delivery) unfit(s *conn) *failure {
	if !d.t.mustTLS() {
		return nil
	}
	if !s.policy.Authentic || !s.verified {
		return s.unsafe(10, "it is not certain that the mail host "+s.host+" is the domain's: neither DNSSEC nor MTA-STS says so")
	}
	if !s.ext.Has("REQUIRETLS") {
		return s.lacksRequireTLS()
	}
	return nil
}

func (s *conn) lacksRequireTLS() *failure {
	o := s.outcome(550, status.Enhanced{Class: 5, Subject: 7, Detail: 30},
		"The server does not support REQUIRETLS, which the message demands")
	return &failure{refused: true, outcome: o}
}

// passesOn reports whether the session meets what RFC 8689 section 2 asks of one
// over which REQUIRETLS is said.
func (s *conn) passesOn() bool {
	return s.tls != "" && s.verified && s.policy.Authentic && s.ext.Has("REQUIRETLS")
}

// startTLS encrypts the session (RFC 3207). A server that offers none is spoken
// to in clear where nothing is asked; one whose handshake fails must be called
// again.
func (c *Courier) startTLS(s *conn, began *time.Time) *failure {
	why := "the server offers no TLS"
	if s.ext.Has("STARTTLS") {
		s.step("greeting", began)
		s.stage = classify.StageTLS
		reply, err := s.command("STARTTLS")
		if err != nil {
			c.tellTLS(s, tlspolicy.ValidationFailure, "the connection was lost after STARTTLS: "+plain(err))
			f := s.lost("Connection lost after STARTTLS", err)
			f.tls = true
			return f
		}
		if reply.Code == 220 {
			if f := c.handshake(s, began); f != nil {
				return f
			}
			s.w.ReadTimeout = c.opt.Timeouts.Mail
			// What was learnt in clear is forgotten (RFC 3207 section 4.2).
			f := c.ehlo(s)
			if f != nil && !f.refused {
				// In TLS 1.3 what the server objects to comes only with its first
				// words (RFC 8446 section 4.4.2.4).
				f.tls = true
				f.outcome.Verdict = classify.TLS.Verdict(f.outcome.Code)
			}
			return f
		}
		if reply.Positive() || reply.Code == 421 {
			// Out of step, or at an end: nothing can follow on this connection.
			f := s.refused(reply)
			f.tls = true
			return f
		}
		why = fmt.Sprintf("the server refuses TLS (%d %s)", reply.Code, reply.Text())
	}
	c.tellTLS(s, tlspolicy.StartTLSNotSupported, why)
	if s.policy.Strict() {
		f := s.unsafe(4, why)
		s.quit() // RFC 8689 section 4.2.1
		return f
	}
	return nil
}

// handshake makes TLS, and judges the certificate in the middle of it, so that
// the server hears of it.
func (c *Courier) handshake(s *conn, began *time.Time) *failure {
	s.stage = classify.StageTLS
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.opt.TLS != nil {
		cfg = c.opt.TLS.Clone()
	}
	p := s.policy
	cfg.ServerName = p.Base // for DANE by RFC 7672 section 8.1
	cfg.ClientSessionCache = c.sessions
	cfg.InsecureSkipVerify = true // by the standard library; VerifyConnection does
	roots := cfg.RootCAs
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		return c.judge(s, &cs, roots)
	}
	s.w.ReadTimeout = c.opt.Timeouts.TLS
	if err := s.w.StartTLSClient(cfg); err != nil {
		if s.checked != nil && p.Authenticated() {
			c.tellTLS(s, tlspolicy.TypeOf(s.checked), s.checked.Error())
			return s.unsafe(5, tlspolicy.Words(s.checked))
		}
		c.tellTLS(s, tlspolicy.ValidationFailure, plain(err))
		if f := s.lost("TLS handshake failed", err); !p.Strict() {
			f.tls = true
			return f
		}
		f := s.unsafe(5, "the TLS handshake failed: "+plain(err))
		f.policy = !network(err) // an accident is no sign of what the server can
		return f
	}
	if state := s.w.TLS(); state != nil {
		s.tls = fmt.Sprintf("%s %s", tlsVersion(state.Version), tls.CipherSuiteName(state.CipherSuite))
	}
	s.step("tls", began)
	typ, reason := s.tlsResult()
	c.tellTLS(s, typ, reason)
	return nil
}

// network reports whether an error is of the connection and not of the protocol.
func network(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, errReset) || errors.Is(err, errEOF) || errors.As(err, &timeout) && timeout.Timeout()
}

// judge looks at the server's certificate. It is an error when proof is asked for.
func (c *Courier) judge(s *conn, cs *tls.ConnectionState, roots *x509.CertPool) error {
	s.checked = s.policy.Check(cs, roots, c.opt.Clock.Now())
	s.verified = s.checked == nil
	if s.policy.Authenticated() {
		return s.checked
	}
	return nil
}

// tlsResult is how a session under TLS did in the eyes of the domain's policy:
// one that is only tested included (RFC 8461 section 5).
func (s *conn) tlsResult() (tlspolicy.ResultType, string) {
	p := s.policy
	if p.Problem != nil && p.Source == tlspolicy.SourceOpportunistic {
		return p.Problem.Type, p.Problem.Reason
	}
	if p.Level == tlspolicy.DANE && len(p.TLSA) == 0 {
		return tlspolicy.TLSAInvalid, "none of the TLSA records can be used" // RFC 8460 section 4.3.2.1
	}
	if !p.Tested() {
		return tlspolicy.Success, ""
	}
	if !p.STS.Allows(p.Host) {
		return tlspolicy.ValidationFailure, "the policy does not name the mail host"
	}
	if s.checked != nil {
		return tlspolicy.TypeOf(s.checked), s.checked.Error()
	}
	return tlspolicy.Success, ""
}

// tellTLS reports how the TLS of a session came out.
func (c *Courier) tellTLS(s *conn, typ tlspolicy.ResultType, reason string) {
	if c.opt.TLSResults == nil {
		return
	}
	c.opt.TLSResults(&tlspolicy.Result{Policy: s.policy, Type: typ, Reason: reason,
		Local: s.local, Remote: s.addr.Addr(), TLS: s.tls, Verified: s.verified})
}

// unsafe is the failure of a session that is not as secure as it is asked to be.
// The message waits: what is asked, and what the server shows, may change.
func (s *conn) unsafe(detail uint16, why string) *failure {
	return &failure{refused: true, policy: true, outcome: s.outcome(451, status.Enhanced{Class: 4, Subject: 7, Detail: detail},
		"TLS policy "+s.policy.Name()+": "+why)}
}

func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS13:
		return "TLS1.3"
	case tls.VersionTLS12:
		return "TLS1.2"
	}
	return tls.VersionName(v)
}
