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
// through a server that has no RRVS (RFC 7293 section 5.2). The parameter goes
// before it. That one of several recipients is somebody else refuses the message
// for all (section 7): such fields are not for several, and none must get it.
func (t *Transfer) ownerByHeader(ctx context.Context, header message.Header) error {
	fields := header.All("Require-Recipient-Valid-Since")
	if len(fields) == 0 {
		return nil
	}
	for _, r := range t.env.Rcpts {
		if !r.RRVS.IsZero() {
			continue
		}
		if err := t.ownerByFields(ctx, r, fields); err != nil {
			return err
		}
	}
	return nil
}

// ownerByFields is ownerByHeader for one recipient, by the first field that names
// it.
func (t *Transfer) ownerByFields(ctx context.Context, r envelope.Rcpt, fields []string) error {
	for _, v := range fields {
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

// isRole reports whether a local part is one of the offices and services for
// which RFC 2142 sections 3 to 5 set names apart (RFC 7293 section 5.1).
func isRole(local string) bool {
	switch strings.ToLower(local) {
	case "info", "marketing", "sales", "support", "abuse", "noc", "security",
		"postmaster", "hostmaster", "usenet", "news", "webmaster", "www", "uucp", "ftp":
		return true
	}
	return false
}
