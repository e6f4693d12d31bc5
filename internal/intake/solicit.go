package intake

import (
	"slices"
	"strings"

	"posthouse/internal/envelope"
	"posthouse/internal/message"
	"posthouse/internal/smtp"
	"posthouse/internal/status"
)

// unwanted refuses a message of a class of solicitations that this house does not
// want from others (RFC 3865 sections 2.3 and 2.4). What was held came from our own
// people.
func (in *Intake) unwanted(env *envelope.Envelope) error {
	if env.Origin.Account != 0 || env.Origin.Door == inwardDoor {
		return nil
	}
	found := smtp.MatchSolicit(env.Solicit, in.bounds.Load().NoSoliciting)
	if found == "" {
		return nil
	}
	return status.New(550, 7, 1, "No soliciting here: SOLICIT="+found)
}

// settleSolicit takes the classes of a message from its header, which is where they
// belong, whatever MAIL said (RFC 3865 sections 2.3 and 2.7).
func (t *Transfer) settleSolicit(header message.Header) {
	list := strings.Join(header.All("Solicitation"), ",")
	if _, err := smtp.ParseSolicit(list); err == nil {
		t.env.Solicit = list
	}
}

// unwantedByHeader is unwanted for a message whose header says more than its
// client has. What is for a postmaster among others is let in.
func (t *Transfer) unwantedByHeader() error {
	if slices.ContainsFunc(t.env.Rcpts, func(r envelope.Rcpt) bool { return isPostmaster(r.To) }) {
		return nil
	}
	return t.in.unwanted(t.env)
}
