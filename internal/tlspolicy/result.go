package tlspolicy

import (
	"net/netip"

	"posthouse/internal/mailauth/mtasts"
)

// Result is how the TLS of one session came out.
type Result struct {
	Policy   *Policy
	Type     ResultType
	Reason   string     // one line; "" for success
	Local    netip.Addr // ours; invalid when there was no connection
	Remote   netip.Addr
	TLS      string // e.g. "TLS1.3 TLS_AES_128_GCM_SHA256"; "" without TLS
	Verified bool   // the server proved its name
}

// Tested reports whether the domain tries out an MTA-STS policy: its failures are
// counted and nothing else (RFC 8461 section 5).
func (p *Policy) Tested() bool {
	return p.Source == SourceOpportunistic && p.STS != nil && p.STS.Mode == mtasts.Testing
}
