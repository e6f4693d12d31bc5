package intake

import (
	"context"
	"strings"

	"posthouse/internal/directory"
	"posthouse/internal/envelope"
	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// sameOwner refuses a recipient whose mailbox is younger than the sender's
// knowledge of it (RRVS, RFC 7293): somebody else may have had the address.
// Where an alias leads elsewhere nobody here can tell, and mail for those who
// hold an office is for whoever holds it.
func sameOwner(r envelope.Rcpt, targets []directory.Target) error {
	if r.RRVS.IsZero() || isRole(r.To.Local) {
		return nil
	}
	for _, t := range targets {
		if t.Account.ID == 0 || !t.Account.Created.After(r.RRVS) {
			return nil
		}
	}
	return status.New(550, 7, 17, "The mailbox has changed hands since the date given")
}

// ownerByHeader is sameOwner for the condition that came as a header field,
// through a server that has no RRVS. It is for messages to one recipient, and the
// parameter goes before it.
func (t *Transfer) ownerByHeader(ctx context.Context, header message.Header) error {
	if len(t.env.Rcpts) != 1 || !t.env.Rcpts[0].RRVS.IsZero() {
		return nil
	}
	r := t.env.Rcpts[0]
	for _, v := range header.All("Require-Recipient-Valid-Since") {
		at := strings.LastIndexByte(v, ';')
		if at < 0 {
			continue
		}
		address, err := smtp.ParseAddress(strings.TrimSpace(v[:at]))
		since, ok := message.ParseDate(v[at+1:])
		if err != nil || !ok || address.Key() != r.To.Key() {
			continue
		}
		r.RRVS = since
		targets, err := t.in.resolve(ctx, r.To)
		if err != nil {
			return nil // somebody else's mailbox, or gone meanwhile
		}
		return sameOwner(r, targets)
	}
	return nil
}

// isRole reports whether a local part is one of the offices that every domain
// has (RFC 2142 sections 4 and 5, RFC 5321 section 4.5.1).
func isRole(local string) bool {
	switch strings.ToLower(local) {
	case "postmaster", "abuse", "noc", "security", "hostmaster", "webmaster":
		return true
	}
	return false
}
