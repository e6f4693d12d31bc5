package courier

import (
	"net/netip"

	"posthouse/internal/classify"
	"posthouse/internal/journal"
	"posthouse/internal/status"
)

// Outcome is what became of one recipient in one try. Unless it was taken, the
// verdict says why and what to do: Class, Scope, Action, Pause (nothing more to
// this site for so long), Rule and Hint.
type Outcome struct {
	classify.Verdict
	Code     int             // SMTP reply code: 2yz taken, 4yz and 5yz as the remote said it
	Enhanced status.Enhanced // RFC 3463; filled in from Code when the remote gave none
	Text     string          // one line; the remote's own words when Remote
	Remote   bool            // Text is a reply of the remote server
	Stage    classify.Stage  // of the dialogue; "" when there was none
	// Uncertain: the connection was lost after the whole message was sent. The
	// server may have taken it (RFC 1047), and another try may be a duplicate.
	Uncertain bool
	Untried   bool // given up before any server was spoken to, for Transfer.Leave
	// What the server takes over of the sender's wishes.
	DSN       bool           // reports (RFC 3461)
	DeliverBy bool           // deadlines (RFC 2852)
	Host      string         // name of the server asked; "" when none was reached
	Addr      netip.AddrPort // its address
	TLS       string         // e.g. "TLS1.3 TLS_AES_128_GCM_SHA256"; "" without TLS
	// TLSPolicy is what asked for TLS: "dane", "mta-sts", "opportunistic",
	// "requiretls", "login", or the level in the configuration; "" when no server
	// was reached. Verified: the server proved its name.
	TLSPolicy string
	Verified  bool
	Steps     []journal.Step // timings: dns, connect, tls, commands, transfer; shared by the recipients of a transfer
}

// Sent reports whether the next server took responsibility.
func (o *Outcome) Sent() bool { return o.Code >= 200 && o.Code < 300 }

// Permanent reports whether trying again is of no use. The verdict says so; an
// outcome without one is judged by its code.
func (o *Outcome) Permanent() bool {
	if o.Action != "" {
		return !o.Sent() && o.Final()
	}
	return o.Code >= 500 && o.Code < 600
}

// Temporary reports whether trying again may help.
func (o *Outcome) Temporary() bool { return !o.Sent() && !o.Permanent() }

// Status is what this house concludes, as an enhanced code (RFC 3463): that of
// the remote, in the class that the verdict makes of it.
func (o *Outcome) Status() status.Enhanced {
	e := o.Enhanced
	switch {
	case o.Sent():
		e.Class = 2
	case o.Permanent():
		e.Class = 5
	default:
		e.Class = 4
	}
	return e
}

// FromError is the outcome of a failure on this side of the wire.
func FromError(err error) Outcome {
	e := status.Of(err)
	return Outcome{Code: e.Code, Enhanced: e.Enhanced, Text: e.Text, Verdict: ownClass(e.Enhanced).Verdict(e.Code)}
}

// ownClass is the class of a failure that this side found, by its code.
func ownClass(e status.Enhanced) classify.Class {
	switch [2]uint16{e.Subject, e.Detail} {
	case [2]uint16{3, 3}, [2]uint16{6, 3}, [2]uint16{6, 7}, [2]uint16{7, 19}:
		return classify.NotSupported
	case [2]uint16{3, 4}:
		return classify.MessageTooBig
	case [2]uint16{4, 0}, [2]uint16{4, 1}, [2]uint16{4, 2}:
		return classify.NetworkFailure
	case [2]uint16{4, 7}:
		return classify.Other
	}
	switch e.Subject {
	case 1:
		return classify.BadDomain
	case 4:
		return classify.Routing
	case 5:
		if e.Detail == 3 {
			return classify.TooManyRecipients
		}
		return classify.Protocol
	case 6:
		return classify.ContentRejected
	case 7:
		return classify.TLS
	}
	return classify.Local
}
