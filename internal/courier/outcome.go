package courier

import (
	"net/netip"

	"posthouse/internal/journal"
	"posthouse/internal/status"
)

// Outcome is what became of one recipient in one try.
type Outcome struct {
	Code     int             // SMTP reply code: 2yz taken, 4yz try again, 5yz never
	Enhanced status.Enhanced // RFC 3463; filled in from Code when the remote gave none
	Text     string          // one line; the remote's own words when Remote
	Remote   bool            // Text is a reply of the remote server
	Host     string          // name of the server asked; "" when none was reached
	Addr     netip.AddrPort  // its address
	TLS      string          // e.g. "TLS1.3 TLS_AES_128_GCM_SHA256"; "" without TLS
	Steps    []journal.Step  // timings: dns, connect, tls, commands, transfer; shared by the recipients of a transfer
}

// Sent reports whether the next server took responsibility.
func (o *Outcome) Sent() bool { return o.Code >= 200 && o.Code < 300 }

// Permanent reports whether trying again is of no use.
func (o *Outcome) Permanent() bool { return o.Code >= 500 && o.Code < 600 }

// Temporary reports whether trying again may help.
func (o *Outcome) Temporary() bool { return !o.Sent() && !o.Permanent() }

// FromError is the outcome of a failure on this side of the wire.
func FromError(err error) Outcome {
	e := status.Of(err)
	return Outcome{Code: e.Code, Enhanced: e.Enhanced, Text: e.Text}
}
