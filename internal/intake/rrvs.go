package intake

import (
	"context"
	"strings"
	"time"

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
		if t.Account.ID == 0 || !t.Account.OwnerSince.After(r.RRVS) {
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
	fields := ownerFields(header)
	if len(fields) == 0 {
		return nil
	}
	for _, r := range t.env.Rcpts {
		since, ok := fields[r.To.Key()]
		if !ok || !r.RRVS.IsZero() {
			continue
		}
		r.RRVS = since
		targets, err := t.in.resolve(ctx, r.To)
		switch {
		case err == nil:
			if err := sameOwner(r, targets); err != nil {
				return err
			}
		case status.Of(RouteError(err)).Code/100 == 4:
			return RouteError(err) // section 5: to be tried again
		}
		// Otherwise it is somebody else's mailbox, or gone meanwhile.
	}
	return nil
}

// tunnelOwners keeps the conditions that came as fields and that others must judge:
// they go on as the parameter to a server that has it, and as the field to others
// (RFC 7293 section 6.1). In the message none of them stays (section 5.2), neither
// for those who are told of by other people's fields nor behind an alias, of whose
// owner they speak.
func (t *Transfer) tunnelOwners(header message.Header) {
	fields := ownerFields(header)
	if len(fields) == 0 {
		return
	}
	for _, out := range t.route.remotes {
		since, ok := fields[out.To.Key()]
		if !ok || out.Prepend != "" || !out.RRVS.IsZero() {
			continue
		}
		// Who used the field has asked for no more than the best that can be done.
		out.RRVS, out.RRVSContinue = since, true
		out.Prepend = envelope.OwnerField + ": " + out.To.String() + "; " + since.Format(time.RFC1123Z) + "\r\n"
	}
}

// isOwnerField reports whether a field carries RRVS.
func isOwnerField(f message.Field) bool { return f.Is(envelope.OwnerField) }

// ownerFields are the conditions in a header, by the keys of addresses; of several
// for one the first.
func ownerFields(header message.Header) map[string]time.Time {
	var fields map[string]time.Time
	for _, v := range header.All(envelope.OwnerField) {
		at := strings.LastIndexByte(v, ';')
		if at < 0 {
			continue
		}
		address, err := smtp.ParseAddress(message.WithoutComments(v[:at]))
		since, ok := message.ParseDate(v[at+1:])
		if err != nil || !ok {
			continue
		}
		if fields == nil {
			fields = make(map[string]time.Time)
		}
		if _, twice := fields[address.Key()]; !twice {
			fields[address.Key()] = since
		}
	}
	return fields
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
