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
func (in *Intake) unwanted(env *envelope.Envelope) error { return in.unwantedIn(env.Solicit, env) }

// unwantedIn is unwanted for the classes in list.
func (in *Intake) unwantedIn(list string, env *envelope.Envelope) error {
	if env.Origin.Account != 0 || env.Origin.Door == inwardDoor {
		return nil
	}
	found := smtp.MatchSolicit(list, in.bounds.Load().NoSoliciting)
	if found == "" {
		return nil
	}
	return status.New(550, 7, 1, "No soliciting here: SOLICIT="+found)
}

// solicitations are the classes that a header names, as a list; "" is none. What is
// no class among them is passed over.
func solicitations(header message.Header) string {
	var classes []string
	for _, v := range header.All("Solicitation") {
		for word := range strings.SplitSeq(message.WithoutComments(v), ",") {
			word = strings.Trim(word, " \t")
			if _, err := smtp.ParseSolicit(word); err == nil {
				classes = append(classes, word)
			}
		}
	}
	return strings.Join(classes, ",")
}

// settleSolicit takes the classes of a message from its header, which is where they
// belong, whatever MAIL said (RFC 3865 sections 2.3 and 2.7). A list that is longer
// than MAIL may have it goes on without its end.
func (t *Transfer) settleSolicit(header message.Header) {
	list := solicitations(header)
	if len(list) > smtp.MaxSolicit {
		list = list[:strings.LastIndexByte(list[:smtp.MaxSolicit+1], ',')]
	}
	if list != "" {
		t.env.Solicit = list
	}
}

// unwantedByHeader is unwanted for a message whose header says more than its
// client has. What is for a postmaster among others is let in.
func (t *Transfer) unwantedByHeader(header message.Header) error {
	if slices.ContainsFunc(t.env.Rcpts, func(r envelope.Rcpt) bool { return isPostmaster(r.To) }) {
		return nil
	}
	if list := solicitations(header); list != "" {
		return t.in.unwantedIn(list, t.env)
	}
	return t.in.unwanted(t.env)
}
