package server

import (
	"context"
	"fmt"
	"math"
	"strings"

	"posthouse/internal/config"
	"posthouse/internal/envelope"
	"posthouse/internal/greylist"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// newGreylist makes the greylist of a configuration; nil when it protects no
// domain.
func newGreylist(cfg *config.Config, g *ground) *greylist.List {
	c := &cfg.Greylist
	if len(c.Domains) == 0 {
		return nil
	}
	opt := greylist.Options{
		DB: g.db, Clock: g.clock, Log: g.log,
		Delay: c.Delay.Duration, Window: c.Window.Duration, Lifetime: c.Lifetime.Duration, Learn: c.Learn,
	}
	for _, d := range c.Domains {
		if p, ok := smtp.ParseDomainPattern(d); ok { // the configuration was checked
			opt.Domains = append(opt.Domains, p)
		}
	}
	return greylist.New(opt)
}

// greylisted tells a stranger at the MX door to come again with mail for some
// recipients, or lets it pass. Whoever logged in, is trusted or hands over by
// LMTP passes, and so does mail for the postmaster (RFC 5321 section 4.5.1). A
// store that fails lets everybody pass: greylisting is no reason to lose mail.
func (e *entrance) greylisted(ctx context.Context, env *envelope.Envelope, rcpts ...envelope.Rcpt) error {
	o := &env.Origin
	if e.greylist == nil || o.Door != "smtp" || o.Account != 0 || !o.Remote.IsValid() || e.trusted(o.Remote.Addr()) {
		return nil
	}
	var longest greylist.Decision
	for _, r := range rcpts {
		if strings.EqualFold(r.To.Local, "postmaster") {
			continue
		}
		d, err := e.greylist.Check(ctx, greylist.Triplet{Remote: o.Remote.Addr(), From: env.From, To: r.To})
		if err != nil {
			e.ground.log.Warn("greylisting", "err", err)
			e.metrics.greylist.WithLabelValues("error").Inc()
			continue
		}
		if d.Result != greylist.Exempt {
			e.metrics.greylist.WithLabelValues(string(d.Result)).Inc()
		}
		if d.Wait >= longest.Wait {
			longest = d
		}
	}
	if longest.Result != greylist.Waiting {
		return nil
	}
	text := fmt.Sprintf("Greylisted: come again in %d seconds", int(math.Ceil(longest.Wait.Seconds())))
	return status.New(451, 7, 1, text)
}
