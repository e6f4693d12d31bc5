package intake

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"posthouse/internal/directory"
	"posthouse/internal/envelope"
	"posthouse/internal/report"
	"posthouse/internal/smtp"
)

// resolve is Directory.Resolve for a house that has a name of its own beside its
// domains: postmaster and abuse there, and mailer-daemon there and in every domain,
// whom people answer reports to, are the postmaster if they are nobody else. Nobody
// else is at the house itself.
func (in *Intake) resolve(ctx context.Context, addr smtp.Address) ([]directory.Target, error) {
	targets, err := in.opt.Directory.Resolve(ctx, addr)
	atHouse := errors.Is(err, directory.ErrNotLocal) && in.isHouse(addr.Domain)
	if atHouse && (isPostmaster(addr) || role(addr) == "abuse") || (atHouse || errors.Is(err, directory.ErrNoUser)) && role(addr) == "mailer-daemon" {
		return in.opt.Directory.Resolve(ctx, report.Postmaster)
	}
	if atHouse && in.opt.Catch == nil {
		return nil, directory.ErrNoUser
	}
	return targets, err
}

// isHouse reports whether a domain is the name of the house itself, or a literal of
// an address of its (RFC 5321 section 4.1.3).
func (in *Intake) isHouse(domain string) bool {
	if addr, ok := smtp.ParseLiteral(domain); ok {
		return in.opt.IsHere != nil && in.opt.IsHere(addr)
	}
	return domain != "" && smtp.CanonicalDomain(domain) == smtp.CanonicalDomain(in.opt.Hostname)
}

// isPostmaster reports whether an address is that of a postmaster, for whom
// mail is never refused (RFC 5321 section 4.5.1), so not for a full mailbox either.
func isPostmaster(a smtp.Address) bool { return role(a) == "postmaster" }

// role is the local part without its detail, in lower case.
func role(a smtp.Address) string {
	name, _, _ := strings.Cut(strings.ToLower(a.Local), "+")
	return name
}

// forPostmaster reports whether a recipient that leads to this mailbox is a postmaster.
func (l *local) forPostmaster(env *envelope.Envelope) bool {
	for _, r := range l.rcpts {
		if isPostmaster(env.Rcpts[r.index].To) {
			return true
		}
	}
	return false
}

// maxCopies is how many reports that can be told to nobody else the postmaster
// gets in an hour: a flood of mail with forged senders must not become another
// one. The rest is in the journal.
const maxCopies = 20

// copies counts them.
type copies struct {
	mu   sync.Mutex
	from time.Time // the hour's begin
	n    int
}

// take reports whether there is one more at now.
func (c *copies) take(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.from) >= time.Hour {
		c.from, c.n = now, 0
	}
	c.n++
	return c.n <= maxCopies
}
