package intake

import (
	"strings"

	"posthouse/internal/directory"
	"posthouse/internal/envelope"
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

// isRole reports whether a local part is one of the offices that every domain
// has (RFC 2142 sections 4 and 5, RFC 5321 section 4.5.1).
func isRole(local string) bool {
	switch strings.ToLower(local) {
	case "postmaster", "abuse", "noc", "security", "hostmaster", "webmaster":
		return true
	}
	return false
}
